"""Texts cut at the ends of their entities. Offsets count characters, the end inclusive, as Labelbox counts. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import msgspec

from vertex_model_inference.sandbox.labelbox.page.annotated import Json

__all__ = ["Segment", "Span", "highlight", "span_of"]

Span = tuple[int, int, str, str]
"""First character, last character (inclusive), source, name."""


class Segment(msgspec.Struct, frozen=True):
    """A piece of a text with the names of the entities over it."""

    text: str
    labels: tuple[str, ...]
    predictions: tuple[str, ...]


def span_of(item: Json, source: str) -> tuple[str | None, Span] | None:
    """A text entity: the message it is in (None: the row's own text) and its span; None: it is no text entity."""
    message: str | None = None
    location = item.get("location")
    inside = item.get("conversational_location")
    if isinstance(inside, dict):
        message, location = str(inside.get("message_id")), inside.get("location")
    if isinstance(location, dict) and type(location.get("start")) is int and type(location.get("end")) is int:
        confidence = item.get("confidence")
        name = f"{item.get('name')}" + (f" {confidence:.0%}" if isinstance(confidence, (int, float)) else "")
        return message, (location["start"], location["end"], source, name)
    return None


def highlight(text: str, spans: Sequence[Span]) -> list[Segment]:
    """Cut a text at the ends of its entities; entities may overlap.

    Args:
        text: The text, or its beginning.
        spans: Its entities.
    """
    cuts = {0, len(text)}
    for start, end, _, _ in spans:
        cuts.add(min(max(start, 0), len(text)))
        cuts.add(min(max(end + 1, 0), len(text)))
    segments = []
    for first, last in itertools.pairwise(sorted(cuts)):
        over = [(source, name) for start, end, source, name in spans if start <= first and last <= end + 1]
        segments.append(
            Segment(
                text[first:last],
                tuple(name for source, name in over if source == "label"),
                tuple(name for source, name in over if source == "prediction"),
            )
        )
    return segments
