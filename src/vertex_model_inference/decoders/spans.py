"""What decoders of text entities share."""

from __future__ import annotations

from vertex_model_inference.decoders.base import refuse
from vertex_model_inference.findings import FoundEntity
from vertex_model_inference.rows import DataRow

__all__ = ["entity"]

_LONGEST = 2**53 - 1
"""Largest offset: what JSON carries exactly everywhere, far over any text."""


def entity(
    label: str, start: int, last: int, confidence: float | None, row: DataRow, name: str, where: str
) -> FoundEntity:
    """A span from its first to its last character, both inclusive, from 0.

    Raises:
        DecodeError: It begins before the text, is empty, or the label is.
    """
    if not 0 <= start <= last <= _LONGEST:
        refuse(
            name,
            row,
            f"{where} goes from character {start} to {last} inclusive",
            "Its first character must be 0 or more and not come after its last.",
        )
    if not label:
        refuse(name, row, f"{where} has an empty class")
    return FoundEntity(label, start, last, confidence)
