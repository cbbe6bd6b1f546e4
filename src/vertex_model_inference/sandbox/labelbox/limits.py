"""The rate limit: requests in a fixed window of 60 seconds, as Labelbox counts them."""

from __future__ import annotations

import math
import time

__all__ = ["RateLimit"]


class RateLimit:
    """Counts requests; no limit until ``per_minute`` is set."""

    def __init__(self) -> None:
        self.per_minute: int | None = None
        self._window = 0.0
        self._count = 0

    def take(self) -> int | None:
        """Count one request. Returns None, or whole seconds until the window ends when there are too many."""
        if self.per_minute is None:
            return None
        at = time.monotonic()
        if at - self._window >= 60:
            self._window, self._count = at, 0
        self._count += 1
        if self._count <= self.per_minute:
            return None
        return max(1, math.ceil(self._window + 60 - at))
