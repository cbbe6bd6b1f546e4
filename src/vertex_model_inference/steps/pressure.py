"""How many requests may be under way at once: grows while it goes well, halves when the service pushes back (AIMD)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["Limiter"]


class Limiter:
    """A semaphore whose size adapts; for one event loop.

    Each success adds ``1 / limit``, so a whole round of successes adds one slot; a push-back (429, 503) halves the
    limit, at most once per round, since requests that were sent together fail together.

    Args:
        start: Slots at first.
        ceiling: Never more than this.
    """

    def __init__(self, start: int = 16, ceiling: int = 64) -> None:
        self.limit = float(start)
        self.ceiling = float(ceiling)
        self.busy = 0
        self._since_cut = 0
        self._free = asyncio.Condition()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot and hold it for the block."""
        async with self._free:
            while self.busy >= int(self.limit):
                await self._free.wait()
            self.busy += 1
        try:
            yield
        finally:
            async with self._free:
                self.busy -= 1
                self._free.notify_all()

    def went_well(self) -> None:
        """A request succeeded."""
        self._since_cut += 1
        self.limit = min(self.ceiling, self.limit + 1 / self.limit)

    def pushed_back(self) -> None:
        """The service said that it has too much to do."""
        if self._since_cut >= self.limit / 2 or self._since_cut == 0:
            self.limit = max(1.0, self.limit / 2)
            self._since_cut = 1
