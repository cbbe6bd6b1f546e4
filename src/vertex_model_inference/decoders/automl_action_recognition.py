"""``automl-action-recognition``: AutoML video action recognition.

Source: ``VideoActionRecognitionPredictionResult`` in
``google/cloud/aiplatform/v1/schema/predict/prediction/video_action_recognition.proto``; the prediction is a list::

    [{"id": "1", "displayName": "swing", "timeSegmentStart": "1.2s", "timeSegmentEnd": "3.4s", "confidence": 0.7}, ...]

Times are seconds from the start of the video, the end exclusive. An action of no length, which the model gives for
actions of a moment, is the one frame nearest to its time.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import Fit, fit_of, parse, unit
from vertex_model_inference.decoders.timing import Clock, Time
from vertex_model_inference.findings import FoundLabel
from vertex_model_inference.rows import DataRow

__all__ = ["AutomlActionRecognition"]


class _Item(msgspec.Struct, rename="camel"):
    display_name: str
    time_segment_start: Time = 0
    time_segment_end: Time = "Infinity"
    confidence: float | None = None


class _Form(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """As strict as recognising needs it: AutoML answers nothing else."""

    display_name: str
    time_segment_start: Time
    time_segment_end: Time
    id: str = ""
    confidence: float | None = None


_ANSWER = msgspec.json.Decoder(list[_Item])
_FORM = msgspec.json.Decoder(list[_Form])


class AutomlActionRecognition:
    """AutoML action recognition; see the module's docstring for the form."""

    name = "automl-action-recognition"

    def __init__(self, class_names: Sequence[str] = ()) -> None:
        self.class_names = tuple(class_names)  # AutoML answers names; kept for the common constructor

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundLabel, ...]:
        """Each action with its confidence and its frames, in the model's order.

        Raises:
            DecodeError: See ``Decoder.decode``; also when the row's frame rate is unknown.
        """
        clock = Clock(row, self.name)
        found = []
        answer = parse(_ANSWER, prediction, self.name, row)
        for index, item in enumerate(answer):
            where = f"[{index}] ({item.display_name!r:.80})"
            c = None if item.confidence is None else unit(item.confidence, self.name, row, f"confidence of {where}")
            frames = clock.frames_between(item.time_segment_start, item.time_segment_end, where)
            found.append(FoundLabel(item.display_name, c, frames=(frames,)))
        return tuple(found)

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form."""
        return fit_of(_FORM, prediction)
