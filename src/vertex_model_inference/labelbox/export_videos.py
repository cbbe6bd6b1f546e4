"""Labels of videos: what each frame shows, put together to objects and answers through time.

Format: as of ``export_answers.py``; ``frames`` holds the frames in which something is stated (key frames, or all),
``segments`` the stretches in which each feature is present. Frames count from 1.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from vertex_model_inference.annotations import Answer, Checklist, FreeText, KeyFrame, Radio, VideoBox
from vertex_model_inference.labelbox.export_answers import ExportQuestion, answered
from vertex_model_inference.labelbox.linked_masks import LinkedVideoMask
from vertex_model_inference.labelbox.vocabulary import Vocabulary

__all__ = ["Frame", "video_annotations"]


class _Box(msgspec.Struct):
    left: float
    top: float
    width: float
    height: float


class _Link(msgspec.Struct):
    url: str


class _Object(msgspec.Struct):
    name: str | None = None
    value: str | None = None
    feature_schema_id: str | None = None
    annotation_kind: str | None = None
    bounding_box: _Box | None = None
    mask: _Link | None = None


class Frame(msgspec.Struct):
    """What is stated in one frame: objects by feature id, and answers."""

    objects: dict[str, _Object] | None = None
    classifications: list[ExportQuestion] | None = None


Found = VideoBox | LinkedVideoMask | Radio | Checklist | FreeText
Spans = dict[str, list[tuple[int, int]]]


def video_annotations(
    frames: dict[str, Frame], segments: Spans, names: Vocabulary, unsupported: Counter[str]
) -> list[Found]:
    """The objects and answers of a video.

    Args:
        frames: Number of the frame, as text -> what it states.
        segments: Feature id -> (first, last) frames of its stretches.
        names: Of the ontology.
        unsupported: Kinds that there is no type for are counted here.
    """
    numbered = sorted((int(number), frame) for number, frame in frames.items() if number.isdecimal())
    return [*_boxes(numbered, segments, names, unsupported), *_answers(numbered, segments, names, unsupported)]


def _boxes(
    frames: list[tuple[int, Frame]], segments: Spans, names: Vocabulary, unsupported: Counter[str]
) -> list[Found]:
    keys: dict[str, list[KeyFrame]] = {}
    heads: dict[str, _Object] = {}
    strange: dict[str, str] = {}
    masks: dict[str, list[tuple[int, str]]] = {}
    for number, frame in frames:
        for feature_id, each in (frame.objects or {}).items():
            box = each.bounding_box
            if each.mask is not None:
                heads.setdefault(feature_id, each)
                masks.setdefault(feature_id, []).append((number, each.mask.url))
                continue
            if box is None or box.width <= 0 or box.height <= 0:
                strange[feature_id] = each.annotation_kind or "unknown video object"
                continue
            heads.setdefault(feature_id, each)
            keys.setdefault(feature_id, []).append(KeyFrame(number, box.left, box.top, box.width, box.height))
    unsupported.update(kind for feature_id, kind in strange.items() if feature_id not in keys)
    found: list[Found] = []
    for feature_id, frames_of in keys.items():
        head = heads[feature_id]
        schema_id = head.feature_schema_id or ""
        found.append(
            VideoBox(
                names.name(head.name or head.value, schema_id),
                schema_id,
                _stretches(frames_of, segments.get(feature_id) or [(frames_of[0].frame, frames_of[-1].frame)]),
            )
        )
    for feature_id, pictures in masks.items():
        head = heads[feature_id]
        schema_id = head.feature_schema_id or ""
        found.append(LinkedVideoMask(names.name(head.name or head.value, schema_id), schema_id, tuple(pictures)))
    return found


def _stretches(keys: list[KeyFrame], spans: list[tuple[int, int]]) -> tuple[tuple[KeyFrame, ...], ...]:
    """The key frames of each stretch; the last one holds to the stretch's end."""
    found = []
    for first, last in sorted(spans):
        within = [key for key in keys if first <= key.frame <= last]
        if not within:
            continue
        if within[-1].frame < last:
            within.append(msgspec.structs.replace(within[-1], frame=last))
        found.append(tuple(within))
    return tuple(found)


def _answers(
    frames: list[tuple[int, Frame]], segments: Spans, names: Vocabulary, unsupported: Counter[str]
) -> list[Found]:
    """Each answer with the stretches at both ends of which it is stated."""
    stated: dict[str, dict[int, dict[str, Answer]]] = {}
    questions: dict[str, Radio | Checklist] = {}
    texts: dict[str, dict[int, FreeText]] = {}
    for number, frame in frames:
        for question in frame.classifications or ():
            made = answered(question, names)
            if made is None:
                unsupported["unknown classification"] += 1
                continue
            if isinstance(made, FreeText):
                texts.setdefault(question.feature_id, {})[number] = made
                continue
            questions.setdefault(question.feature_id, made)
            answers = (made.answer,) if isinstance(made, Radio) else made.answers
            there = stated.setdefault(question.feature_id, {}).setdefault(number, {})
            there.update((answer.name, answer) for answer in answers)
    found: list[Found] = []
    for feature_id, made in questions.items():
        at = stated[feature_id]
        held: dict[str, tuple[Answer, list[tuple[int, int]]]] = {}
        for first, last in segments.get(feature_id) or [(number, number) for number in at]:
            for name in at.get(first, {}).keys() & at.get(last, {}).keys():
                held.setdefault(name, (at[first][name], []))[1].append((first, last))
        chosen = [msgspec.structs.replace(one, frames=tuple(sorted(spans))) for one, spans in held.values()]
        if isinstance(made, Radio):
            found += [msgspec.structs.replace(made, answer=answer) for answer in chosen]
        elif chosen:
            found.append(msgspec.structs.replace(made, answers=tuple(sorted(chosen, key=lambda each: each.name))))
    for feature_id, stated_texts in texts.items():
        found += _texts(stated_texts, segments.get(feature_id) or [(number, number) for number in stated_texts])
    return found


def _texts(stated: dict[int, FreeText], spans: list[tuple[int, int]]) -> list[FreeText]:
    """Each text that is written, with the frames in which it stands."""
    held: dict[str, tuple[FreeText, list[tuple[int, int]]]] = {}
    for first, last in sorted(spans):
        if first in stated:
            held.setdefault(stated[first].text, (stated[first], []))[1].append((first, last))
    return [msgspec.structs.replace(one, frames=tuple(where)) for one, where in held.values()]
