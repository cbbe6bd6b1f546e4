"""Figures of one class from its predictions' confidences, and the thresholds that they suggest."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vertex_model_inference.evaluation.arrays import Bools, Floats, Ints
from vertex_model_inference.evaluation.scores import Averages, BestThreshold, ClassScore, Curve
from vertex_model_inference.evaluation.sweep import Sweep, best, sweep, thinned

__all__ = ["averages", "class_score", "ratio", "shortest_between"]

_HALF_STEP = 5e-7
"""Confidences are uploaded to 1e-6; the model's own may be that much lower."""


def ratio(part: float, whole: float) -> float | None:
    """``part / whole``; None where there is no whole."""
    return part / whole if whole else None


def class_score(
    name: str,
    scores: Floats,
    right: Bools,
    labels: int,
    *,
    weights: Ints | None = None,
    order: Ints | None = None,
    average_precision: float | None = None,
    average_precision_at: float | None = None,
    mean_overlap: float | None = None,
) -> ClassScore:
    """Counts, rates, curve and best threshold of one class.

    Args:
        name: Of the class.
        scores: Confidence of each prediction of the class, shape (n,). ``right``: whether it is right.
        labels: How often the class is labelled.
        weights: How often each prediction counts; None: once.
        order: ``falling(scores)``, where it is known.
        average_precision: Taken over, as are ``average_precision_at`` and ``mean_overlap``.
    """
    swept = sweep(scores, right, labels, weights, order)
    said = int(swept.said[-1]) if len(swept.said) else 0
    hits = int(swept.right[-1]) if len(swept.right) else 0
    return ClassScore(
        name=name,
        labels=labels,
        predictions=said,
        right=hits,
        precision=ratio(hits, said),
        recall=ratio(hits, labels),
        f1=ratio(2 * hits, said + labels),
        average_precision=average_precision,
        average_precision_at=average_precision_at,
        mean_overlap=mean_overlap,
        best=_best(swept),
        curve=_curve(swept),
    )


def averages(classes: Sequence[ClassScore], weights: Sequence[float] | None = None) -> Averages:
    """Mean precision, recall and F1 of the classes; a rate that a class has not counts as 0, as in scikit-learn.

    Args:
        classes: Those that are labelled or predicted count.
        weights: Of each class; None: all alike.
    """
    shares = [1.0] * len(classes) if weights is None else weights
    counted = [(c, w) for c, w in zip(classes, shares, strict=True) if c.labels or c.predictions]
    total = sum(weight for _, weight in counted)
    if not total:
        return Averages(0.0, 0.0, 0.0)

    def mean(values: list[float | None]) -> float:
        return sum((value or 0.0) * weight for value, (_, weight) in zip(values, counted, strict=True)) / total

    return Averages(
        mean([c.precision for c, _ in counted]), mean([c.recall for c, _ in counted]), mean([c.f1 for c, _ in counted])
    )


def shortest_between(low: float | None, high: float) -> float:
    """The number with the fewest decimals, at least 2, that keeps ``high`` and drops ``low``.

    Args:
        low: Highest confidence that is to be dropped; None: nothing is, and so the number is 0.
        high: Lowest confidence that is to be kept, > ``low``.
    """
    if low is None:
        return 0.0
    for step in (1e2, 1e3, 1e4, 1e5, 1e6):
        # The lowest such number: the nearer to what is dropped, the more of what is new and alike is kept.
        value = (math.floor(low * step + 1e-9) + 1) / step
        if low < value <= high - _HALF_STEP:
            return value
    return round((low + high) / 2, 7)


def _best(swept: Sweep) -> BestThreshold | None:
    at = best(swept)
    if at is None:
        return None
    below = float(swept.threshold[at + 1]) if at + 1 < len(swept.threshold) else None
    return BestThreshold(
        shortest_between(below, float(swept.threshold[at])),
        float(swept.precision[at]),
        float(swept.recall[at]),
        float(swept.f1[at]),
    )


def _curve(swept: Sweep) -> Curve:
    at = thinned(swept)
    threshold, precision, recall, f1 = (
        tuple(np.round(column[at], 6).tolist()) for column in (swept.threshold, swept.precision, swept.recall, swept.f1)
    )
    return Curve(threshold, precision, recall, f1, tuple(swept.said[at].tolist()))
