"""Gemini's time stamps of a video, as frames."""

from __future__ import annotations

import math
import re

__all__ = ["frame_at", "frames_of", "seconds_of"]

_STAMP = re.compile(r"(?:(?:(\d{1,3}):)?(\d{1,4}):)?(\d{1,6}(?:\.\d{1,9})?)s?", re.ASCII)
_ROUNDING = 1e-6
"""Frames: 0.1 s at 30 frames a second must be frame 4 (the fourth), though 0.1 * 30 is a little over 3."""


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


def frame_at(seconds: float, rate: float, count: int | None = None) -> int:
    """The frame that is shown at a time, counted from 1; frames of constant rate.

    Args:
        seconds: From the beginning, >= 0. ``rate``: frames in a second, > 0.
        count: Frames of the video, where known: a time after the end is its last frame.
    """
    frame = int(seconds * rate + _ROUNDING) + 1
    return min(frame, count) if count else frame


def frames_of(start: float, end: float, rate: float, count: int | None = None) -> tuple[int, int]:
    """First and last frame of the stretch from ``start`` up to ``end`` (seconds): the frame that begins at ``end``
    does not belong to it; at least one frame.
    """
    first = frame_at(start, rate, count)
    last = math.ceil(end * rate - _ROUNDING)
    if count:
        last = min(last, count)
    return first, max(first, last)
