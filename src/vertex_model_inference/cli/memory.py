"""Lets a process that works on runs give the memory of large buffers back to the system.

glibc learns from each large buffer that is freed to keep the next one (up to 32 MB) in the heap of the thread that
asked for it, where it stays. A process that streams assets in a dozen threads would keep the peak of each for ever.
"""

from __future__ import annotations

import ctypes
import sys

__all__ = ["give_back"]

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # mallopt(3)
_LARGE = 512 << 10
_HEAPS = 4


def give_back() -> bool:
    """From now on; says whether the C library knows how (glibc does, musl and others need not)."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGE) and mallopt(_M_ARENA_MAX, _HEAPS))
