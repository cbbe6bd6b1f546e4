"""Answers to questions as chips: what was asked, what was answered, how sure, and whether it is right. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from vertex_model_inference.annotations import Answer, Checklist, FreeText, Question, Radio
from vertex_model_inference.pages.shapes import Side

__all__ = ["MOST_CHIPS", "Chip", "chips"]

MOST_CHIPS = 60
"""Of one side of one row."""
_TEXT_CHARACTERS = 400


class Chip(msgspec.Struct, frozen=True, kw_only=True):
    """One answer.

    Attributes:
        side: Whether it was predicted or labelled.
        index: Place of its annotation among the row's predictions (labels), from 0, as in ``agreement/``.
        question: Its name; below an object or an answer the path to it, joined by ``/``.
        answer: Name of the option, or the text, cut where it is long.
        confidence: 0..1, or None.
        verdict: As of ``agreement.py``; empty where it was not judged.
        frames: Stretches (first, last) of a video's frames in which it holds.
    """

    side: Side
    index: int
    question: str
    answer: str
    confidence: float | None = None
    verdict: str = ""
    frames: tuple[tuple[int, int], ...] = ()


def chips(
    annotations: Sequence[object], side: Side, *, verdicts: Mapping[tuple[int, str, str], str] | None = None
) -> tuple[list[Chip], int]:
    """The answers among some annotations, nested ones behind those that they belong to.

    Args:
        annotations: Of one row; what is not an annotation is passed over, but keeps its place.
        side: Which of the two they are.
        verdicts: Place, question's path and option -> what it turned out to be; of texts the option is the question's.

    Returns:
        At most ``MOST_CHIPS`` chips, and how many were left out.
    """
    found: list[Chip] = []
    for index, each in enumerate(annotations):
        if isinstance(each, Radio | Checklist | FreeText):
            found += _chips(each, side, index, "", verdicts or {})
        else:
            for question in getattr(each, "classifications", ()):
                found += _chips(question, side, index, getattr(each, "name", ""), verdicts or {})
    return found[:MOST_CHIPS], max(0, len(found) - MOST_CHIPS)


def _chips(
    question: Question, side: Side, index: int, above: str, verdicts: Mapping[tuple[int, str, str], str]
) -> Iterator[Chip]:
    path = f"{above}/{question.name}" if above else question.name
    answers: tuple[Answer, ...]
    match question:
        case FreeText():
            text = question.text
            yield Chip(
                side=side,
                index=index,
                question=path,
                answer=text if len(text) <= _TEXT_CHARACTERS else f"{text[:_TEXT_CHARACTERS]}…",
                confidence=question.confidence,
                verdict=verdicts.get((index, path, question.name), ""),
            )
            return
        case Radio():
            answers = (question.answer,)
        case Checklist():
            answers = question.answers
    for answer in answers:
        yield Chip(
            side=side,
            index=index,
            question=path,
            answer=answer.name,
            confidence=answer.confidence,
            verdict=verdicts.get((index, path, answer.name), ""),
            frames=answer.frames,
        )
        for nested in answer.classifications:
            yield from _chips(nested, side, index, f"{path}/{answer.name}", verdicts)
