"""``hf-classification``: what Hugging Face's image, text and zero-shot classification pipelines give.

Source: ``transformers/pipelines/text_classification.py`` and ``image_classification.py``::

    [{"label": "cat", "score": 0.98}, {"label": "dog", "score": 0.02}]

or one such object where ``top_k`` is 1. Labels may be numbers of the class names.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import Fit, class_name, fit_of, parse, unit
from vertex_model_inference.findings import FoundLabel
from vertex_model_inference.rows import DataRow

__all__ = ["HfClassification"]


class _Class(msgspec.Struct):
    label: str | int
    score: float | None = None


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    """To recognise: a label and a score, and not the box of a detection."""

    label: str | int
    score: float


_ANSWER = msgspec.json.Decoder(_Class | list[_Class])
_FORM = msgspec.json.Decoder(_Strict | list[_Strict])


class HfClassification:
    """Hugging Face classification; see the module's docstring for the forms."""

    name = "hf-classification"

    def __init__(self, class_names: Sequence[str] = ()) -> None:
        self.class_names = tuple(class_names)

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundLabel, ...]:
        """Each class with its confidence, in the model's order.

        Raises:
            DecodeError: See ``Decoder.decode``.
        """
        answer = parse(_ANSWER, prediction, self.name, row)
        found = []
        for index, part in enumerate(answer if isinstance(answer, list) else [answer]):
            label = class_name(part.label, self.class_names, self.name, row, f"[{index}].label")
            c = None if part.score is None else unit(part.score, self.name, row, f"[{index}].score")
            found.append(FoundLabel(label, c))
        return tuple(found)

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form."""
        return fit_of(_FORM, prediction)
