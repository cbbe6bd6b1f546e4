"""Videos: objects and answers frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import msgspec
import numpy as np

from vertex_model_inference.annotations import Answer, Checklist, Radio, VideoBox
from vertex_model_inference.evaluation.arrays import Floats, Ints

__all__ = ["boxes_by_frame", "through_time"]

Q = TypeVar("Q", Radio, Checklist)


def boxes_by_frame(track: VideoBox) -> tuple[Ints, Floats]:
    """Where an object is in each frame in which it is seen: between key frames along straight lines, as Labelbox fills
    them in.

    Returns:
        Frames, each once, rising, shape (n,); left, top, width, height in pixels, shape (n, 4).
    """
    frames: list[Ints] = []
    boxes: list[Floats] = []
    for segment in track.segments:
        if not segment:
            continue
        keys = sorted(segment, key=lambda key: key.frame)
        at = np.asarray([key.frame for key in keys], dtype=np.float64)
        known = np.asarray([(key.left, key.top, key.width, key.height) for key in keys], dtype=np.float64)
        every = np.arange(keys[0].frame, keys[-1].frame + 1)
        frames.append(every)
        boxes.append(np.stack([np.interp(every, at, known[:, side]) for side in range(4)], axis=1))
    if not frames:
        return np.empty(0, dtype=np.int64), np.empty((0, 4))
    whole, first = np.unique(np.concatenate(frames), return_index=True)
    return whole.astype(np.int64), np.concatenate(boxes)[first]


def through_time(labels: Sequence[Q], said: Sequence[Q]) -> list[tuple[Q, Q | None, int]]:
    """Answers to one question that hold in some frames only: stretches in which neither side changes.

    Args:
        labels: Labelled answers with their frames. ``said``: predicted ones; those without frames hold everywhere.

    Returns:
        Of each stretch in which something is labelled: the label, the prediction (None: nothing), frames.
    """
    ends = {0}
    for question in (*labels, *said):
        for answer in _answers(question):
            for first, last in answer.frames:
                ends.update((first, last + 1))
    found = []
    edges = sorted(ends)
    for start, stop in pairwise(edges):
        label = _at(labels, start)
        if label is not None:
            found.append((label, _at(said, start), stop - start))
    return found


def _answers(question: Radio | Checklist) -> tuple[Answer, ...]:
    return (question.answer,) if isinstance(question, Radio) else question.answers


def _at(questions: Sequence[Q], frame: int) -> Q | None:
    """What is answered in that frame: of radios the first answer, of checklists all."""
    holding = [
        (question, answer)
        for question in questions
        for answer in _answers(question)
        if not answer.frames or any(first <= frame <= last for first, last in answer.frames)
    ]
    if not holding:
        return None
    question = holding[0][0]
    if isinstance(question, Radio):
        return msgspec.structs.replace(question, answer=holding[0][1])
    return msgspec.structs.replace(question, answers=tuple(answer for _, answer in holding))
