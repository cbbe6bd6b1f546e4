"""The kinds of objects: which annotations they are, and how each kind's geometry is compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np

from vertex_model_inference.annotations import (
    Annotation,
    Box,
    DocumentEntity,
    Mask,
    Point,
    Polygon,
    Polyline,
    TextEntity,
    VideoBox,
    VideoMask,
)
from vertex_model_inference.evaluation import overlaps
from vertex_model_inference.evaluation.agreement import LabelVerdict, Meant, Said, SaidVerdict
from vertex_model_inference.evaluation.arrays import Floats, Ints
from vertex_model_inference.evaluation.choices import confident
from vertex_model_inference.evaluation.frames import boxes_by_frame
from vertex_model_inference.evaluation.objects import Met, ObjectTally, Side
from vertex_model_inference.evaluation.pairing import Overlaps
from vertex_model_inference.evaluation.questions import Questions, RowNotes
from vertex_model_inference.rows import Split

__all__ = ["KINDS", "Annotated", "Group", "Judged", "Kind", "Unmeasured", "judge_objects", "note_matches"]


class Unmeasured(msgspec.Struct, frozen=True, gc=False):
    """Holds the place of what cannot be judged: of a kind that is not read, or whose label could not be had."""

    name: str = ""
    confidence: float = 1.0


Annotated = Annotation | DocumentEntity | Unmeasured
"""What predictions and labels may hold."""


class Pair(Protocol):
    """A row with its predictions and labels."""

    @property
    def split(self) -> Split:
        """Of the row."""

    @property
    def predictions(self) -> tuple[Annotated, ...] | None:
        """What is predicted."""

    @property
    def labels(self) -> tuple[Annotated, ...] | None:
        """What is labelled."""


Place = tuple[int, int, int, int]
"""Of an annotation: which of the judged rows, the row's number in the run, its split's, and the place in the row."""

Judged = Sequence[tuple[Pair, int, RowNotes]]


class Kind(NamedTuple):
    """One kind of object.

    Attributes:
        name: As of ``scores.ObjectScore``. ``measure``: as of ``objects.Measure``.
        shape: An annotation's geometry, as ``compare`` takes it.
        compare: Geometries and units of predictions and labels, and the least overlap -> overlaps.
        spread: Of videos, in place of ``shape``: frames of an annotation, and its geometry in each.
    """

    name: str
    measure: str
    shape: Callable[[Any], Any]
    compare: Callable[[Any, Any, Ints, Ints, float], Overlaps]
    spread: Callable[[Any], tuple[Ints, Sequence[Any] | Floats]] | None = None


def _itself(annotation: Any) -> Any:
    return annotation


def _box(box: Box) -> tuple[float, float, float, float]:
    return (box.left, box.top, box.width, box.height)


def _mask(mask: Mask) -> overlaps.Drawn:
    return (mask.counts, mask.width, mask.height)


def _video_mask(mask: VideoMask) -> tuple[Ints, Sequence[Any]]:
    frames = np.asarray([frame.frame for frame in mask.frames], dtype=np.int64)
    return frames, [(frame.counts, mask.width, mask.height) for frame in mask.frames]


def _boxes(said: Any, meant: Any, said_unit: Ints, meant_unit: Ints, least: float) -> Overlaps:
    one, other = (np.asarray(side, dtype=np.float64).reshape(-1, 4) for side in (said, meant))
    return overlaps.box_overlaps(one, other, said_unit, meant_unit, least)


KINDS: dict[type[Any], Kind] = {
    Box: Kind("box", "iou", _box, _boxes),
    Polygon: Kind("polygon", "iou", _itself, overlaps.polygon_overlaps),
    Mask: Kind("mask", "iou", _mask, overlaps.mask_overlaps),
    Polyline: Kind("line", "distance", _itself, overlaps.line_closeness),
    Point: Kind("point", "distance", _itself, overlaps.point_closeness),
    TextEntity: Kind("entity", "span", _itself, overlaps.span_overlaps),
    DocumentEntity: Kind("document_entity", "span", _itself, overlaps.document_overlaps),
    VideoBox: Kind("video_box", "iou", _itself, _boxes, boxes_by_frame),
    VideoMask: Kind("video_mask", "iou", _itself, overlaps.mask_overlaps, _video_mask),
}
"""By the type of the annotation."""


class Group:
    """Annotations of one kind on one side, in some rows."""

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.annotations: list[Any] = []

    def side(self, kind: Kind, tally: ObjectTally) -> tuple[Side, Ints, list[Any] | Floats]:
        """As the tally takes it (with units that are not numbered yet: row, and page or frame), the index here of each
        of its objects, and their geometries.
        """
        label_of = tally.classes.of
        label = np.asarray([label_of(each.name) for each in self.annotations], dtype=np.int64)
        score = np.asarray([confident(each.confidence) for each in self.annotations], dtype=np.float64)
        place = np.asarray(self.places, dtype=np.int64).reshape(-1, 4)
        owner = np.arange(len(self.annotations))
        shapes: list[Any] | Floats
        if kind.spread is None:
            shapes = [kind.shape(each) for each in self.annotations]
            # Boxes on pages of documents meet only on one page.
            within = np.asarray([getattr(each, "page", None) or 0 for each in self.annotations], dtype=np.int64)
        else:
            spread = [kind.spread(each) for each in self.annotations]
            owner = np.repeat(owner, [len(frames) for frames, _ in spread])
            within = np.concatenate([frames for frames, _ in spread]) if spread else np.empty(0, dtype=np.int64)
            shapes = [shape for _, found in spread for shape in found]
        unit = place[owner, 0] * (1 << 32) + within
        return Side(unit, place[owner, 1], place[owner, 2], label[owner], score[owner]), owner, shapes


def judge_objects(
    kind: Kind, tally: ObjectTally, said: Group, meant: Group, judged: Judged, questions: Questions
) -> None:
    """Match, count and note the objects of one kind in some rows, and answers about objects that are right.

    Args:
        kind: The kind. ``tally``: where its objects are counted.
        said: Predictions. ``meant``: labels.
        judged: Rows with their numbers and notes.
        questions: Where answers about objects are counted.
    """
    said_side, said_owner, said_shapes = said.side(kind, tally)
    meant_side, meant_owner, meant_shapes = meant.side(kind, tally)
    found = kind.compare(said_shapes, meant_shapes, said_side.unit, meant_side.unit, tally.measure.least)
    met = tally.add(said_side, meant_side, found)
    if kind.spread is None:
        matches = [
            (label, same, abs(value))
            for label, same, value in zip(met.label.tolist(), met.same.tolist(), met.overlap.tolist(), strict=True)
        ]
    else:
        matches = _mostly(met, said_owner, meant_owner, len(said.annotations))
    note_matches(kind.name, judged, said, meant, matches, questions)


Match = tuple[int, bool, float]
"""Of a prediction: the label it is matched to (-1: none), whether of the same class, and their overlap."""


def _mostly(met: Met, said_owner: Ints, meant_owner: Ints, count: int) -> list[Match]:
    """What most of an object's frames met."""
    partners: list[Counter[tuple[int, bool]]] = [Counter() for _ in range(count)]
    sums: Counter[tuple[int, int]] = Counter()
    label = np.where(met.label >= 0, meant_owner[met.label] if len(meant_owner) else -1, -1)
    for owner, other, same, value in zip(
        said_owner.tolist(), label.tolist(), met.same.tolist(), met.overlap.tolist(), strict=True
    ):
        partners[owner][(other, same)] += 1
        sums[(owner, other)] += abs(value)
    matches: list[Match] = []
    for owner, counts in enumerate(partners):
        (other, same), frames = counts.most_common(1)[0] if counts else ((-1, False), 1)
        matches.append((other, same, sums[(owner, other)] / frames))
    return matches


def note_matches(
    name: str, judged: Judged, said: Group, meant: Group, matches: list[Match], questions: Questions
) -> None:
    """Write down what each prediction and each label of one kind turned out to be, and judge answers about objects.

    Args:
        name: Of the kind. ``judged``: rows with their numbers and notes.
        said: Predictions. ``meant``: labels.
        matches: Of each prediction.
        questions: Where answers about objects that are right are counted.
    """
    back: list[tuple[int, bool] | None] = [None] * len(meant.annotations)
    for one, place, (label, same, overlap) in zip(said.annotations, said.places, matches, strict=True):
        _, _, notes = judged[place[0]]
        confidence = one.confidence
        if label < 0:
            notes.said.append(
                Said(index=place[3], feature=name, name=one.name, verdict=_FALSE_ALARM, confidence=confidence)
            )
            continue
        if back[label] is None or same:
            back[label] = (place[3], same)
        index = meant.places[label][3]
        notes.said.append(
            Said(
                index=place[3],
                feature=name,
                name=one.name,
                verdict=_RIGHT if same else _CONFUSED,
                confidence=confidence,
                label=index,
                overlap=round(overlap, 6),
            )
        )
        if same:
            asked = getattr(meant.annotations[label], "classifications", ())
            told = getattr(one, "classifications", ())
            if asked or told:
                questions.judge(
                    f"{one.name}/",
                    [(index, question) for question in asked],
                    [(place[3], question) for question in told],
                    (place[1], place[2]),
                    notes,
                )
    for one, place, found in zip(meant.annotations, meant.places, back, strict=True):
        verdict, prediction = _MISSED, None
        if found is not None:
            prediction, same = found
            verdict = LabelVerdict.FOUND if same else LabelVerdict.CONFUSED
        judged[place[0]][2].meant.append(
            Meant(index=place[3], feature=name, name=one.name, verdict=verdict, prediction=prediction)
        )


_RIGHT, _CONFUSED, _FALSE_ALARM = SaidVerdict.RIGHT, SaidVerdict.CONFUSED, SaidVerdict.FALSE_ALARM
_MISSED = LabelVerdict.MISSED
