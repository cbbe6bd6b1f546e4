"""The figures that Labelbox shows as custom metrics: mean IoU and [TP, FP, TN, FN] of each feature on each row.

Equal to ``feature_miou_metric`` and ``feature_confusion_matrix_metric`` of the ``labelbox`` SDK 7.17.0
(``labelbox/data/metrics``, without subclasses), for all rows at once. As there, features are tools, options and text
questions, pairs are matched by falling overlap, and a pair counts as found above the IoU, not at it. Lines and points,
which the SDK compares as discs of 70 pixels, and what is seen in frames of videos are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from vertex_model_inference.annotations import Box, Checklist, FreeText, Mask, Polygon, Radio, TextEntity
from vertex_model_inference.evaluation.arrays import Ints
from vertex_model_inference.evaluation.choices import confident
from vertex_model_inference.evaluation.evaluator import RowPair
from vertex_model_inference.evaluation.overlaps import box_overlaps, corners, mask_overlaps, polygon_overlaps
from vertex_model_inference.evaluation.pairing import Overlaps, by_overlap, pairs_within

__all__ = ["CONFIDENCES", "RowMetrics", "row_metrics"]

CONFIDENCES = tuple(tenth / 10 for tenth in range(10))
"""At which the figures are given: Labelbox takes 2 to 15 of them."""


class RowMetrics(NamedTuple):
    """One feature on one row.

    Attributes:
        row: Place of the row among those that were given.
        feature: Name of the tool, option or text question.
        choice: It is an option: its IoU is whether it was chosen by both.
        iou: Mean IoU, 0..1, at each confidence; None: neither labelled nor predicted there.
        counts: (TP, FP, TN, FN) at each confidence; None as of ``iou``, and for texts on both sides.
    """

    row: int
    feature: str
    choice: bool
    iou: tuple[float | None, ...]
    counts: tuple[tuple[int, int, int, int] | None, ...]


def row_metrics(
    pairs: Sequence[RowPair], *, iou: float = 0.5, confidences: Sequence[float] = CONFIDENCES
) -> list[RowMetrics]:
    """Metrics of rows that are labelled and answered; others have none.

    Args:
        pairs: The rows.
        iou: Overlap above which a pair counts as found.
        confidences: Only predictions at least that confident count; those without confidence always do.
    """
    found: list[RowMetrics] = []
    for types, overlaps in _OBJECTS:
        found += _objects(pairs, types, overlaps, iou, confidences)
    for number, pair in enumerate(pairs):
        if pair.predictions is not None and pair.labels is not None:
            found += _answers(number, pair, confidences)
    return sorted(found, key=lambda one: one.row)


def _boxes(said: Sequence[Any], meant: Sequence[Any], said_unit: Ints, meant_unit: Ints, least: float) -> Overlaps:
    return box_overlaps(corners(said), corners(meant), said_unit, meant_unit, least)


def _masks(said: Sequence[Any], meant: Sequence[Any], said_unit: Ints, meant_unit: Ints, least: float) -> Overlaps:
    one, other = ([(mask.counts, mask.width, mask.height) for mask in side] for side in (said, meant))
    return mask_overlaps(one, other, said_unit, meant_unit, least)


def _spans(said: Sequence[Any], meant: Sequence[Any], said_unit: Ints, meant_unit: Ints, least: float) -> Overlaps:
    """As the SDK measures spans: from first to last character, so that those of one character are a case of its own."""
    found = []
    s_start, s_end, m_start, m_end = (
        np.asarray([getattr(each, end) for each in side], dtype=np.float64)
        for side in (said, meant)
        for end in ("start", "end")
    )
    for s, m in pairs_within(said_unit, meant_unit):
        shared = np.minimum(s_end[s], m_end[m]) - np.maximum(s_start[s], m_start[m])
        both = np.maximum(s_end[s], m_end[m]) - np.minimum(s_start[s], m_start[m])
        value = np.where(both == 0, 1.0, np.maximum(shared, 0.0) / np.where(both == 0, 1.0, both))
        keep = value > least
        found.append(Overlaps(s[keep], m[keep], value[keep]))
    return Overlaps(*(np.concatenate(parts) for parts in zip(*found, strict=True))) if found else _NONE


_NONE = Overlaps(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0))
Compare = Callable[[Sequence[Any], Sequence[Any], Ints, Ints, float], Overlaps]
_OBJECTS: tuple[tuple[type[Any], Compare], ...] = (
    (Box, _boxes),
    (Polygon, polygon_overlaps),
    (Mask, _masks),
    (TextEntity, _spans),
)


def _objects(
    pairs: Sequence[RowPair], kind: type[Any], compare: Compare, iou: float, confidences: Sequence[float]
) -> Iterator[RowMetrics]:
    """Of one kind of object: everything by (row, feature), numbered as units."""
    units: dict[tuple[int, str], int] = {}
    said: list[Any] = []
    meant: list[Any] = []
    said_units: list[int] = []
    meant_units: list[int] = []
    for number, pair in enumerate(pairs):
        if pair.predictions is None or pair.labels is None:
            continue
        for each in pair.predictions:
            if type(each) is kind:
                said.append(each)
                said_units.append(units.setdefault((number, each.name), len(units)))
        for each in pair.labels:
            if type(each) is kind:
                meant.append(each)
                meant_units.append(units.setdefault((number, each.name), len(units)))
    if not units:
        return
    said_unit, meant_unit = np.asarray(said_units, dtype=np.int64), np.asarray(meant_units, dtype=np.int64)
    if kind in (Box, TextEntity):  # things on different pages, or in different messages, do not meet
        within = "page" if kind is Box else "message_id"
        places: dict[tuple[int, object], int] = {}
        said_place, meant_place = (
            np.asarray(
                [places.setdefault((u, getattr(e, within)), len(places)) for u, e in zip(n, side, strict=True)],
                dtype=np.int64,
            )
            for n, side in ((said_units, said), (meant_units, meant))
        )
    else:
        said_place, meant_place = said_unit, meant_unit
    pairs_found = compare(said, meant, said_place, meant_place, 0.0)
    scores = np.asarray([confident(each.confidence) for each in said], dtype=np.float64)
    labelled = np.bincount(meant_unit, minlength=len(units))
    tables = [
        _at(pairs_found, scores >= confidence, said_unit, labelled, iou, len(units)) for confidence in confidences
    ]
    for (row, feature), unit in units.items():
        means, counts = zip(*(_one(table, unit) for table in tables), strict=True)
        yield RowMetrics(row, feature, choice=False, iou=means, counts=counts)


def _at(
    pairs: Overlaps, kept: Any, said_unit: Ints, labelled: Ints, iou: float, units: int
) -> tuple[list[float], list[int], list[int], list[int]]:
    """Of each unit: mean IoU, matches above the IoU, predictions and labels."""
    keep = kept[pairs.prediction]
    left = Overlaps(pairs.prediction[keep], pairs.label[keep], pairs.value[keep])
    predicted = np.bincount(said_unit[kept], minlength=units)
    # The SDK walks over (predictions, labels) for the mean IoU, over (labels, predictions) for the counts.
    matched = by_overlap(left, labels_first=False)
    sums = np.bincount(said_unit[left.prediction[matched]], left.value[matched], units)
    # What overlaps nothing is paired with what overlaps nothing there, or stays alone: it adds 0 once either way.
    means = sums / np.maximum(np.maximum(predicted, labelled), 1)
    above = left.value > iou
    over = Overlaps(left.prediction[above], left.label[above], left.value[above])
    hits = np.bincount(said_unit[over.prediction[by_overlap(over)]], minlength=units)
    return means.tolist(), hits.tolist(), predicted.tolist(), labelled.tolist()


def _one(
    table: tuple[list[float], list[int], list[int], list[int]], unit: int
) -> tuple[float | None, tuple[int, int, int, int] | None]:
    means, hits, predicted, labelled = (column[unit] for column in table)
    if not predicted and not labelled:
        return None, None
    return float(means), (int(hits), int(predicted - hits), 0, int(labelled - hits))


def _answers(number: int, pair: RowPair, confidences: Sequence[float]) -> Iterator[RowMetrics]:
    said, meant = _chosen(pair.predictions or ()), _chosen(pair.labels or ())
    for key in dict.fromkeys((*meant, *said)):
        feature, text = key
        told = said.get(key)
        means: list[float | None] = []
        counts: list[tuple[int, int, int, int] | None] = []
        for confidence in confidences:
            there = told is not None and confident(told[1]) >= confidence
            if there and key in meant:
                assert told is not None
                same = told[0] == meant[key][0]
                means.append(float(same))
                counts.append(None if text else (1, 0, 0, 0))
            elif there or key in meant:
                means.append(0.0)
                counts.append((0, int(there), 0, int(key in meant)))
            else:
                means.append(None)
                counts.append(None)
        yield RowMetrics(number, feature, choice=not text, iou=tuple(means), counts=tuple(counts))


def _chosen(annotations: Sequence[Any]) -> dict[tuple[str, bool], tuple[str, float | None]]:
    """(Name, whether it is a text) of each option and text -> what is answered, and its confidence."""
    found: dict[tuple[str, bool], tuple[str, float | None]] = {}
    for each in annotations:
        if isinstance(each, FreeText):
            found.setdefault((each.name, True), (each.text, each.confidence))
        elif isinstance(each, Radio | Checklist):
            answers = (each.answer,) if isinstance(each, Radio) else each.answers
            for answer in answers:
                if not answer.frames:
                    found.setdefault((answer.name, False), (answer.name, answer.confidence))
    return found
