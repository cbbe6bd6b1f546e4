"""Overlap of outlines and of masks, and what is left when doubles are taken away; ``boxes.py`` does so for boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from vertex_model_inference.geometry.boxes import iou
from vertex_model_inference.geometry.masks import draw
from vertex_model_inference.geometry.polygons import Ring, area, bounds
from vertex_model_inference.geometry.rle import unpack

__all__ = ["kept_by_overlap", "mask_ious", "polygon_iou"]

_CELLS = 256
"""Cells along the longer side of the window in which two outlines are compared."""


def polygon_iou(one: Ring, other: Ring) -> float:
    """Intersection over union of two outlines, 0..1; 0 where both have no area.

    Counted in the cells of a grid over both, 256 along its longer side, so it is off by about the share of the cells
    that the outlines run through: some hundredths for the smallest of the two, none for equal outlines.
    """
    if one == other:
        return 1.0 if area(one) > 0 else 0.0
    around, about = bounds(one), bounds(other)
    if iou(around, about) == 0.0:
        return 0.0
    left, top = min(around[0], about[0]), min(around[1], about[1])
    wide, high = max(around[2], about[2]) - left, max(around[3], about[3]) - top
    scale = _CELLS / max(wide, high)
    columns, rows = max(1, round(wide * scale)), max(1, round(high * scale))
    drawn = [
        draw(tuple(((x - left) * columns / wide, (y - top) * rows / high) for x, y in ring), columns, rows)
        for ring in (one, other)
    ]
    both = int((drawn[0] | drawn[1]).sum())
    return int((drawn[0] & drawn[1]).sum()) / both if both else 0.0


def mask_ious(counts: Sequence[bytes], width: int, height: int) -> npt.NDArray[np.float64]:
    """Intersection over union of each mask with each, (n, n), 0..1; 0 where both are empty.

    Args:
        counts: COCO's compressed run lengths of masks of one size.
        width: Of the masks in pixels; likewise ``height``.

    Raises:
        ValueError: Run lengths are malformed, or do not cover a mask of this size.
    """
    from faster_coco_eval import mask as coco

    for each in counts:  # the library reads beyond what is malformed
        if sum(unpack(each)) != width * height:
            raise ValueError(f"the run lengths do not cover {width} x {height} pixels")
    if not counts:
        return np.zeros((0, 0))
    masks = [{"size": [height, width], "counts": each} for each in counts]
    found: npt.NDArray[np.float64] = np.asarray(coco.iou(masks, masks, [0] * len(masks)), dtype=np.float64)
    return found


def kept_by_overlap(
    overlap: Callable[[int, int], float],
    scores: Sequence[float],
    limit: float,
    classes: Sequence[str] | None = None,
) -> tuple[int, ...]:
    """Non-maximum suppression of anything: of those that overlap by more than ``limit`` only the best-scored stays.

    Args:
        overlap: Indices of two -> their intersection over union, 0..1; the same either way round.
        scores: Of each; among equals the first wins.
        limit: Largest overlap of two that both stay.
        classes: Of each: only those of one class take each other away. None: any two do.

    Returns:
        Indices of those that stay, rising.
    """
    kept: list[int] = []
    for index in sorted(range(len(scores)), key=lambda each: -scores[each]):
        rivals = (each for each in kept if classes is None or classes[each] == classes[index])
        if all(overlap(better, index) <= limit for better in rivals):
            kept.append(index)
    return tuple(sorted(kept))
