"""Polygons of one ring: area, simplification, clipping. Coordinates in pixels, origin top left."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["Ring", "area", "bounds", "clip", "open_ring", "simplify"]

Ring = tuple[tuple[float, float], ...]
"""(x, y) around an outline; the last point is not the first again."""


def open_ring(points: Ring) -> Ring:
    """The ring without points that repeat the one before them, the first again at the end among them."""
    kept: list[tuple[float, float]] = []
    for point in points:
        if not kept or point != kept[-1]:
            kept.append(point)
    while len(kept) > 1 and kept[0] == kept[-1]:
        kept.pop()
    return tuple(kept)


def area(points: Ring) -> float:
    """Square pixels, whichever way round the ring goes; where it crosses itself, parts may cancel out."""
    if len(points) < 3:
        return 0.0
    # Relative to the first point: far from the origin the products would lose the small differences.
    (ox, oy), twice = points[0], 0.0
    for (x0, y0), (x1, y1) in zip(points, (*points[1:], points[0]), strict=True):
        twice += (x0 - ox) * (y1 - oy) - (x1 - ox) * (y0 - oy)
    return abs(twice) / 2


def bounds(points: Ring) -> tuple[float, float, float, float]:
    """The smallest box around the points: left, top, right, bottom."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs), max(ys)


def simplify(points: Ring, tolerance: float) -> Ring:
    """A ring with fewer corners (Douglas-Peucker).

    Args:
        points: The ring.
        tolerance: Pixels that the new outline may be away from the corners left out, >= 0.

    Returns:
        Some of the points in their order; all of them where fewer would have no area.
    """
    import cv2

    if tolerance <= 0 or len(points) <= 3:
        return points
    # Moved to the origin, because cv2 calculates in float32.
    (ox, oy) = points[0]
    moved = np.asarray([(x - ox, y - oy) for x, y in points], dtype=np.float32).reshape(-1, 1, 2)
    found = cv2.approxPolyDP(moved, tolerance, True).reshape(-1, 2)
    fewer = tuple((float(x) + ox, float(y) + oy) for x, y in found)
    return fewer if len(fewer) >= 3 and area(fewer) > 0 else points


def clip(points: Ring, width: float, height: float) -> Ring:
    """What of a polygon lies within a picture (Sutherland and Hodgman); empty when nothing does.

    Parts that are apart after clipping stay joined by sides along the picture's edge, which enclose nothing.
    """

    def within(axis: int, limit: float, sign: float) -> Callable[[tuple[float, float]], float]:
        return lambda point: sign * (limit - point[axis])

    ring = points
    for axis, limit, sign in ((0, 0.0, -1.0), (0, width, 1.0), (1, 0.0, -1.0), (1, height, 1.0)):
        inside = within(axis, limit, sign)
        if all(inside(point) >= 0 for point in ring):
            continue
        kept: list[tuple[float, float]] = []
        for before, point in zip((ring[-1], *ring[:-1]), ring, strict=True):
            was, now = inside(before), inside(point)
            if (was < 0) != (now < 0):
                share = was / (was - now)
                across = before[1 - axis] + share * (point[1 - axis] - before[1 - axis])
                kept.append((limit, across) if axis == 0 else (across, limit))
            if now >= 0:
                kept.append(point)
        ring = open_ring(tuple(kept))
        if len(ring) < 3:
            return ()
    return ring
