"""Seconds of a video <-> its frames.

Frames are counted from 1, as Labelbox counts them, in the order in which they are shown; seconds are counted from the
first frame. Frame ``n`` of a video of constant rate is shown from ``(n - 1) / rate`` on. Where the rate varies (phones
and screen recorders write such files) each frame has a time stamp of its own, and only those tell which frame is meant.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from math import ceil, floor

__all__ = ["Timeline"]

_TOLERANCE_S = 0.001
"""By how much a rounded time may miss the frame that it means: many models write milliseconds."""


class Timeline:
    """When the frames of one video are shown.

    Args:
        rate: Frames per second, > 0 and finite; with ``times`` it is not used.
        count: Frames of the video; None: not known.
        times: Seconds of each frame, rising, where the rate varies.

    Raises:
        ValueError: Neither a rate nor times, a rate that is none, or times that do not rise.
    """

    __slots__ = ("_rate", "_times", "count")

    def __init__(self, rate: float | None = None, count: int | None = None, times: Sequence[float] = ()) -> None:
        if times:
            if any(later <= earlier for earlier, later in pairwise(times)):
                raise ValueError("the time stamps of frames must rise")
            count = len(times)
            length = times[-1] - times[0]
            rate = (count - 1) / length if length > 0 else rate or 1.0
        if rate is None or not 0 < rate < float("inf"):
            raise ValueError(f"a frame rate must be a number over 0, not {rate!r}")
        if count is not None and count < 1:
            raise ValueError(f"a video has at least one frame, not {count}")
        self._rate = rate
        self._times = times
        self.count = count

    @property
    def rate(self) -> float:
        """Frames per second; the mean where the rate varies."""
        return self._rate

    @property
    def duration(self) -> float | None:
        """Seconds until the last frame has been shown; None where the number of frames is not known."""
        if self._times:
            return self._times[-1] + 1 / self._rate
        return None if self.count is None else self.count / self._rate

    def time_of(self, frame: int) -> float:
        """Seconds at which a frame (from 1) is first shown."""
        return self._times[frame - 1] if self._times else (frame - 1) / self._rate

    def frame_at(self, seconds: float) -> int:
        """The frame whose own time is nearest to ``seconds`` (finite); of two equally near ones the later.

        So a frame's time finds the frame again even when it was rounded. Times before the first and after the last
        frame give these.
        """
        if self._times:
            after = bisect_left(self._times, seconds)
            if 0 < after < len(self._times):
                earlier, later = self._times[after - 1], self._times[after]
                return after if seconds - earlier < later - seconds else after + 1
            return 1 if after == 0 else len(self._times)
        if self.count is not None and seconds * self._rate >= self.count:
            return self.count
        return self._within(floor(seconds * self._rate + 0.5) + 1)

    def frames_between(self, start: float, end: float) -> tuple[int, int]:
        """First and last of the frames whose time is from ``start`` on and before ``end``, both finite.

        A time that misses a frame's by no more than a millisecond, or a quarter of a frame if that is less, means that
        frame. Stretches that follow each other share no frame and leave none out. A stretch that is shorter than a
        frame gives the frame nearest to its start.
        """
        first, beyond = self._first_from(start), self._first_from(end)
        if beyond <= first:
            nearest = self.frame_at(start)
            return nearest, nearest
        return self._within(first), self._within(beyond - 1)

    def _first_from(self, seconds: float) -> int:
        """The first frame whose time is not before ``seconds``, as rounding may have it; one more than the last."""
        if self._times:
            after = bisect_left(self._times, seconds)
            if after > 0:
                gap = self._times[after] - self._times[after - 1] if after < len(self._times) else 1 / self._rate
                if seconds - self._times[after - 1] <= min(_TOLERANCE_S, gap / 4):
                    return after
            return after + 1
        place = seconds * self._rate
        if self.count is not None and place > self.count:
            return self.count + 1
        after = ceil(place)
        slack = min(_TOLERANCE_S * self._rate, 0.25)
        return (after if place - (after - 1) <= slack else after + 1) if after > 0 else 1

    def _within(self, frame: int) -> int:
        frame = max(frame, 1)
        return frame if self.count is None else min(frame, self.count)
