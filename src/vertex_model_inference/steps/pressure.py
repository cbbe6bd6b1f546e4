"""How much may be under way at once: requests, which adapt to what a service takes (AIMD), and bytes, within bounds.

A rate limit and a fault are told apart. A service that says "too much" (429, or 503 with ``Retry-After``) is asked
less, and not at all until the time it named. One that fails now and then is asked again without asking it less: fewer
requests would not mend it. Only when a whole round brings nothing but faults is it taken for overload.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from vertex_model_inference.waiting import RATE_LIMIT, note

__all__ = ["Budget", "Limiter", "Pace", "Paces"]

LONGEST_PAUSE_S = 60.0
"""A service may not hold a shard longer than this with one answer; its next one may ask again."""


class Pace:
    """What is known of how much a service takes, for all who ask it in this process; one shard learns for the next.

    Args:
        limit: Requests under way that it is taken to bear.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.resume_at = 0.0
        """Time of the event loops' clock (which is the same for all) until which it asked to be left alone."""


class Paces:
    """The pace of each service, by name; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paces: dict[str, Pace] = {}

    def of(self, name: str, start: float) -> Pace:
        """The pace of a service; one that begins at ``start`` where nothing is known of it."""
        with self._lock:
            return self._paces.setdefault(name, Pace(start))


class Limiter:
    """A semaphore whose size adapts; for one event loop.

    Each success adds ``1 / limit``, so a whole round of successes adds one slot; a push-back halves the limit, at most
    once per round, since requests that were sent together fail together.

    Args:
        start: Slots at first.
        ceiling: Never more than this.
        service: What waiting for it is noted as (``waiting.note``).
        pace: What others have learnt of the service, and learn from this one; comes before ``start``.
    """

    def __init__(self, start: int = 16, ceiling: int = 64, service: str = "model", pace: Pace | None = None) -> None:
        self._pace = Pace(float(start)) if pace is None else pace
        self.limit = self._pace.limit
        self.ceiling = float(ceiling)
        self.service = service
        self.busy = 0
        self._since_cut = 0
        self._faults = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot, and for the end of a pause that the service asked for; hold the slot for the block."""
        if self._waiting or self.busy >= int(self.limit):
            await self._turn()
        else:
            self.busy += 1
        try:
            if self._pace.resume_at:
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
        while (left := self._pace.resume_at - loop.time()) > 0:
            note(self.service, RATE_LIMIT, left)
            await asyncio.sleep(left)

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
        self.limit = self._pace.limit = min(self.ceiling, self.limit + 1 / self.limit)

    def pushed_back(self, retry_after: float | None = None) -> None:
        """The service said that it has too much to do.

        Args:
            retry_after: Seconds that it asks to be left alone: no request begins before they are over. Counted up to
                ``LONGEST_PAUSE_S``.
        """
        if retry_after:
            until = asyncio.get_running_loop().time() + min(retry_after, LONGEST_PAUSE_S)
            self._pace.resume_at = max(self._pace.resume_at, until)
        if self._since_cut >= self.limit / 2 or self._since_cut == 0:
            self._cut()

    def faltered(self) -> None:
        """A request failed in a way that passes and that does not say "too much"."""
        self._faults += 1
        if self._faults >= self.limit:
            self._cut()

    def _cut(self) -> None:
        self.limit = self._pace.limit = max(1.0, self.limit / 2)
        self._since_cut = 1
        self._faults = 0


class _Turn:
    """Somebody who waits for a part of a budget."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.admitted = False
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()


class Budget:
    """Bytes that may be held at once, by all threads and event loops that share it.

    First come, first served, so that big ones are not passed by.

    Args:
        most: Bytes in all. Who asks for more than that gets all of it, alone.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0
        self._lock = threading.Lock()
        self._waiting: deque[_Turn] = deque()

    def take_now(self, size: int) -> bool:
        """Take ``size`` bytes if they are free and nobody waits; says whether it did."""
        with self._lock:
            if self._waiting or self.held + size > self.most:
                return False
            self.held += size
            return True

    async def take(self, size: int) -> int:
        """Wait for ``size`` bytes; gives the number to ``give`` back, which is never more than ``most``."""
        size = min(size, self.most)
        turn = _Turn(size)
        with self._lock:
            self._waiting.append(turn)
            self._admit()
        try:
            await turn.future  # done soon when it was admitted at once
        except asyncio.CancelledError:
            with self._lock:
                if turn.admitted:
                    self.held -= size
                else:
                    self._waiting.remove(turn)
                self._admit()
            raise
        return size

    def give(self, size: int) -> None:
        """Give bytes back."""
        with self._lock:
            self.held -= size
            self._admit()

    def _admit(self) -> None:
        """With the lock held."""
        while self._waiting and self.held + self._waiting[0].size <= self.most:
            turn = self._waiting.popleft()
            turn.admitted = True
            self.held += turn.size
            try:
                turn.loop.call_soon_threadsafe(_wake, turn.future)
            except RuntimeError:  # its event loop is closed: nobody waits there any more
                self.held -= turn.size


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
