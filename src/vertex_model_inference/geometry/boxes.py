"""Overlap of axis-parallel boxes, and what is left when doubles are taken away."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["Edges", "iou", "kept_by_nms"]

Edges = tuple[float, float, float, float]
"""left, top, right, bottom in pixels."""


def iou(one: Edges, other: Edges) -> float:
    """Intersection over union, 0..1; 0 where both have no area."""
    wide = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    high = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    shared = wide * high
    both = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1]) - shared
    return shared / both if both > 0 else 0.0


def kept_by_nms(
    boxes: Sequence[Edges], scores: Sequence[float], limit: float, classes: Sequence[str] | None = None
) -> tuple[int, ...]:
    """Non-maximum suppression: of boxes that overlap by more than ``limit`` only the best-scored stays.

    Args:
        boxes: Any number.
        scores: Of each; among equals the first wins.
        limit: Largest intersection over union, 0..1, of two boxes that both stay.
        classes: Of each: only boxes of one class take each other away. None: any two do.

    Returns:
        Indices of the boxes that stay, rising.
    """
    if not boxes:
        return ()
    edges = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    sizes = (edges[:, 2] - edges[:, 0]) * (edges[:, 3] - edges[:, 1])
    group = np.zeros(len(edges), dtype=np.int64)
    if classes is not None:
        numbers: dict[str, int] = {}
        group = np.asarray([numbers.setdefault(name, len(numbers)) for name in classes], dtype=np.int64)
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    kept = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        low = np.maximum(edges[best, :2], edges[rest, :2])
        high = np.minimum(edges[best, 2:], edges[rest, 2:])
        shared = np.prod(np.maximum(high - low, 0.0), axis=1)
        both = sizes[best] + sizes[rest] - shared
        overlap = np.divide(shared, both, out=np.zeros_like(shared), where=both > 0)
        order = rest[(overlap <= limit) | (group[rest] != group[best])]
    return tuple(sorted(kept))
