"""Answers that hold in some frames of a video: at each frame those claims compete that hold there.

Ranges are (first, last), frames counted from 1, both ends within.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import msgspec

from vertex_model_inference.annotations import Answer, Checklist, Question, Radio
from vertex_model_inference.errors import MatchError
from vertex_model_inference.findings import FoundLabel
from vertex_model_inference.rows import DataRow
from vertex_model_inference.steps.limits import rank

__all__ = ["Ranges", "common", "held", "joined", "sliced"]

Ranges = tuple[tuple[int, int], ...]

T = TypeVar("T")
_Held = tuple[int, int, Answer]
"""First and last frame in which an answer stands, and the answer."""


def joined(ranges: Sequence[tuple[int, int]]) -> Ranges:
    """The same frames in rising ranges that neither overlap nor touch."""
    made: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if made and first <= made[-1][1] + 1:
            made[-1] = (made[-1][0], max(made[-1][1], last))
        else:
            made.append((first, last))
    return tuple(made)


def common(one: Ranges, other: Ranges) -> Ranges:
    """The frames that both have; none given in ``other``: all of ``one``."""
    if not other:
        return one
    both = [(max(a, c), min(b, d)) for a, b in one for c, d in other if max(a, c) <= min(b, d)]
    return joined(both)


def held(found: FoundLabel, row: DataRow) -> Ranges:
    """The ranges in which a label holds, joined.

    Raises:
        MatchError: ``match_frames``, one is no range of frames counted from 1.
    """
    for first, last in found.frames:
        if not 1 <= first <= last:
            raise MatchError(
                f"{found.label!r:.80} holds from frame {first} to {last} of data row {row.id}, which is no range of "
                "frames counted from 1.",
                code="match_frames",
                hint="Correct what the model answers, or the decoder that reads it.",
                data_row_id=row.id,
            )
    return joined(found.frames)


def sliced(
    claims: Sequence[T], ranges: Sequence[Ranges], answer: Callable[[Sequence[T]], Question | None]
) -> list[Question]:
    """Answer one question wherever its claims change, and join again what stays the same.

    Args:
        claims: To the question.
        ranges: Of each claim, not empty.
        answer: Claims that hold at the same time, in their order -> the question as answered then.

    Returns:
        Of a radio one for each answer that stands: in ranges that touch it is one, with the higher confidence; apart
        with another confidence it is several. Of a checklist one, in which each answer has its frames. Frames are on
        the answers.
    """
    starts: dict[int, list[int]] = {}
    ends: dict[int, list[int]] = {}
    for index, mine in enumerate(ranges):
        for first, last in mine:
            starts.setdefault(first, []).append(index)
            ends.setdefault(last + 1, []).append(index)
    bounds = sorted({*starts, *ends})
    active: set[int] = set()
    pieces: list[tuple[int, int, Question]] = []
    for first, beyond in pairwise(bounds):
        active.difference_update(ends.get(first, ()))
        active.update(starts.get(first, ()))
        if active:
            question = answer([claims[index] for index in sorted(active)])
            if question is not None:
                pieces.append((first, beyond - 1, question))
    if not pieces:
        return []
    head = pieces[0][2]
    if isinstance(head, Radio):
        answers = [(first, last, q.answer) for first, last, q in pieces if isinstance(q, Radio)]
        return [msgspec.structs.replace(head, answer=each) for each in _merged(answers)]
    if isinstance(head, Checklist):
        each_answer = [(a, b, one) for a, b, q in pieces if isinstance(q, Checklist) for one in q.answers]
        return [msgspec.structs.replace(head, answers=tuple(_merged(each_answer, whole=True)))]
    return [head]  # texts have no frames


def _merged(held_answers: Sequence[_Held], *, whole: bool = False) -> list[Answer]:
    """Answers that stand, with their frames.

    Args:
        held_answers: Rising by first frame.
        whole: One of all pieces of an answer, with the highest confidence, whether they touch or not.
    """
    runs: dict[Answer, list[_Held]] = {}
    for first, last, answer in held_answers:
        mine = runs.setdefault(_bare(answer), [])
        if mine and mine[-1][1] + 1 == first:
            start, _, before = mine.pop()
            mine.append((start, last, max(before, answer, key=_rank)))
        else:
            mine.append((first, last, answer))
    made: dict[Answer, list[tuple[int, int]]] = {}
    for mine in runs.values():
        best = max((answer for _, _, answer in mine), key=_rank)
        for first, last, answer in mine:
            made.setdefault(best if whole else answer, []).append((first, last))
    return [msgspec.structs.replace(answer, frames=joined(ranges)) for answer, ranges in made.items()]


def _rank(answer: Answer) -> float:
    return rank(answer.confidence)


def _bare(answer: Answer) -> Answer:
    """The answer without its confidences."""
    nested = tuple(map(_bare_question, answer.classifications))
    return msgspec.structs.replace(answer, confidence=None, classifications=nested)


def _bare_question(question: Question) -> Question:
    if isinstance(question, Radio):
        return msgspec.structs.replace(question, answer=_bare(question.answer))
    if isinstance(question, Checklist):
        return msgspec.structs.replace(question, answers=tuple(map(_bare, question.answers)))
    return msgspec.structs.replace(question, confidence=None)
