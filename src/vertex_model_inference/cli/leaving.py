"""Ends a process whose runs are still under way."""

from __future__ import annotations

import os
import sys
import threading

__all__ = ["leave"]


def leave(code: int) -> None:
    """End the process now if threads of unfinished steps would keep it; return otherwise.

    Python waits for such threads, and a step can be waiting for a job for as long as it likes. Leaving it is safe: a
    run goes on from any moment, the next process does the step again.

    Args:
        code: Exit code.
    """
    here = threading.current_thread()
    if any(thread is not here and not thread.daemon for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
