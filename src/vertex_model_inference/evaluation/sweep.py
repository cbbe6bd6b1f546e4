"""Precision, recall and F1 over the whole range of confidence, from one sort: never one pass for each threshold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vertex_model_inference.evaluation.arrays import Bools, Flags, Floats, Ints

__all__ = ["Sweep", "average_precision", "best", "falling", "sweep", "thinned"]

_RECALLS = np.linspace(0.0, 1.0, 101)
_EPS = float(np.spacing(1.0))


class Sweep(NamedTuple):
    """What is kept at each threshold: predictions of at least that confidence. Thresholds fall, so recall rises.

    Attributes:
        threshold: Each confidence that occurs, once, falling; shape (k,).
        right: Predictions at or above it that are right. ``said``: predictions at or above it.
        precision: ``right / said``. ``recall``: ``right / labels``; 0 where there is no label. ``f1``: of the two.
    """

    threshold: Floats
    right: Ints
    said: Ints
    precision: Floats
    recall: Floats
    f1: Floats


def sweep(scores: Floats, right: Bools, labels: int, weights: Ints | None = None, order: Ints | None = None) -> Sweep:
    """All thresholds at once.

    Args:
        scores: Confidence of each prediction, shape (n,). ``right``: whether it is right.
        labels: Number of labels that were to be found.
        weights: How often each prediction counts; None: once.
        order: ``falling(scores)``, where it is known.
    """
    if order is None:
        order = falling(scores)
    ordered = scores[order]
    # Predictions of equal confidence come and go together.
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) if len(ordered) else np.empty(0, dtype=np.int64)
    threshold = ordered[last]
    del ordered
    if weights is None:
        said, hits = last + 1, np.cumsum(right[order], dtype=np.int64)[last]
    else:
        counts = weights[order].astype(np.int64)
        said, hits = np.cumsum(counts)[last], np.cumsum(np.where(right[order], counts, 0))[last]
    precision = hits / np.maximum(said, 1)
    recall = hits / labels if labels else np.zeros(len(hits))
    f1 = 2 * hits / np.maximum(said + labels, 1)
    return Sweep(threshold, hits, said, precision, recall, f1)


def falling(scores: Floats) -> Ints:
    """Indices by falling confidence; equal ones keep their order."""
    return np.argsort(-scores, kind="stable")


def best(swept: Sweep) -> int | None:
    """Where F1 is highest, the highest such threshold; None where nothing is right at any."""
    if not len(swept.f1) or swept.f1.max() <= 0:
        return None
    return int(np.argmax(swept.f1))


def thinned(swept: Sweep, most: int = 200) -> Ints:
    """Indices of at most ``most`` thresholds that draw the same curve: the ends, the best, and others at even steps.

    Steps are even in the number of predictions kept, so that the curve is as fine where predictions are dense.
    """
    n = len(swept.threshold)
    if n <= most:
        return np.arange(n)
    at = np.searchsorted(swept.said, np.linspace(1, int(swept.said[-1]), most - 2))
    chosen = {0, n - 1, *np.minimum(at, n - 1).tolist()}
    top = best(swept)
    if top is not None:
        chosen.add(top)
    return np.asarray(sorted(chosen)[:most] if len(chosen) <= most else _without_one(sorted(chosen), top))


def _without_one(chosen: list[int], top: int | None) -> list[int]:
    """One fewer, but neither an end nor the best."""
    spare = next(index for index in chosen[1:-1] if index != top)
    return [index for index in chosen if index != spare]


def average_precision(
    scores: Floats, flags: Flags, labels: int, levels: int, counts: Ints | None = None, order: Ints | None = None
) -> Floats:
    """COCO's average precision: the mean of 101 precisions at recalls 0, .01 ... 1, each the best at or beyond it.

    Args:
        scores: Confidence of each prediction of one class, shape (n,), in the order of the rows.
        flags: Bit k of each: right at level k.
        labels: Labels of the class.
        levels: How many levels there are.
        counts: How often each prediction counts (for resampling); None: once.
        order: ``falling(scores)``, where it is known.

    Returns:
        For each level, shape (levels,); NaN where there are no labels (``cocoeval.py``, ``accumulate``: -1).
    """
    if labels <= 0:
        return np.full(levels, np.nan)
    found = np.zeros(levels)
    if order is None:
        order = falling(scores)
    ordered = flags[order]
    times = None if counts is None else counts[order]
    so_far = None if times is None else np.cumsum(times, dtype=np.float64)
    for level in range(levels):
        # Recall rises, and precision is best, only where a prediction is right: the others need no entry.
        at = np.flatnonzero(ordered & np.uint16(1 << level))
        if not len(at):
            continue
        if times is None or so_far is None:
            hits = np.arange(1, len(at) + 1, dtype=np.float64)
            said = at + 1.0
        else:
            hits, said = np.cumsum(times[at], dtype=np.float64), so_far[at]
        precision = hits / (said + _EPS)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        reached = np.searchsorted(hits / labels, _RECALLS, side="left")
        found[level] = envelope[reached[reached < len(at)]].sum() / len(_RECALLS)
    return found
