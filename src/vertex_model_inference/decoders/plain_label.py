"""``plain``: the answer is the class itself, by name or by number.

Source: what Vertex's prebuilt scikit-learn and XGBoost containers answer for ``predict`` of a classifier (one value an
instance, see "Custom-trained models: output" of the Vertex AI documentation)::

    "cat"        3        3.0        ["cat"]

A number is an index into the class names. There is no confidence.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import Fit, class_name, fit_of, parse, refuse
from vertex_model_inference.findings import FoundLabel
from vertex_model_inference.rows import DataRow

__all__ = ["PlainLabel"]

_ANSWER = msgspec.json.Decoder(str | float | list[str | float])
_FORM = msgspec.json.Decoder(str | int | list[str])
"""To recognise: a number with a fraction is a score, and a list of numbers a vector, not a class."""


class PlainLabel:
    """One class; see the module's docstring for the forms."""

    name = "plain"

    def __init__(self, class_names: Sequence[str] = ()) -> None:
        self.class_names = tuple(class_names)

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundLabel, ...]:
        """The class, without a confidence.

        Raises:
            DecodeError: See ``Decoder.decode``; also for more than one class.
        """
        answer = parse(_ANSWER, prediction, self.name, row)
        if isinstance(answer, list):
            if len(answer) != 1:
                refuse(self.name, row, f"it is a list of {len(answer)}, one class was expected")
            answer = answer[0]
        label = class_name(answer, self.class_names, self.name, row, "the answer")
        if not label:
            refuse(self.name, row, "the class is an empty text")
        return (FoundLabel(label),)

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form."""
        return fit_of(_FORM, prediction)
