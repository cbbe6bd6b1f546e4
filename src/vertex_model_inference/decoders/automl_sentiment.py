"""``automl-sentiment``: AutoML text sentiment.

Source: ``TextSentimentPredictionResult`` in
``google/cloud/aiplatform/v1/schema/predict/prediction/text_sentiment.proto``::

    {"sentiment": 3}

from 0, the most negative, up to the dataset's ``sentimentMax``. The class is the number as text, or the class name of
that index. Protobuf's JSON leaves a zero out, so that ``{}`` is 0. There is no confidence.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import Fit, class_name, fit_of, parse, refuse
from vertex_model_inference.findings import FoundLabel
from vertex_model_inference.rows import DataRow

__all__ = ["AutomlSentiment"]


class _Answer(msgspec.Struct):
    sentiment: int = 0


class _Form(msgspec.Struct):
    sentiment: int


_ANSWER = msgspec.json.Decoder(_Answer)
_FORM = msgspec.json.Decoder(_Form)


class AutomlSentiment:
    """AutoML sentiment; see the module's docstring for the form."""

    name = "automl-sentiment"

    def __init__(self, class_names: Sequence[str] = ()) -> None:
        self.class_names = tuple(class_names)

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundLabel, ...]:
        """The sentiment as a class.

        Raises:
            DecodeError: See ``Decoder.decode``; also for a negative number.
        """
        value = parse(_ANSWER, prediction, self.name, row).sentiment
        if value < 0:
            refuse(self.name, row, f"sentiment is {value}, it must be 0 or more")
        return (FoundLabel(class_name(value, self.class_names, self.name, row, "sentiment")),)

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form."""
        return fit_of(_FORM, prediction)
