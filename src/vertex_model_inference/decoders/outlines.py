"""What decoders of polygons and points share: points in any spelling, polygons cut to the asset."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import clip, refuse
from vertex_model_inference.rows import DataRow

__all__ = ["XY", "Points", "cut", "place", "rings"]

Pair = tuple[float, float]


class XY(msgspec.Struct):
    """A point as an object."""

    x: float
    y: float


Points = list[float | list[float] | XY]
"""``[x, y, x, y, ...]``, ``[[x, y], ...]``, ``[{"x": x, "y": y}, ...]``, or COCO's ``[[x, y, x, y, ...], ...]``."""


def rings(points: Points, row: DataRow, name: str, where: str) -> list[list[Pair]]:
    """The outlines in one of the spellings of ``Points``; a list of flat lists is several of them.

    Raises:
        DecodeError: Neither of the spellings.
    """
    pairs: list[Pair] = []
    flat: list[float] = []
    several: list[list[Pair]] = []
    for point in points:
        if isinstance(point, XY):
            pairs.append((point.x, point.y))
        elif isinstance(point, list):
            if len(point) == 2:
                pairs.append((point[0], point[1]))
            elif len(point) >= 6 and len(point) % 2 == 0:
                several.append(list(zip(point[::2], point[1::2], strict=True)))
            else:
                refuse(name, row, f"{where} has a point of {len(point)} numbers")
        else:
            flat.append(point)
    if sum(map(bool, (pairs, flat, several))) > 1:
        refuse(name, row, f"{where} mixes ways to write points")
    if len(flat) % 2:
        refuse(name, row, f"{where} has {len(flat)} numbers, which are not pairs")
    return several or [one for one in (pairs or list(zip(flat[::2], flat[1::2], strict=True)),) if one]


def place(x: float, y: float, row: DataRow, name: str, where: str) -> Pair:
    """A point in pixels, brought to the asset's edge where rounding carried it over (by at most two pixels).

    Raises:
        DecodeError: Not finite, or outside of the asset.
    """
    endless = float("inf")
    if not (abs(x) < endless and abs(y) < endless):
        refuse(name, row, f"{where} is not a finite number")
    width, height = row.width or endless, row.height or endless
    if not (-2 <= x <= width + 2 and -2 <= y <= height + 2):
        hint = "Are the coordinates pixels of the original picture?"
        refuse(name, row, f"{where} ({x:g}, {y:g}) lies outside the asset of {width:g} x {height:g}", hint)
    return min(max(x, 0.0), width), min(max(y, 0.0), height)


def cut(ring: Sequence[Pair], row: DataRow, name: str, where: str) -> tuple[Pair, ...]:
    """The part of an outline within the asset (Sutherland and Hodgman's way), not closed; () when it is but a line.

    Raises:
        DecodeError: Fewer than three points, not finite, wholly outside, or so far out that the units must be wrong.
    """
    points = list(ring[:-1] if len(ring) > 1 and ring[0] == ring[-1] else ring)
    if len(points) < 3:
        refuse(name, row, f"{where} has {len(points)} different points, an outline needs three")
    # One that is no number would hide in min and max.
    if any(not abs(x) < float("inf") or not abs(y) < float("inf") for x, y in points):
        refuse(name, row, f"{where} has a coordinate that is not a finite number")
    xs, ys = [x for x, _ in points], [y for _, y in points]
    left, top, right, bottom = min(xs), min(ys), max(xs), max(ys)
    clip(left, top, right, bottom, row, name, where)
    if left < 0:
        points = _half(points, 0, 0.0, 1)
    if right > (row.width or right):
        points = _half(points, 0, float(row.width or 0), -1)
    if top < 0:
        points = _half(points, 1, 0.0, 1)
    if bottom > (row.height or bottom):
        points = _half(points, 1, float(row.height or 0), -1)
    distinct = [point for index, point in enumerate(points) if point != points[index - 1]]
    return tuple(distinct) if len(distinct) >= 3 else ()


def _half(points: Sequence[Pair], axis: int, edge: float, side: int) -> list[Pair]:
    """The part of an outline on one side of an axis-parallel line."""
    kept: list[Pair] = []
    for index, here in enumerate(points):
        before = points[index - 1]
        inside, was_inside = ((point[axis] - edge) * side >= 0 for point in (here, before))
        if inside is not was_inside:
            part = (edge - before[axis]) / (here[axis] - before[axis])
            other = before[1 - axis] + part * (here[1 - axis] - before[1 - axis])
            kept.append((edge, other) if axis == 0 else (other, edge))
        if inside:
            kept.append(here)
    return kept
