"""``displaynames``: custom containers that imitate AutoML classification, as Vertex's own samples do.

Source: the samples of custom prediction routines in ``GoogleCloudPlatform/vertex-ai-samples``, and AutoML video's
singular form (``prediction/video_classification.proto``). Any of::

    {"displayNames": ["cat", "dog"], "confidences": [0.7, 0.3]}       also display_names; confidences may be missing
    {"displayName": "cat", "confidence": 0.7}                         also display_name; confidence may be missing
    [{"displayName": "cat", "confidence": 0.7}, ...]
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import Fit, fit_of, parse, refuse, unit
from vertex_model_inference.findings import FoundLabel
from vertex_model_inference.rows import DataRow

__all__ = ["DisplayNames"]


class _Answer(msgspec.Struct):
    many: list[str] | None = msgspec.field(default=None, name="displayNames")
    many_snake: list[str] | None = msgspec.field(default=None, name="display_names")
    confidences: list[float] | None = None
    one: str | None = msgspec.field(default=None, name="displayName")
    one_snake: str | None = msgspec.field(default=None, name="display_name")
    confidence: float | None = None

    def pairs(self) -> tuple[list[str], list[float] | list[None]] | None:
        """Names and confidences of equal meaning in all forms; None: no name in it at all."""
        names = self.many if self.many is not None else self.many_snake
        if names is not None:
            return names, self.confidences if self.confidences is not None else [None] * len(names)
        name = self.one if self.one is not None else self.one_snake
        if name is None:
            return None
        return [name], [None] if self.confidence is None else [self.confidence]


_ANSWER = msgspec.json.Decoder(_Answer | list[_Answer])


class DisplayNames:
    """AutoML-like classification of custom containers; see the module's docstring for the forms."""

    name = "displaynames"

    def __init__(self, class_names: Sequence[str] = ()) -> None:
        self.class_names = tuple(class_names)  # the names are in the answer; kept for the common constructor

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundLabel, ...]:
        """Each class with its confidence, in the model's order.

        Raises:
            DecodeError: See ``Decoder.decode``.
        """
        answer = parse(_ANSWER, prediction, self.name, row)
        found = []
        for part in answer if isinstance(answer, list) else [answer]:
            pairs = part.pairs()
            if pairs is None:
                refuse(self.name, row, "it has neither displayNames nor displayName")
            names, confidences = pairs
            if len(names) != len(confidences):
                refuse(self.name, row, f"it has {len(names)} displayNames but {len(confidences)} confidences")
            for label, c in zip(names, confidences, strict=True):
                checked = None if c is None else unit(c, self.name, row, f"confidence of {label!r}")
                found.append(FoundLabel(label, checked))
        return tuple(found)

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form."""
        fit = fit_of(_ANSWER, prediction)
        if not fit.form:
            return fit
        answer = _ANSWER.decode(prediction)
        parts = answer if isinstance(answer, list) else [answer]
        form = all(part.pairs() is not None for part in parts)
        return Fit(form=form, content=form and bool(parts))
