"""A decoder as users write them, of the kinds that no built-in family gives: lines, and texts about the whole asset."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.findings import FoundLine, FoundText
from vertex_model_inference.rows import DataRow


class _Stroke(msgspec.Struct):
    pen: str
    way: list[tuple[float, float]]
    sure: float


class Strokes:
    """``[{"pen", "way", "sure"}]``."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self.decoder = msgspec.json.Decoder(list[_Stroke])

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundLine, ...]:
        """A line of each."""
        return tuple(FoundLine(one.pen, tuple(one.way), one.sure) for one in self.decoder.decode(prediction))


class _Caption(msgspec.Struct):
    says: str
    sure: float


class Captions:
    """``{"says", "sure"}``."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self.decoder = msgspec.json.Decoder(_Caption)

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundText, ...]:
        """A text."""
        one = self.decoder.decode(prediction)
        return (FoundText("description", one.says, one.sure),)
