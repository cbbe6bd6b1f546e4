"""The whole boundary of a mask as closed rings, holes and all, to be filled even-odd."""

from __future__ import annotations

from vertex_model_inference.geometry.polygons import Ring
from vertex_model_inference.geometry.runs import BitMask

__all__ = ["boundary"]


def boundary(mask: BitMask) -> tuple[Ring, ...]:
    """Rings along the edges of the mask's pixels; filled even-odd they cover exactly the mask.

    Other than ``masks.outlines`` this cuts nothing open: a hole is a ring of its own, and where pixels meet over a
    corner rings cross. Fit to be drawn, not to be uploaded.

    Args:
        mask: (height, width).

    Returns:
        Rings of (x, y) in pixels, origin top left, corners only, in the order of their topmost, leftmost corners.
    """
    import numpy as np

    # Corners are where an odd number of the four pixels around a point belong to the mask: in the order of rows
    # (columns) each two neighbours are the ends of a horizontal (vertical) side. Where two pixels meet over a corner
    # the number is even, so that sides run straight through and cross.
    grid = np.pad(mask, 1).astype(np.int8)
    around = grid[:-1, :-1] + grid[1:, :-1] + grid[:-1, 1:] + grid[1:, 1:]
    rows, columns = np.nonzero(around & 1)
    corners = list(zip(columns.tolist(), rows.tolist(), strict=True))
    across: dict[tuple[int, int], tuple[int, int]] = {}
    down: dict[tuple[int, int], tuple[int, int]] = {}
    for sides, ordered in ((across, corners), (down, sorted(corners))):
        for one, other in zip(ordered[::2], ordered[1::2], strict=True):
            sides[one], sides[other] = other, one
    rings: list[Ring] = []
    left = dict.fromkeys(corners)
    while left:
        first = next(iter(left))
        ring = []
        here = first
        while True:
            there = across[here]
            ring += [here, there]
            del left[here], left[there]
            here = down[there]
            if here == first:
                break
        rings.append(tuple((float(x), float(y)) for x, y in ring))
    return tuple(rings)
