"""A found shape becomes annotations of a tool: outlines, lines, points, masks and spans, each checked first."""

from __future__ import annotations

from math import isfinite

from vertex_model_inference.annotations import Mask, Point, Polygon, Polyline, Shape, TextEntity
from vertex_model_inference.errors import MatchError
from vertex_model_inference.findings import FoundEntity, FoundLine, FoundMask, FoundPoint, FoundPolygon
from vertex_model_inference.geometry.polygons import area, bounds, clip, open_ring
from vertex_model_inference.geometry.runs import MAX_PIXELS, BitMask, MalformedRunsError, decode, encode
from vertex_model_inference.models import MatchRules
from vertex_model_inference.rows import DataRow
from vertex_model_inference.steps.features import ToolFeature

__all__ = ["FoundShape", "shapes"]

FoundShape = FoundPolygon | FoundLine | FoundPoint | FoundMask | FoundEntity

_LEAST_AREA = 1e-4
"""Square pixels: an outline with less has no area once it is written down."""


def shapes(found: FoundShape, tool: ToolFeature, row: DataRow, rules: MatchRules) -> list[Shape]:
    """The annotations that a finding makes: one, several where a mask of several parts becomes polygons.

    Args:
        found: What the model found.
        tool: Of the finding's own kind, or polygon for a mask and mask for a polygon.
        row: Where it was found; its size in pixels is needed to draw a polygon as a mask.
        rules: For the smallest size and the tolerance of outlines.

    Returns:
        Nothing when the shape is too small or lies outside the picture.

    Raises:
        MatchError: The shape is malformed, of another size than the picture, or the picture's size is unknown.
    """
    name, schema_id, confidence, by_id = tool.name, tool.feature_schema_id, found.confidence, tool.by_id
    if isinstance(found, FoundEntity):
        if not 0 <= found.start <= found.end:
            raise _wrong(found, row, f"goes from character {found.start} to {found.end}, which is no span")
        return [TextEntity(name, schema_id, found.start, found.end, confidence, by_id=by_id)]
    if isinstance(found, FoundPoint):
        _check_points(found, ((found.x, found.y),), 1, row)
        return [Point(name, schema_id, found.x, found.y, confidence, by_id=by_id)]
    if isinstance(found, FoundLine):
        _check_points(found, found.points, 2, row)
        return [Polyline(name, schema_id, found.points, confidence, by_id=by_id)]
    if isinstance(found, FoundPolygon):
        ring = open_ring(found.points)
        _check_points(found, ring, 3, row)
        if row.width and row.height:
            ring = clip(ring, row.width, row.height)
        if area(ring) < _LEAST_AREA or _too_small(bounds(ring), rules):
            return []
        if tool.kind == "polygon":
            return [Polygon(name, schema_id, ring, confidence, by_id=by_id)]
        drawn = _drawn(found, ring, row)
    else:
        drawn = _decoded(found, row)
    box = _box_of(drawn)
    if box is None or _too_small(box, rules):
        return []
    if tool.kind == "polygon":
        from vertex_model_inference.geometry.masks import outlines

        return [
            Polygon(name, schema_id, ring, confidence, by_id=by_id)
            for ring in outlines(drawn, rules.simplify_px)
            if not _too_small(bounds(ring), rules)
        ]
    height, width = drawn.shape
    counts = found.counts if isinstance(found, FoundMask) else encode(drawn)
    return [Mask(name, schema_id, counts, width, height, confidence, by_id=by_id)]


def _drawn(found: FoundPolygon, ring: tuple[tuple[float, float], ...], row: DataRow) -> BitMask:
    from vertex_model_inference.geometry.masks import draw

    if not row.width or not row.height:
        raise MatchError(
            f"The polygon of class {found.label!r:.80} cannot be drawn as a mask: the size of data row {row.id} is "
            "unknown.",
            hint="Use a polygon tool, or add the data row again so that Labelbox reads its size.",
            data_row_id=row.id,
        )
    if row.width * row.height > MAX_PIXELS:
        raise _wrong(found, row, f"cannot be drawn as a mask of {row.width} x {row.height} pixels, that is too large")
    return draw(ring, row.width, row.height)


def _decoded(found: FoundMask, row: DataRow) -> BitMask:
    if row.width and row.height and (found.width, found.height) != (row.width, row.height):
        raise _wrong(
            found, row, f"is {found.width} x {found.height} pixels, but the picture is {row.width} x {row.height}"
        )
    try:
        return decode(found.counts, found.width, found.height)
    except MalformedRunsError as error:
        raise _wrong(found, row, f"cannot be read: {error}") from error


def _box_of(drawn: BitMask) -> tuple[float, float, float, float] | None:
    """The smallest box around a mask's pixels: left, top, right, bottom."""
    import numpy as np

    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    if not rows.size:
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1]) + 1, float(rows[-1]) + 1


def _too_small(box: tuple[float, float, float, float], rules: MatchRules) -> bool:
    return min(box[2] - box[0], box[3] - box[1]) < rules.min_size_px


def _check_points(found: FoundShape, points: tuple[tuple[float, float], ...], least: int, row: DataRow) -> None:
    if not all(isfinite(x) and isfinite(y) for x, y in points):
        raise _wrong(found, row, "has a coordinate that is not a finite number")
    if len(set(points)) < least:
        raise _wrong(found, row, f"has {len(set(points))} different points, it needs at least {least}")


def _wrong(found: FoundShape, row: DataRow, why: str) -> MatchError:
    kind = type(found).__name__.removeprefix("Found").lower()
    return MatchError(
        f"The {kind} of class {found.label!r:.80} on data row {row.id} {why}.",
        hint="Correct what the model answers, or the decoder that reads it.",
        data_row_id=row.id,
    )
