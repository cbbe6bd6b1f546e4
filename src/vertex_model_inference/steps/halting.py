"""Halts a run that goes on: whoever stops it sets a flag, and each step that spends looks at it.

A halted run sends nothing more and asks Vertex to stop what it works on; rows that have an answer by then go the whole
way all the same, since they are paid for.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, TypeVar

from vertex_model_inference.errors import VmiError
from vertex_model_inference.outcomes import OutcomeStatus

__all__ = ["BUDGET", "CANCELLED", "Ending", "Halt", "HaltedError", "Stop", "unless_halted"]

T = TypeVar("T")

CANCELLED = "cancelled"
"""Code of the outcomes of rows that are left when somebody cancels the run; ``BUDGET``: when a budget is used up."""
BUDGET = "budget"
_LOOK_S = 0.2
GRACE_S = 5.0
"""Requests that are under way when a run is halted are paid for: so long their answers are waited for."""


class Ending(NamedTuple):
    """The outcome of rows that no step has ended, when the run does not go on with them.

    Attributes:
        step: Where they were; likewise ``code``, ``message`` and ``retryable`` of their outcome.
        status: ``failed``, or ``skipped`` where nothing went wrong with them.
    """

    step: str
    code: str
    message: str
    retryable: bool
    status: OutcomeStatus = OutcomeStatus.FAILED


class Stop(NamedTuple):
    """Why rows are not sent to the model.

    Attributes:
        step: Of their outcome; likewise ``code`` and ``retryable``.
        message: For their outcome: short, since a million rows may get it.
        words: For people who look at the run: all that is known.
        status: Of their outcome: ``failed``, or ``skipped`` where nothing went wrong with them.
    """

    step: str
    code: str
    message: str
    words: str
    retryable: bool = True
    status: OutcomeStatus = OutcomeStatus.FAILED

    def ending(self, step: str | None = None) -> Ending:
        """The outcome of rows that were at ``step`` (by default the stop's own)."""
        return Ending(step or self.step, self.code, self.message, self.retryable, self.status)


class HaltedError(VmiError):
    """A step does not begin, or does not go on, since its run is halted. Its rows are skipped, not failed."""

    code = CANCELLED
    retryable_by_default = True


class Halt:
    """Whether a run is halted, and why; set once, from any thread."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._stop: Stop | None = None

    @property
    def stop(self) -> Stop | None:
        """Why the run is halted; None while it is not."""
        return self._stop

    def set(self, stop: Stop) -> None:
        """Halt the run; the first reason stays."""
        with self._lock:
            if self._stop is None:
                self._stop = stop
                self._event.set()

    def check(self) -> None:
        """Go no further when the run is halted.

        Raises:
            HaltedError: It is.
        """
        if self._stop is not None:
            raise HaltedError(self._stop.message, code=self._stop.code, retryable=self._stop.retryable)

    def wait(self, seconds: float) -> bool:
        """Sleep, and wake at once when the run is halted: True then. Blocks the thread."""
        return self._event.wait(seconds)

    async def sleep(self, seconds: float) -> bool:
        """As ``wait``, for coroutines; wakes within a fifth of a second."""
        end = time.monotonic() + seconds
        # The flag is set by a thread, for any number of event loops, so it is looked at.
        while self._stop is None and (left := end - time.monotonic()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left, _LOOK_S))
        return self._stop is not None


async def unless_halted(
    halt: Halt, work: Coroutine[Any, Any, T], grace_s: float = GRACE_S, *, clock: Callable[[], float] = time.monotonic
) -> T | None:
    """What ``work`` gives; None when the run was halted and ``work`` had not ended ``grace_s`` seconds later.

    Args:
        halt: Of the run.
        work: Cancelled then; what it has done until then is its own to keep.
        grace_s: Seconds.
        clock: Seconds of a clock that never goes back.
    """
    task = asyncio.ensure_future(work)
    until: float | None = None
    try:
        while not task.done():
            if halt.stop is not None:
                until = clock() + grace_s if until is None else until
                if clock() >= until:
                    return None
            await asyncio.wait({task}, timeout=_LOOK_S)
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
