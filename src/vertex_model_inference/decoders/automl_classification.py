"""``automl-classification``: AutoML image and text classification, single and multi label.

Source: ``ClassificationPredictionResult`` in
``google/cloud/aiplatform/v1/schema/predict/prediction/classification.proto``::

    {"ids": ["1", "2"], "displayNames": ["cat", "dog"], "confidences": [0.7, 0.5]}

Protobuf's JSON leaves empty lists out, so that ``{}`` says that no class reached the model's own threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import Fit, fit_of, parse, refuse, unit
from vertex_model_inference.findings import FoundLabel
from vertex_model_inference.rows import DataRow

__all__ = ["AutomlClassification"]


class _Answer(msgspec.Struct, rename="camel"):
    ids: list[str] = []
    display_names: list[str] = []
    confidences: list[float] = []


class _Form(_Answer, rename="camel", forbid_unknown_fields=True):
    """As strict as recognising needs it: AutoML answers nothing else."""

    ids: list[str]
    display_names: list[str]
    confidences: list[float]


_ANSWER = msgspec.json.Decoder(_Answer)
_FORM = msgspec.json.Decoder(_Form)


class AutomlClassification:
    """AutoML classification; see the module's docstring for the form."""

    name = "automl-classification"

    def __init__(self, class_names: Sequence[str] = ()) -> None:
        self.class_names = tuple(class_names)  # AutoML answers names; kept for the common constructor

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundLabel, ...]:
        """Each class with its confidence, in the model's order.

        Raises:
            DecodeError: See ``Decoder.decode``.
        """
        answer = parse(_ANSWER, prediction, self.name, row)
        labels, confidences = answer.display_names, answer.confidences
        if len(labels) != len(confidences):
            refuse(self.name, row, f"it has {len(labels)} displayNames but {len(confidences)} confidences")
        return tuple(
            [
                FoundLabel(label, c if 0.0 <= c <= 1.0 else unit(c, self.name, row, f"confidence of {label!r}"))
                for label, c in zip(labels, confidences, strict=True)
            ]
        )

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form."""
        return fit_of(_FORM, prediction)
