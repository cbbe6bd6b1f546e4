"""Pairs of predictions and labels, and which of them are matched: vectorised over all rows of a shard at once.

Both greedy rules in use are stable matchings: COCO's (predictions choose by falling confidence, each the free label
that it overlaps most) and the Labelbox SDK's (pairs by falling overlap). So one routine serves both: again and again,
settle every pair whose two ends prefer it to all pairs that are left, and drop what the settled ends take away.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from vertex_model_inference.evaluation.arrays import Bools, Flags, Floats, Ints

__all__ = ["Overlaps", "by_confidence", "by_overlap", "pairs_within", "stable_matching"]

_PAIRS_AT_ONCE = 1 << 20
"""Of one piece: bounds memory where thousands of objects meet thousands of labels."""

_LARGEST = np.iinfo(np.int64).max


class Overlaps(NamedTuple):
    """Pairs that overlap enough to matter: index of the prediction, index of the label, and how much."""

    prediction: Ints
    label: Ints
    value: Floats


def pairs_within(one: Ints, other: Ints) -> Iterator[tuple[Ints, Ints]]:
    """All pairs (index in ``one``, index in ``other``) of the same unit, in bounded pieces.

    Args:
        one: Number of the unit (a row, a page, a frame) of each of the first things, shape (n,).
        other: Likewise of the second things, shape (m,).
    """
    order = np.argsort(other, kind="stable")
    ordered = other[order]
    first = np.searchsorted(ordered, one, side="left")
    counts = np.searchsorted(ordered, one, side="right") - first
    ends = np.cumsum(counts)
    start = 0
    while start < len(one):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _PAIRS_AT_ONCE, side="right")))
        piece = counts[start:stop]
        if total := int(piece.sum()):
            left = np.repeat(np.arange(start, stop), piece)
            within = np.arange(total) - np.repeat(ends[start:stop] - piece - before, piece)
            yield left, order[np.repeat(first[start:stop], piece) + within]
        start = stop


def stable_matching(one: Ints, other: Ints, rank_one: Ints, rank_other: Ints) -> Bools:
    """Which pairs are matched when no two unmatched ends would both rather have each other.

    Args:
        one: First end of each pair, shape (n,). ``other``: second end.
        rank_one: How the first end ranks the pair, smaller is better, no two pairs of one end alike.
        rank_other: Likewise of the second end.

    Returns:
        Shape (n,); each end is in at most one pair that is True.
    """
    matched = np.zeros(len(one), dtype=np.bool_)
    if not len(one):
        return matched
    _, one = np.unique(one, return_inverse=True)
    _, other = np.unique(other, return_inverse=True)
    best_one = np.empty(int(one.max()) + 1, dtype=np.int64)
    best_other = np.empty(int(other.max()) + 1, dtype=np.int64)
    taken_one = np.zeros(len(best_one), dtype=np.bool_)
    taken_other = np.zeros(len(best_other), dtype=np.bool_)
    left = np.arange(len(one))
    while left.size:
        a, b, rank_a, rank_b = one[left], other[left], rank_one[left], rank_other[left]
        best_one[a] = _LARGEST
        best_other[b] = _LARGEST
        np.minimum.at(best_one, a, rank_a)
        np.minimum.at(best_other, b, rank_b)
        settled = (rank_a == best_one[a]) & (rank_b == best_other[b])
        matched[left[settled]] = True
        taken_one[a[settled]] = True
        taken_other[b[settled]] = True
        left = left[~(taken_one[a] | taken_other[b])]
    return matched


def by_confidence(overlaps: Overlaps, scores: Floats, levels: Floats) -> tuple[Flags, Ints, Floats]:
    """COCO's rule at several levels of overlap at once: the most confident prediction chooses first.

    Predictions of equal confidence choose in their order; of labels that are overlapped equally the last is taken, and
    a level counts as reached from ``min(level, 1 - 1e-10)`` on (``cocoeval.py`` of pycocotools, ``evaluateImg``).

    Args:
        overlaps: Pairs that may be matched: of the same unit and class.
        scores: Confidence of each prediction, shape (n,).
        levels: Overlaps that are asked for, at most 16; the first is the one whose pairs are returned.

    Returns:
        Bit k of each prediction: matched at level k, shape (n,). The label that it is matched to at the first level
        or -1, and their overlap (0 where it is not matched), both of shape (n,).
    """
    flags = np.zeros(len(scores), dtype=np.uint16)
    label = np.full(len(scores), -1, dtype=np.int64)
    value = np.zeros(len(scores), dtype=np.float64)
    asked = np.minimum(levels, 1 - 1e-10)
    keep = overlaps.value >= asked.min() if len(levels) else np.zeros(len(overlaps.value), dtype=np.bool_)
    p, t, v = overlaps.prediction[keep], overlaps.label[keep], overlaps.value[keep]
    if not len(p):
        return flags, label, value
    turn = np.empty(len(scores), dtype=np.int64)
    turn[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    liking = np.empty(len(p), dtype=np.int64)
    liking[np.lexsort((-t, -v))] = np.arange(len(p))
    level, pair = np.nonzero(v[None, :] >= asked[:, None])
    matched = stable_matching(
        p[pair] + level * len(scores), t[pair] + level * (int(t.max()) + 1), liking[pair], turn[p[pair]]
    )
    level, pair = level[matched], pair[matched]
    np.bitwise_or.at(flags, p[pair], np.left_shift(np.uint16(1), level.astype(np.uint16)))
    first = pair[level == 0]
    label[p[first]], value[p[first]] = t[first], v[first]
    return flags, label, value


def by_overlap(overlaps: Overlaps, *, labels_first: bool = True) -> Bools:
    """The Labelbox SDK's rule (``object_pair_miou``): pairs by falling overlap, each end once.

    Args:
        overlaps: Pairs that may be matched.
        labels_first: Among equals the SDK takes the first of its product of labels and predictions (True), or of
            predictions and labels (False).

    Returns:
        Which pairs are matched.
    """
    ends = (overlaps.prediction, overlaps.label) if labels_first else (overlaps.label, overlaps.prediction)
    rank = np.empty(len(overlaps.value), dtype=np.int64)
    rank[np.lexsort((*ends, -overlaps.value))] = np.arange(len(overlaps.value))
    return stable_matching(overlaps.prediction, overlaps.label, rank, rank)
