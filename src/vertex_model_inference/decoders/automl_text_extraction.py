"""``automl-text-extraction``: AutoML text entity extraction.

Source: ``TextExtractionPredictionResult`` in
``google/cloud/aiplatform/v1/schema/predict/prediction/text_extraction.proto``::

    {"ids": ["1"], "displayNames": ["gene"], "textSegmentStartOffsets": ["10"], "textSegmentEndOffsets": ["14"],
     "confidences": [0.9]}

Offsets count characters from 0, the end is inclusive; protobuf's JSON writes int64 as text. Empty lists are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import Fit, fit_of, parse, refuse, unit
from vertex_model_inference.decoders.spans import entity
from vertex_model_inference.findings import FoundEntity
from vertex_model_inference.rows import DataRow

__all__ = ["AutomlTextExtraction"]


class _Answer(msgspec.Struct, rename="camel"):
    display_names: list[str] = []
    text_segment_start_offsets: list[str | int] = []
    text_segment_end_offsets: list[str | int] = []
    confidences: list[float] = []


class _Form(_Answer, rename="camel"):
    display_names: list[str]
    text_segment_start_offsets: list[str | int]
    text_segment_end_offsets: list[str | int]


_ANSWER = msgspec.json.Decoder(_Answer)
_FORM = msgspec.json.Decoder(_Form)


class AutomlTextExtraction:
    """AutoML entity extraction; see the module's docstring for the form."""

    name = "automl-text-extraction"

    def __init__(self, class_names: Sequence[str] = ()) -> None:
        self.class_names = tuple(class_names)  # AutoML answers names; kept for the common constructor

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundEntity, ...]:
        """Each entity, in the model's order.

        Raises:
            DecodeError: See ``Decoder.decode``.
        """
        answer = parse(_ANSWER, prediction, self.name, row)
        labels, confidences = answer.display_names, answer.confidences
        starts, ends = answer.text_segment_start_offsets, answer.text_segment_end_offsets
        if not (len(labels) == len(starts) == len(ends) == len(confidences)):
            lengths = (
                f"{len(labels)} displayNames, {len(starts)} starts, {len(ends)} ends, {len(confidences)} confidences"
            )
            refuse(self.name, row, f"it has {lengths}, which must be as many")
        found: list[FoundEntity] = []
        for label, start, end, c in zip(labels, starts, ends, confidences, strict=True):
            where = f"entity {len(found)} ({label!r})"
            first, last = self._offset(start, row, where), self._offset(end, row, where)
            c = unit(c, self.name, row, f"confidence of {where}")
            found.append(entity(label, first, last, c, row, self.name, where))
        return tuple(found)

    def _offset(self, value: str | int, row: DataRow, where: str) -> int:
        if isinstance(value, int):
            return value
        if not (value.isascii() and value.isdigit() and len(value) < 20):
            refuse(self.name, row, f"{where} has the offset {value[:40]!r}, which is not a whole number")
        return int(value)

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form."""
        return fit_of(_FORM, prediction)
