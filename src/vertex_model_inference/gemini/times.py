"""Gemini's time stamps of a video."""

from __future__ import annotations

import math
import re

__all__ = ["seconds_of"]

_STAMP = re.compile(r"(?:(?:(\d{1,3}):)?(\d{1,4}):)?(\d{1,6}(?:\.\d{1,9})?)s?", re.ASCII)


def seconds_of(value: str | float) -> float | None:
    """Seconds from the beginning; None where it is no time.

    Args:
        value: ``MM:SS``, ``HH:MM:SS``, either with decimals, seconds as a number or as a text (``"4.5"``, ``"4.5s"``).
    """
    if not isinstance(value, str):
        return float(value) if 0 <= value < math.inf else None
    match = _STAMP.fullmatch(value.strip())
    if match is None:
        return None
    hours, minutes, seconds = match.groups()
    return 3600.0 * int(hours or 0) + 60.0 * int(minutes or 0) + float(seconds)
