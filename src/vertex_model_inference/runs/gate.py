"""The boundary between steps: where a process that is told to stop lets go of its runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Gate"]

IDLE = frozenset(("poll",))
"""Steps that only look: they are left in the middle."""


class Gate:
    """Lets steps pass until it is closed; whoever comes then waits for ever: the process is about to end.

    It is not an error that ends the workflow: the engine would remember that as the run's end.
    """

    def __init__(self) -> None:
        self._state = threading.Condition()
        self._closed = False
        self._under_way = 0

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Hold the gate open for one step.

        Args:
            name: Of the step.
        """
        counted = name not in IDLE
        with self._state:
            while self._closed:
                self._state.wait()
            self._under_way += counted
        try:
            yield
        finally:
            with self._state:
                self._under_way -= counted
                self._state.notify_all()

    def close(self, wait_s: float) -> bool:
        """Let no more steps pass, and wait for those under way.

        Args:
            wait_s: At most so many seconds.

        Returns:
            Whether all of them came to their end.
        """
        until = time.monotonic() + wait_s
        with self._state:
            self._closed = True
            while self._under_way:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._state.wait(left)
            return True
