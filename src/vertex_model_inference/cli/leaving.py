"""Ends a process whose runs are still under way."""

from __future__ import annotations

import os
import sys
import threading

__all__ = ["leave"]


def leave(code: int) -> None:
    """End the process now if there are threads that could keep it; return otherwise.

    Python waits for the threads of a pool, daemons or not, and a step can be waiting for a job for as long as it likes.
    Leaving it is safe: a run goes on from any moment, the next process does the step again.

    Args:
        code: Exit code.
    """
    if threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
