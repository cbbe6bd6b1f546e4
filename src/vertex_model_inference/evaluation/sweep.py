"""Precision, recall and F1 over the whole range of confidence, from one sort: never one pass for each threshold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vertex_model_inference.evaluation.arrays import Bools, Flags, Floats, Ints

__all__ = ["Sweep", "average_precision", "best", "sweep", "thinned"]

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


def sweep(scores: Floats, right: Bools, labels: int, weights: Ints | None = None) -> Sweep:
    """All thresholds at once.

    Args:
        scores: Confidence of each prediction, shape (n,). ``right``: whether it is right.
        labels: Number of labels that were to be found.
        weights: How often each prediction counts; None: once.
    """
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    counts = np.ones(len(scores), dtype=np.int64) if weights is None else weights[order]
    said = np.cumsum(counts)
    hits = np.cumsum(np.where(right[order], counts, 0))
    # Predictions of equal confidence come and go together.
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) if len(ordered) else np.empty(0, dtype=np.int64)
    said, hits = said[last], hits[last]
    precision = hits / np.maximum(said, 1)
    recall = hits / labels if labels else np.zeros(len(hits))
    f1 = 2 * hits / np.maximum(said + labels, 1)
    return Sweep(ordered[last], hits, said, precision, recall, f1)


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


def average_precision(scores: Floats, flags: Flags, labels: int, levels: int, counts: Ints | None = None) -> Floats:
    """COCO's average precision: the mean of 101 precisions at recalls 0, .01 ... 1, each the best at or beyond it.

    Args:
        scores: Confidence of each prediction of one class, shape (n,), in the order of the rows.
        flags: Bit k of each: right at level k.
        labels: Labels of the class.
        levels: How many levels there are.
        counts: How often each prediction counts (for resampling); None: once.

    Returns:
        For each level, shape (levels,); NaN where there are no labels (``cocoeval.py``, ``accumulate``: -1).
    """
    if labels <= 0:
        return np.full(levels, np.nan)
    if not len(scores):
        return np.zeros(levels)
    order = np.argsort(-scores, kind="stable")
    right = (flags[order][None, :] >> np.arange(levels, dtype=np.uint16)[:, None]) & 1
    if counts is None:
        hits = np.cumsum(right, axis=1, dtype=np.float64)
        said: Floats = np.arange(1, len(scores) + 1, dtype=np.float64)
    else:
        times = counts[order]
        hits = np.cumsum(right * times, axis=1, dtype=np.float64)
        said = np.cumsum(times, dtype=np.float64)
    recall = hits / labels
    precision = hits / (said + _EPS)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    found = np.zeros(levels)
    for level in range(levels):
        at = np.searchsorted(recall[level], _RECALLS, side="left")
        inside = at < len(scores)
        found[level] = envelope[level, at[inside]].sum() / len(_RECALLS)
    return found
