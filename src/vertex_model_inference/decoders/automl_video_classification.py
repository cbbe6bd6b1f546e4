"""``automl-video-classification``: AutoML video classification.

Source: ``VideoClassificationPredictionResult`` in
``google/cloud/aiplatform/v1/schema/predict/prediction/video_classification.proto``; the prediction is a list::

    [{"id": "1", "displayName": "cat", "type": "segment-classification",
      "timeSegmentStart": "0s", "timeSegmentEnd": "Infinity", "confidence": 0.7}, ...]

``type`` is ``segment-classification`` (the stretch that was asked about: the whole video in our jobs),
``shot-classification`` or ``one-sec-interval-classification``. Times are seconds from the start of the video, the end
exclusive. A segment from 0 to the end of the video is about the whole video; all others are ranges of frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import Fit, fit_of, parse, refuse, unit
from vertex_model_inference.decoders.timing import Clock, Time
from vertex_model_inference.findings import FoundLabel
from vertex_model_inference.rows import DataRow

__all__ = ["AutomlVideoClassification"]

_SEGMENT = "segment-classification"
_TYPES = (_SEGMENT, "shot-classification", "one-sec-interval-classification")


class _Item(msgspec.Struct, rename="camel"):
    display_name: str
    type: str = _SEGMENT
    time_segment_start: Time = 0
    time_segment_end: Time = "Infinity"
    confidence: float | None = None


class _Form(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """As strict as recognising needs it: AutoML answers nothing else."""

    display_name: str
    type: str
    id: str = ""
    time_segment_start: Time = 0
    time_segment_end: Time = 0
    confidence: float | None = None


_ANSWER = msgspec.json.Decoder(list[_Item])
_FORM = msgspec.json.Decoder(list[_Form])


class AutomlVideoClassification:
    """AutoML video classification; see the module's docstring for the form."""

    name = "automl-video-classification"

    def __init__(self, class_names: Sequence[str] = ()) -> None:
        self.class_names = tuple(class_names)  # AutoML answers names; kept for the common constructor

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundLabel, ...]:
        """Each class with its confidence and its frames, in the model's order.

        Raises:
            DecodeError: See ``Decoder.decode``; also when the row's frame rate is unknown and a time needs it.
        """
        clock = Clock(row, self.name)
        found = []
        answer = parse(_ANSWER, prediction, self.name, row)
        for index, item in enumerate(answer):
            where = f"[{index}] ({item.display_name!r:.80})"
            if item.type not in _TYPES:
                refuse(self.name, row, f"the type of {where} is {item.type!r:.60}; known are {', '.join(_TYPES)}")
            c = None if item.confidence is None else unit(item.confidence, self.name, row, f"confidence of {where}")
            start, end = item.time_segment_start, item.time_segment_end
            whole = item.type == _SEGMENT and clock.is_whole(start, end, where)
            frames = () if whole else (clock.frames_between(start, end, where),)
            found.append(FoundLabel(item.display_name, c, frames=frames))
        return tuple(found)

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form."""
        return fit_of(_FORM, prediction)
