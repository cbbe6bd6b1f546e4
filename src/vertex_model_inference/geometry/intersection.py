"""How much of two polygons is shared, exactly: in strips from corner or crossing to the next, where it is linear.

Even-odd, as ``masks.draw`` fills: where an outline crosses itself, what is enclosed twice is outside.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vertex_model_inference.geometry.polygons import Ring

__all__ = ["intersection_over_union"]

_Floats = npt.NDArray[np.float64]
_CELLS = 1 << 20
"""Of one piece of work: bounds memory for outlines of thousands of corners."""


def intersection_over_union(one: Ring, other: Ring) -> float:
    """Shared area over the area of both, 0..1; 0 where neither has an area.

    Args:
        one: (x, y) around an outline, at least three points, the last not the first again. ``other``: likewise.
    """
    a, b = _edges(one), _edges(other)
    low = np.maximum(a[:, :2].min(axis=0), b[:, :2].min(axis=0))
    high = np.minimum(a[:, :2].max(axis=0), b[:, :2].max(axis=0))
    if (low >= high).any():
        return 0.0
    # Far from the origin the differences of products would lose their last digits.
    moved = np.tile(a[0, :2], 2)
    a, b = a - moved, b - moved
    edges = np.concatenate((a, b))
    heights = np.unique(np.concatenate((edges[:, 1], _crossings(edges))))
    tall = np.diff(heights)
    middles = heights[:-1] + tall / 2
    keep = tall > 0
    tall, middles = tall[keep], middles[keep]
    shared = total = 0.0
    step = max(1, _CELLS // len(edges))
    for start in range(0, len(middles), step):
        y, strip = middles[start : start + step], tall[start : start + step]
        in_one, in_other = _within(a, y), _within(b, y)
        both, either = _lengths(in_one, in_other)
        shared += float(strip @ both)
        total += float(strip @ either)
    return min(1.0, shared / total) if total > 0 else 0.0


def _edges(ring: Ring) -> _Floats:
    """x0, y0, x1, y1 of each side, shape (n, 4)."""
    points = np.asarray(ring, dtype=np.float64).reshape(-1, 2)
    return np.concatenate((points, np.roll(points, -1, axis=0)), axis=1)


def _crossings(edges: _Floats) -> _Floats:
    """Heights at which sides cross each other."""
    found = [np.empty(0)]
    x0, y0 = edges[:, 0], edges[:, 1]
    dx, dy = edges[:, 2] - x0, edges[:, 3] - y0
    step = max(1, _CELLS // len(edges))
    for start in range(0, len(edges), step):
        piece = slice(start, start + step)
        ax, ay, adx, ady = (v[piece, None] for v in (x0, y0, dx, dy))
        cross = adx * dy - ady * dx
        apart_x, apart_y = x0 - ax, y0 - ay
        with np.errstate(divide="ignore", invalid="ignore"):
            t = (apart_x * dy - apart_y * dx) / cross
            u = (apart_x * ady - apart_y * adx) / cross
        hit = (cross != 0) & (t >= 0) & (t <= 1) & (u >= 0) & (u <= 1)
        side, _ = np.nonzero(hit)
        found.append(ay[side, 0] + t[hit] * ady[side, 0])
    return np.concatenate(found)


def _within(edges: _Floats, y: _Floats) -> _Floats:
    """Where the sides cut the lines at the heights ``y``, rising, shape (len(y), k); infinite where there are fewer."""
    y0, y1 = edges[:, 1], edges[:, 3]
    cuts = (np.minimum(y0, y1) <= y[:, None]) & (y[:, None] < np.maximum(y0, y1))
    rise = np.where(y1 == y0, 1.0, y1 - y0)
    at = edges[:, 0] + (y[:, None] - y0) * ((edges[:, 2] - edges[:, 0]) / rise)
    found: _Floats = np.sort(np.where(cuts, at, np.inf), axis=1)
    return found[:, : int(cuts.sum(axis=1).max(initial=0))]


def _lengths(one: _Floats, other: _Floats) -> tuple[_Floats, _Floats]:
    """Of each line: the length that lies in both, and in either; by walking along all ends in their order."""
    ends = np.concatenate((one, other), axis=1)
    order = np.argsort(ends, axis=1, kind="stable")
    ends = np.take_along_axis(ends, order, axis=1)
    first = order < one.shape[1]
    in_one = np.cumsum(first, axis=1) & 1
    in_other = np.cumsum(~first, axis=1) & 1
    with np.errstate(invalid="ignore"):
        gaps = np.diff(ends, axis=1)
    gaps = np.where(np.isfinite(gaps), gaps, 0.0)
    both = (gaps * (in_one & in_other)[:, :-1]).sum(axis=1)
    either = (gaps * (in_one | in_other)[:, :-1]).sum(axis=1)
    return both, either
