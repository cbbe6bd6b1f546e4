"""How many requests may be under way at once: grows while it goes well, halves when the service pushes back (AIMD)."""

from __future__ import annotations

import asyncio
from collections import deque
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
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot and hold it for the block."""
        if self._waiting or self.busy >= int(self.limit):
            await self._turn()
        else:
            self.busy += 1
        try:
            yield
        finally:
            self.busy -= 1
            self._admit()

    async def _turn(self) -> None:
        """Wait to be admitted, first come first served; each slot that comes free wakes one task, not all."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.busy -= 1  # cancelled just after it was admitted: the slot goes to the next
                self._admit()
            raise

    def _admit(self) -> None:
        while self._waiting and self.busy < int(self.limit):
            turn = self._waiting.popleft()
            if not turn.done():
                self.busy += 1
                turn.set_result(None)

    def went_well(self) -> None:
        """A request succeeded."""
        self._since_cut += 1
        self.limit = min(self.ceiling, self.limit + 1 / self.limit)

    def pushed_back(self) -> None:
        """The service said that it has too much to do."""
        if self._since_cut >= self.limit / 2 or self._since_cut == 0:
            self.limit = max(1.0, self.limit / 2)
            self._since_cut = 1
