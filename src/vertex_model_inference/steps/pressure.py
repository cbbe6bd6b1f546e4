"""How much may be under way at once: requests, which adapt to what a service takes (AIMD), and bytes, within bounds.

A rate limit and a fault are told apart. A service that says "too much" (429, or 503 with ``Retry-After``) is asked
less, and not at all until the time it named. One that fails now and then is asked again without asking it less: fewer
requests would not mend it. Only when a whole round brings nothing but faults is it taken for overload.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from vertex_model_inference.waiting import RATE_LIMIT, note

__all__ = ["Budget", "Limiter"]

LONGEST_PAUSE_S = 60.0
"""A service may not hold a shard longer than this with one answer; its next one may ask again."""


class Limiter:
    """A semaphore whose size adapts; for one event loop.

    Each success adds ``1 / limit``, so a whole round of successes adds one slot; a push-back halves the limit, at most
    once per round, since requests that were sent together fail together.

    Args:
        start: Slots at first.
        ceiling: Never more than this.
        service: What waiting for it is noted as (``waiting.note``).
    """

    def __init__(self, start: int = 16, ceiling: int = 64, service: str = "model") -> None:
        self.limit = float(start)
        self.ceiling = float(ceiling)
        self.service = service
        self.busy = 0
        self._since_cut = 0
        self._faults = 0
        self._resume_at = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot, and for the end of a pause that the service asked for; hold the slot for the block."""
        if self._waiting or self.busy >= int(self.limit):
            await self._turn()
        else:
            self.busy += 1
        try:
            if self._resume_at:
                await self._pause()
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

    async def _pause(self) -> None:
        loop = asyncio.get_running_loop()
        while (left := self._resume_at - loop.time()) > 0:
            note(self.service, RATE_LIMIT, left)
            await asyncio.sleep(left)
        self._resume_at = 0.0

    def _admit(self) -> None:
        while self._waiting and self.busy < int(self.limit):
            turn = self._waiting.popleft()
            if not turn.done():
                self.busy += 1
                turn.set_result(None)

    def went_well(self) -> None:
        """A request succeeded."""
        self._since_cut += 1
        self._faults = 0
        self.limit = min(self.ceiling, self.limit + 1 / self.limit)

    def pushed_back(self, retry_after: float | None = None) -> None:
        """The service said that it has too much to do.

        Args:
            retry_after: Seconds that it asks to be left alone: no request begins before they are over. Counted up to
                ``LONGEST_PAUSE_S``.
        """
        if retry_after:
            until = asyncio.get_running_loop().time() + min(retry_after, LONGEST_PAUSE_S)
            self._resume_at = max(self._resume_at, until)
        if self._since_cut >= self.limit / 2 or self._since_cut == 0:
            self._cut()

    def faltered(self) -> None:
        """A request failed in a way that passes and that does not say "too much"."""
        self._faults += 1
        if self._faults >= self.limit:
            self._cut()

    def _cut(self) -> None:
        self.limit = max(1.0, self.limit / 2)
        self._since_cut = 1
        self._faults = 0


class Budget:
    """Bytes that may be held at once; for one event loop. First come, first served, so that big ones are not passed by.

    Args:
        most: Bytes in all. Who asks for more than that gets all of it, alone.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def take_now(self, size: int) -> bool:
        """Take ``size`` bytes if they are free and nobody waits; says whether it did."""
        if self._waiting or self.held + size > self.most:
            return False
        self.held += size
        return True

    async def take(self, size: int) -> int:
        """Wait for ``size`` bytes; gives the number to ``give`` back, which is never more than ``most``."""
        size = min(size, self.most)
        if self.take_now(size):
            return size
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(size)
            else:
                self._admit()  # who waited behind us may fit
            raise
        return size

    def give(self, size: int) -> None:
        """Give bytes back."""
        self.held -= size
        self._admit()

    def _admit(self) -> None:
        while self._waiting:
            size, turn = self._waiting[0]
            if not turn.done() and self.held + size > self.most:
                return
            self._waiting.popleft()
            if not turn.done():
                self.held += size
                turn.set_result(None)
