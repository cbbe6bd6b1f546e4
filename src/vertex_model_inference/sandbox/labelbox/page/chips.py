"""Answers to questions as chips, nested ones with the way that leads to them. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from vertex_model_inference.sandbox.labelbox.page.annotated import Json

__all__ = ["Chip", "answers_of", "chips_of", "short"]

_MOST_TEXT = 300


class Chip(msgspec.Struct, frozen=True):
    """An answer to a question; ``owner`` names the object that a nested question belongs to."""

    source: str
    owner: str
    question: str
    answer: str
    confidence: float | None


def short(text: Any) -> str:
    """A text as it is, or its beginning."""
    words = str(text)
    return words if len(words) <= _MOST_TEXT else words[: _MOST_TEXT - 1] + "…"


def answers_of(item: Json) -> Iterator[tuple[str, float | None, list[Json]]]:
    """Text, confidence and nested questions of each answer of a classification."""
    for prefix in ("", "conversational_"):
        radio = item.get(f"{prefix}radio_answer")
        if radio is not None:
            yield str(radio.get("name")), radio.get("confidence"), radio.get("classifications") or []
        for one in item.get(f"{prefix}checklist_answers") or ():
            yield str(one.get("name")), one.get("confidence"), one.get("classifications") or []
        text = item.get(f"{prefix}text_answer")
        if text is not None:
            yield str(text.get("content")), text.get("confidence"), text.get("classifications") or []


def chips_of(item: Json, source: str, owner: str = "") -> Iterator[Chip]:
    """The chips of a classification.

    Args:
        item: Its export form.
        source: ``label`` or ``prediction``.
        owner: What it belongs to, in words; "" for the data row itself.
    """
    name = str(item.get("name"))
    for text, confidence, nested in answers_of(item):
        yield Chip(source, short(owner), short(name), short(text), confidence)
        for question in nested:
            yield from chips_of(question, source, f"{owner} › {text}" if owner else text)
