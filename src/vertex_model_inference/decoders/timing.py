"""What decoders of video share: times of an answer as frames of the row's video, and the model's own frame numbers.

Forms of a time: seconds as a number (``1.2``) or a text (``"1.2"``), Vertex's and protobuf's duration (``"1.200s"``,
``"Infinity"`` and ``"inf"`` for the end of the video: ``google/cloud/aiplatform/v1/schema/predict/instance/
video_classification.proto``), and ``{"seconds": 1, "nanos": 200000000}``.
"""

from __future__ import annotations

from math import inf, isfinite

import msgspec

from vertex_model_inference.decoders.base import refuse
from vertex_model_inference.geometry.timeline import Timeline
from vertex_model_inference.rows import DataRow

__all__ = ["Clock", "Duration", "Time"]

_LONGEST_S = 1e7
"""Seconds, a third of a year: beyond this a number is not a time in a video, whatever its unit is."""


class Duration(msgspec.Struct):
    """A time in two parts, as some JSON writers spell ``google.protobuf.Duration``."""

    seconds: float | str = 0
    nanos: float = 0


Time = int | float | str | Duration
"""A time as answers write it; see the module's docstring."""


class Clock:
    """The times of one row's video.

    Args:
        row: The data row. That its frame rate is unknown is an error only once a time is asked for.
        name: Of the decoder, for messages.
    """

    def __init__(self, row: DataRow, name: str) -> None:
        self._row = row
        self._name = name
        self._timeline: Timeline | None = None

    @property
    def timeline(self) -> Timeline:
        """Of the row's video.

        Raises:
            DecodeError: Its frame rate is not known.
        """
        if self._timeline is None:
            row = self._row
            if not row.frame_rate and not row.frame_times:
                refuse(
                    self._name,
                    row,
                    "its times are in seconds, and the frame rate of the video is not known",
                    "Install vertex-model-inference[video], which reads it from the file, or let Labelbox process the "
                    "data row's media attributes, then run again.",
                )
            try:
                self._timeline = Timeline(row.frame_rate, row.frame_count, row.frame_times)
            except ValueError as error:
                refuse(self._name, row, f"the times of its video's frames make no sense: {error}")
        return self._timeline

    def seconds(self, value: Time, where: str) -> float:
        """A time in seconds, >= 0; infinite where the end of the video is meant.

        Raises:
            DecodeError: It is not a time, is negative, or lies so far behind the video's end that the unit is wrong.
        """
        found = _seconds(value)
        if found is None or found != found or found < 0:
            shown = repr(value if isinstance(value, str | float | int) else (value.seconds, value.nanos))
            refuse(self._name, self._row, f"{where} is {shown:.60}, a time must be seconds from 0 (1.2 or '1.2s')")
        if not isfinite(found):
            return found
        duration = self.timeline.duration
        if found > (_LONGEST_S if duration is None else 2 * duration + 1):
            of = "" if duration is None else f" of {duration:.3f} s"
            refuse(
                self._name,
                self._row,
                f"{where} is {found:g} s, far behind the end of the video{of}",
                "Are the times in seconds, or in milliseconds or frames?",
            )
        return found

    def frame_at(self, value: Time, where: str) -> int:
        """The frame that a time means.

        Raises:
            DecodeError: As ``seconds``; also when it is infinite.
        """
        found = self.seconds(value, where)
        if not isfinite(found):
            refuse(self._name, self._row, f"{where} is infinite, which is no frame's time")
        return self.timeline.frame_at(found)

    def frames_between(self, start: Time, end: Time, where: str) -> tuple[int, int]:
        """First and last frame of a stretch of time, its end exclusive.

        Raises:
            DecodeError: As ``seconds``; also when it ends before it begins, or at the end of a video whose number of
                frames is not known.
        """
        first, beyond = self.seconds(start, f"the start of {where}"), self.seconds(end, f"the end of {where}")
        if not isfinite(first) or beyond < first:
            refuse(self._name, self._row, f"{where} goes from {first:g} s to {beyond:g} s")
        if isfinite(beyond):
            return self.timeline.frames_between(first, beyond)
        count = self.timeline.count
        if count is None:
            refuse(
                self._name,
                self._row,
                f"{where} goes to the end of the video, and how many frames it has is not known",
                "Install vertex-model-inference[video], which reads it from the file.",
            )
        return min(self.timeline.frames_between(first, first)[0], count), count

    def is_whole(self, start: Time, end: Time, where: str) -> bool:
        """Whether a stretch of time is all of the video; from 0 to infinity is, whatever the frame rate.

        Raises:
            DecodeError: As ``frames_between``.
        """
        if _seconds(start) == 0 and _seconds(end) == inf:
            return True
        return self.frames_between(start, end, where) == (1, self.timeline.count)

    def numbered(self, value: float, where: str, *, base: int = 0) -> int:
        """The frame that the model numbers ``value``, counting from ``base``.

        Raises:
            DecodeError: Not a whole number, or not a frame of the video.
        """
        whole = isfinite(value) and value == int(value)
        frame = int(value) - base + 1 if whole else 0
        count = self._row.frame_count or len(self._row.frame_times) or None
        if frame < 1 or frame > (count or 2**31):
            of = "" if count is None else f", the video has {count}"
            refuse(
                self._name,
                self._row,
                f"{where} is {value!r:.30}, frames are whole numbers counted from {base}{of}",
                "Counts of frames begin with 0 unless the decoder's name ends in ':from-1'.",
            )
        return frame


def _seconds(value: Time) -> float | None:
    if isinstance(value, Duration):
        whole = _seconds(value.seconds)
        return None if whole is None else whole + value.nanos / 1e9
    if isinstance(value, str):
        text = value.strip().removesuffix("s")
        if text.lower() in ("inf", "infinity"):
            return inf
        try:
            return float(text)
        except ValueError:
            return None
    return float(value)
