"""Objects of one kind, such as boxes: matched row by row, then measured over all rows.

Matching is COCO's, per class: the most confident prediction chooses first, among the labels that no other has taken,
the one that it overlaps most. What is left over is matched once more across classes, for the confusion matrix only.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import NamedTuple

import numpy as np

from vertex_model_inference.evaluation.arrays import Bools, Columns, Flags, Floats, Ints, Table, by_number, summed
from vertex_model_inference.evaluation.calibration import BINS, binned, calibration
from vertex_model_inference.evaluation.classes import averages, class_score, ratio
from vertex_model_inference.evaluation.names import Numbers
from vertex_model_inference.evaluation.pairing import Overlaps, by_confidence
from vertex_model_inference.evaluation.scores import Averages, ClassScore, Confusion, LevelScore, ObjectScore
from vertex_model_inference.evaluation.sweep import average_precision, falling

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
        keep_rows: Remember which row each object is of, for ``records``.
    """

    def __init__(self, kind: str, measure: Measure, *, keep_rows: bool = False) -> None:
        self.kind = kind
        self.measure = measure
        self.classes = Numbers()
        self._keep_rows = keep_rows
        self._said = Columns(
            () if keep_rows else ("row",),
            row=np.int32, split=np.int8, label=np.int32, score=np.float64, flags=np.uint16,
        )  # fmt: skip
        self._meant = Columns(row=np.int32, label=np.int32)
        # What needs no ranking is only counted.
        self._support: Counter[tuple[int, int]] = Counter()  # split, class of labels
        self._overlap: dict[tuple[int, int], float] = defaultdict(
            float
        )  # split, class of right predictions -> sum of overlaps
        self._pairs: Counter[tuple[int, int, int]] = Counter()  # split, labelled class, predicted class; -1: none

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
        self._said.add(said.row, said.split, said.label, said.score, flags)
        if self._keep_rows:
            self._meant.add(meant.row, meant.label)
        for (split, number), count in summed(None, meant.split, meant.label):
            self._support[(split, number)] += int(count)
        for (split, number), total in summed(np.abs(overlap[right]), said.split[right], said.label[right]):
            self._overlap[(split, number)] += total
        for (split, meant_as, said_as), count in summed(None, said.split, instead, said.label):
            self._pairs[(split, meant_as, said_as)] += int(count)
        for (split, number), count in summed(None, meant.split[free], meant.label[free]):
            self._pairs[(split, number, -1)] += int(count)
        return Met(label, right, overlap)

    def records(self) -> tuple[Table, Table]:
        """The tables of predictions and labels, for comparing runs: only where rows are kept."""
        return self._said.get(), self._meant.get()

    def score(self, split: int | None) -> ObjectScore:
        """The figures of a split; None: of all rows."""
        said = self._said.get()
        names, levels = self.classes.names, len(self.measure.levels)
        support, overlap = ([0.0] * len(names) for _ in range(2))
        for sums, known in ((support, self._support), (overlap, self._overlap)):
            for (of, number), total in known.items():
                if split in (None, of):
                    sums[number] += total
        classes: list[ClassScore] = []
        precisions: list[Floats] = []
        hits, bins = np.zeros(levels, dtype=np.int64), np.zeros((3, BINS))
        for number, each in enumerate(by_number(said["label"], len(names))):
            mine = each if split is None else each[said["split"][each] == split]
            labels = int(support[number])
            if not labels and not len(mine):
                continue
            score, flags = said["score"][mine], said["flags"][mine]
            right = _bit(flags, 0)
            one, ap = self._class(names[number], score, flags, labels, overlap[number])
            classes.append(one)
            hits += [int(np.count_nonzero(flags & np.uint16(1 << level))) for level in range(levels)]
            bins += binned(score, right)
            if labels:
                precisions.append(ap)
        table = np.asarray(precisions).reshape(len(precisions), levels)
        labels, predictions = sum(one.labels for one in classes), sum(one.predictions for one in classes)
        found_levels = tuple(
            self._level(number, right, predictions, labels, table) for number, right in enumerate(hits.tolist())
        )
        averaged = table[:, list(self.measure.averaged)]
        level = found_levels[0]
        return ObjectScore(
            kind=self.kind,
            measure=self.measure.name,
            at=self.measure.words[0],
            labels=labels,
            predictions=predictions,
            mean_average_precision=float(averaged.mean()) if averaged.size else None,
            mean_overlap=ratio(sum(overlap), level.right),
            levels=found_levels,
            micro=Averages(level.precision or 0.0, level.recall or 0.0, level.f1 or 0.0),
            macro=averages(classes),
            classes=tuple(classes),
            confusion=self._confusion(split),
            calibration=calibration(bins),
        )

    def _class(self, name: str, score: Floats, flags: Flags, labels: int, overlap: float) -> tuple[ClassScore, Floats]:
        order = falling(score)
        precisions = average_precision(score, flags, labels, len(self.measure.levels), order=order)
        right = _bit(flags, 0)
        return (
            class_score(
                name,
                score,
                right,
                labels,
                order=order,
                average_precision=float(precisions[list(self.measure.averaged)].mean()) if labels else None,
                average_precision_at=float(precisions[0]) if labels else None,
                mean_overlap=ratio(overlap, int(right.sum())),
            ),
            precisions,
        )

    def _level(self, number: int, hits: int, predictions: int, labels: int, table: Floats) -> LevelScore:
        return LevelScore(
            level=self.measure.words[number],
            right=hits,
            precision=ratio(hits, predictions),
            recall=ratio(hits, labels),
            f1=ratio(2 * hits, predictions + labels),
            mean_average_precision=float(table[:, number].mean()) if len(table) else None,
        )

    def _confusion(self, split: int | None) -> Confusion:
        found = {key[1:]: 0 for key in self._pairs if split in (None, key[0])}
        for (each, meant, said), count in self._pairs.items():
            if split in (None, each):
                found[(meant, said)] += count
        used = sorted({number for pair in found for number in pair if number >= 0})
        place = {number: at for at, number in enumerate(used)}
        counts = np.zeros((len(used) + 1, len(used) + 1), dtype=np.int64)
        for (meant, said), count in found.items():
            counts[place.get(meant, len(used)), place.get(said, len(used))] = count
        return Confusion(tuple(self.classes.names[k] for k in used), tuple(tuple(row) for row in counts.tolist()))


def _bit(flags: Flags, number: int) -> Bools:
    found: Bools = ((flags >> np.uint16(number)) & 1).astype(np.bool_)
    return found
