"""``automl-object-tracking``: AutoML video object tracking.

Source: ``VideoObjectTrackingPredictionResult`` in
``google/cloud/aiplatform/v1/schema/predict/prediction/video_object_tracking.proto``; the prediction is a list with one
item for each object that was followed::

    [{"id": "1", "displayName": "cat", "timeSegmentStart": "1.2s", "timeSegmentEnd": "3.4s", "confidence": 0.7,
      "frames": [{"timeOffset": "1.2s", "xMin": 0.1, "xMax": 0.2, "yMin": 0.3, "yMax": 0.4}, ...]}, ...]

``id`` is the class's, not the object's. Coordinates are relative to the picture, 0 to 1, origin top left; one of zero
may be left out. The end is inclusive; what counts here are the frames, each at the frame of the video whose time is
nearest to its ``timeOffset``. Between them the object is where the straight line has it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import Fit, clip, fit_of, parse, size_of, unit
from vertex_model_inference.decoders.timing import Clock, Time
from vertex_model_inference.decoders.tracks import by_frame
from vertex_model_inference.findings import FoundFrame, FoundTrack
from vertex_model_inference.rows import DataRow

__all__ = ["AutomlObjectTracking"]

_NAMES = {
    "time_offset": "timeOffset",
    "x_min": "xMin",
    "x_max": "xMax",
    "y_min": "yMin",
    "y_max": "yMax",
}


class _Frame(msgspec.Struct, rename=_NAMES):
    time_offset: Time = 0
    x_min: float = 0.0
    x_max: float = 0.0
    y_min: float = 0.0
    y_max: float = 0.0


class _Item(msgspec.Struct, rename="camel"):
    display_name: str
    frames: list[_Frame] = []
    confidence: float | None = None


class _StrictFrame(_Frame, rename=_NAMES, forbid_unknown_fields=True):
    pass


class _Form(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """As strict as recognising needs it: AutoML answers nothing else."""

    display_name: str
    frames: list[_StrictFrame]
    id: str = ""
    time_segment_start: Time = 0
    time_segment_end: Time = 0
    confidence: float | None = None


_ANSWER = msgspec.json.Decoder(list[_Item])
_FORM = msgspec.json.Decoder(list[_Form])


class AutomlObjectTracking:
    """AutoML object tracking; see the module's docstring for the form."""

    name = "automl-object-tracking"

    def __init__(self, class_names: Sequence[str] = ()) -> None:
        self.class_names = tuple(class_names)  # AutoML answers names; kept for the common constructor

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundTrack, ...]:
        """Each object with its boxes in pixels, in the model's order; one without any frame is none.

        Raises:
            DecodeError: See ``Decoder.decode``; also when the row's size or frame rate is unknown.
        """
        clock = Clock(row, self.name)
        found = []
        answer = parse(_ANSWER, prediction, self.name, row)
        for index, item in enumerate(answer):
            where = f"[{index}] ({item.display_name!r:.80})"
            c = None if item.confidence is None else unit(item.confidence, self.name, row, f"confidence of {where}")
            if not item.frames:
                continue
            width, height = size_of(row, self.name)
            placed = []
            for number, frame in enumerate(item.frames):
                at = f"frames[{number}] of {where}"
                seconds = clock.seconds(frame.time_offset, f"timeOffset of {at}")
                corners = (frame.x_min * width, frame.y_min * height, frame.x_max * width, frame.y_max * height)
                box = clip(*corners, row, self.name, at)
                placed.append((seconds, FoundFrame(clock.frame_at(seconds, at), *box)))
            found.append(FoundTrack(item.display_name, (by_frame(placed, clock.timeline),), c))
        return tuple(found)

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form."""
        return fit_of(_FORM, prediction)
