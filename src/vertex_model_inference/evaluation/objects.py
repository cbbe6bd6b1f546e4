"""Objects of one kind, such as boxes: matched row by row, then measured over all rows.

Matching is COCO's, per class: the most confident prediction chooses first, among the labels that no other has taken,
the one that it overlaps most. What is left over is matched once more across classes, for the confusion matrix only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vertex_model_inference.evaluation.arrays import Bools, Columns, Flags, Floats, Ints, Table
from vertex_model_inference.evaluation.calibration import calibration
from vertex_model_inference.evaluation.classes import averages, class_score, ratio
from vertex_model_inference.evaluation.names import Numbers
from vertex_model_inference.evaluation.pairing import Overlaps, by_confidence
from vertex_model_inference.evaluation.scores import Averages, ClassScore, Confusion, LevelScore, ObjectScore
from vertex_model_inference.evaluation.sweep import average_precision

__all__ = ["COCO_LEVELS", "Measure", "Met", "ObjectTally", "Side", "distances", "ious", "spans"]

COCO_LEVELS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
_DISTANCES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
_ANY = 1e-9


class Measure(NamedTuple):
    """How overlap is measured, and at which levels.

    Attributes:
        name: ``iou``, ``distance`` or ``span``.
        levels: Least overlaps, the chosen one first, at most 16; distances as negative numbers.
        words: Of each level, for people.
        averaged: Which of the levels make the mean average precision.
    """

    name: str
    levels: tuple[float, ...]
    words: tuple[str, ...]
    averaged: tuple[int, ...]

    @property
    def least(self) -> float:
        """The lowest level: pairs below it need not be looked at."""
        return min(self.levels)


def ious(chosen: float) -> Measure:
    """Intersection over union: the chosen level, and .5, .55 ... .95 as in COCO."""
    levels = (chosen, *(level for level in COCO_LEVELS if level != chosen))
    averaged = tuple(number for number, level in enumerate(levels) if level in COCO_LEVELS)
    return Measure("iou", levels, tuple(f"{level:g}" for level in levels), averaged)


def distances(chosen: float) -> Measure:
    """Distance in pixels: the chosen one, and 1 to 100."""
    levels = (chosen, *(level for level in _DISTANCES if level != chosen))
    return Measure("distance", tuple(-level for level in levels), tuple(f"{level:g}" for level in levels), (0,))


def spans() -> Measure:
    """Spans of a text or words of a document: exactly the same, or sharing anything."""
    return Measure("span", (1.0, _ANY), ("exact", "overlap"), (0,))


class Side(NamedTuple):
    """Predictions, or labels, of a few rows.

    Attributes:
        unit: What can overlap shares a unit (row, page or frame): its number; shape (n,).
        row: Number of the data row, unique in the run. ``split``: of its split. ``label``: of its class.
        score: Confidence; of labels: not used.
    """

    unit: Ints
    row: Ints
    split: Ints
    label: Ints
    score: Floats


class Met(NamedTuple):
    """What met what, at the chosen level.

    Attributes:
        label: Of each prediction: the label it is matched to, or -1; of its own class or (``same`` False) another.
        same: Whether that is of the prediction's class: whether the prediction is right.
        overlap: Their overlap (IoU, -pixels); 0 where there is none.
    """

    label: Ints
    same: Bools
    overlap: Floats


class ObjectTally:
    """Counts the objects of one kind: confidence, class and levels reached of each; never its geometry.

    Args:
        kind: See ``scores.ObjectScore``.
        measure: How overlap is measured.
    """

    def __init__(self, kind: str, measure: Measure) -> None:
        self.kind = kind
        self.measure = measure
        self.classes = Numbers()
        self._said = Columns(
            row=np.int32, split=np.int8, label=np.int32, score=np.float64, flags=np.uint16, overlap=np.float32,
            instead=np.int32,
        )  # fmt: skip
        self._meant = Columns(row=np.int32, split=np.int8, label=np.int32, missed=np.bool_)

    def add(self, said: Side, meant: Side, overlaps: Overlaps) -> Met:
        """Match and count some rows; all objects of a unit must be in one call.

        Args:
            said: Predictions. ``meant``: labels.
            overlaps: Pairs of one unit, of any two classes, from ``measure.least`` on.
        """
        alike = said.label[overlaps.prediction] == meant.label[overlaps.label]
        same = Overlaps(*(column[alike] for column in overlaps))
        flags, label, overlap = by_confidence(same, said.score, np.asarray(self.measure.levels))
        right = label >= 0
        free = np.ones(len(meant.unit), dtype=np.bool_)
        free[label[right]] = False
        left = ~right[overlaps.prediction] & free[overlaps.label] & ~alike
        other = Overlaps(*(column[left] for column in overlaps))
        _, wrong, wrong_overlap = by_confidence(other, said.score, np.asarray(self.measure.levels[:1]))
        confused = wrong >= 0
        label[confused], overlap[confused] = wrong[confused], wrong_overlap[confused]
        instead = np.full(len(label), -1, dtype=np.int64)
        instead[label >= 0] = meant.label[label[label >= 0]]
        free[label[label >= 0]] = False
        self._said.add(said.row, said.split, said.label, said.score, flags, overlap, instead)
        self._meant.add(meant.row, meant.split, meant.label, free)
        return Met(label, right, overlap)

    def records(self) -> tuple[Table, Table]:
        """The tables of predictions and labels, for comparing runs."""
        return self._said.get(), self._meant.get()

    def score(self, split: int | None) -> ObjectScore:
        """The figures of a split; None: of all rows."""
        said, meant = self._said.of_split(split), self._meant.of_split(split)
        names, levels = self.classes.names, len(self.measure.levels)
        support = np.bincount(meant["label"], minlength=len(names))
        classes: list[ClassScore] = []
        precisions: list[Floats] = []
        for number, name in enumerate(names):
            mine = said["label"] == number
            if not support[number] and not mine.any():
                continue
            one, ap = self._class(name, {key: column[mine] for key, column in said.items()}, int(support[number]))
            classes.append(one)
            if support[number]:
                precisions.append(ap)
        table = np.asarray(precisions).reshape(len(precisions), levels)
        right = _bit(said["flags"], 0)
        hits, predictions, labels = int(right.sum()), len(right), len(meant["label"])
        found_levels = tuple(self._level(number, said["flags"], labels, table) for number in range(levels))
        averaged = table[:, list(self.measure.averaged)]
        return ObjectScore(
            kind=self.kind,
            measure=self.measure.name,
            at=self.measure.words[0],
            labels=labels,
            predictions=predictions,
            mean_average_precision=float(averaged.mean()) if averaged.size else None,
            mean_overlap=float(np.abs(said["overlap"][right]).mean(dtype=np.float64)) if hits else None,
            levels=found_levels,
            micro=Averages(
                ratio(hits, predictions) or 0.0,
                ratio(hits, labels) or 0.0,
                ratio(2 * hits, predictions + labels) or 0.0,
            ),
            macro=averages(classes),
            classes=tuple(classes),
            confusion=_confusion(names, said, meant),
            calibration=calibration(said["score"], right),
        )

    def _class(self, name: str, said: Table, labels: int) -> tuple[ClassScore, Floats]:
        precisions = average_precision(said["score"], said["flags"], labels, len(self.measure.levels))
        right = _bit(said["flags"], 0)
        overlap = np.abs(said["overlap"][right])
        return (
            class_score(
                name,
                said["score"],
                right,
                labels,
                average_precision=float(precisions[list(self.measure.averaged)].mean()) if labels else None,
                average_precision_at=float(precisions[0]) if labels else None,
                mean_overlap=float(overlap.mean(dtype=np.float64)) if len(overlap) else None,
            ),
            precisions,
        )

    def _level(self, number: int, flags: Flags, labels: int, table: Floats) -> LevelScore:
        hits = int(_bit(flags, number).sum())
        return LevelScore(
            level=self.measure.words[number],
            right=hits,
            precision=ratio(hits, len(flags)),
            recall=ratio(hits, labels),
            f1=ratio(2 * hits, len(flags) + labels),
            mean_average_precision=float(table[:, number].mean()) if len(table) else None,
        )


def _bit(flags: Flags, number: int) -> Bools:
    found: Bools = ((flags >> np.uint16(number)) & 1).astype(np.bool_)
    return found


def _confusion(names: Sequence[str], said: Table, meant: Table) -> Confusion:
    used = np.unique(np.concatenate((said["label"], meant["label"])))
    n = len(used)
    place = np.full(len(names) + 1, n, dtype=np.int64)  # the last entry serves -1: no label there
    place[used] = np.arange(n)
    counts = np.zeros((n + 1, n + 1), dtype=np.int64)
    np.add.at(counts, (place[said["instead"]], place[said["label"]]), 1)
    missed = meant["label"][meant["missed"]]
    np.add.at(counts, (place[missed], np.full(len(missed), n)), 1)
    return Confusion(tuple(names[k] for k in used), tuple(tuple(row) for row in counts.tolist()))
