"""How long a run waits for others to recover: noted where a retry sleeps, summed by the run that it belongs to."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["FAULT", "RATE_LIMIT", "Waits", "note", "noting", "seconds_of"]

RATE_LIMIT = "rate limit"
"""The service said that it is asked too much (429, or a ``Retry-After``)."""
FAULT = "fault"
"""The service failed in a way that passes: no answer, a broken one, a 5xx."""


class Waits:
    """Seconds that were slept before another try, by service and cause; safe to use from several threads.

    Requests that wait at the same time each count, so the sum can exceed the time on the clock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = {}

    def add(self, service: str, cause: str, seconds: float) -> None:
        """``seconds`` more were waited for ``service`` (``labelbox``, ``model``, ``assets``) because of ``cause``."""
        key = f"{service}: {cause}"
        with self._lock:
            self._seconds[key] = self._seconds.get(key, 0.0) + seconds

    def totals(self) -> dict[str, float]:
        """``"<service>: <cause>"`` -> seconds, rounded to milliseconds."""
        with self._lock:
            return {key: round(seconds, 3) for key, seconds in sorted(self._seconds.items())}


_current: ContextVar[Waits | None] = ContextVar("waits", default=None)


@contextmanager
def noting(waits: Waits) -> Iterator[None]:
    """Within the block (and the asyncio tasks begun in it), ``note`` adds to ``waits``."""
    token = _current.set(waits)
    try:
        yield
    finally:
        _current.reset(token)


def note(service: str, cause: str, seconds: float) -> None:
    """A retry is about to sleep ``seconds``; goes nowhere when nobody notes."""
    waits = _current.get()
    if waits is not None and seconds > 0:
        waits.add(service, cause, seconds)


def seconds_of(retry_after: str | None) -> float | None:
    """What a ``Retry-After`` header asks for: seconds, or a date (RFC 9110, 10.2.3).

    Returns:
        Seconds from now, 0 for what is past; None without header and for what is neither, e.g. ``nan`` or ``\u00b2``.
    """
    if not retry_after:
        return None
    text = retry_after.strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        seconds = float(text)
        return seconds if math.isfinite(seconds) else None
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
