"""A found shape becomes annotations of a tool: boxes, outlines, lines, points, masks and spans, each checked first.

The makers of ``kinds.py``: each takes a finding, a tool of its own kind (or polygon for a mask and mask for a polygon)
and what is known about the row, and gives the annotations without their nested answers; several are parts of one
object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from vertex_model_inference.annotations import Box, Mask, MaskLink, Point, Polygon, Polyline, TextEntity
from vertex_model_inference.errors import MatchError
from vertex_model_inference.findings import (
    FoundBox,
    FoundEntity,
    FoundLine,
    FoundMask,
    FoundMaskLink,
    FoundPoint,
    FoundPolygon,
)
from vertex_model_inference.geometry.polygons import Ring, area, bounds, clip, open_ring
from vertex_model_inference.geometry.runs import MAX_PIXELS, BitMask, MalformedRunsError, covered, decode, encode
from vertex_model_inference.models import MatchRules
from vertex_model_inference.rows import DataRow, MediaType
from vertex_model_inference.sources import Source
from vertex_model_inference.steps.features import ToolFeature
from vertex_model_inference.steps.media import is_url

__all__ = ["INVISIBLE", "About", "LeftOut", "box", "entity", "fitted_size", "in_picture", "line", "mask", "point"]
__all__ += ["mask_link", "polygon"]

INVISIBLE = 0.01
"""Pixels: a box narrower than this has no area once it is written down."""

_LONGEST_URI = 4096

_LEAST_AREA = 1e-4
"""Square pixels: an outline with less has no area once it is written down."""


@dataclass(frozen=True, slots=True)
class About:
    """What makers know about the row.

    Attributes:
        row: Its size in pixels is needed to draw a polygon as a mask.
        rules: For the smallest size and the tolerance of outlines.
        notes: Sentences for the outcome are put here, as keys.
        source: What the model read, where places in it must be found again.
    """

    row: DataRow
    rules: MatchRules
    notes: dict[str, None]
    source: Source | None = None

    def note(self, sentence: str) -> None:
        """Tell the reader of the outcome something, once."""
        self.notes[sentence] = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A finding makes no annotation; ``why`` ends the sentence "A box of class 'x' ...", "" needs no telling."""

    why: str


_SMALL = LeftOut("is too small or outside and was left out")


def box(found: FoundBox, tool: ToolFeature, about: About) -> Sequence[Box] | LeftOut:
    """The box, if it has an area and the smallest size."""
    width, height = found.width, found.height
    if width < INVISIBLE or height < INVISIBLE:
        return LeftOut("has no area and was left out")
    least = about.rules.min_size_px
    if width < least or height < least:
        return LeftOut("")
    name, schema_id, confidence = tool.name, tool.feature_schema_id, found.confidence
    return (Box(name, schema_id, found.left, found.top, width, height, confidence, (), tool.by_id, found.page),)


def entity(found: FoundEntity, tool: ToolFeature, about: About) -> Sequence[TextEntity] | LeftOut:
    """The span, checked against the text's length where the text is known."""
    if not 0 <= found.start <= found.end:
        raise _wrong(found, about.row, f"goes from character {found.start} to {found.end}, which is no span")
    length = _length(found, about)
    if length is not None and found.end >= length:
        where = "text" if found.message_id is None else f"message {found.message_id!r:.40}"
        raise _wrong(found, about.row, f"ends at character {found.end}, but the {where} has only {length}")
    name, schema_id, confidence = tool.name, tool.feature_schema_id, found.confidence
    return (
        TextEntity(name, schema_id, found.start, found.end, confidence, by_id=tool.by_id, message_id=found.message_id),
    )


def point(found: FoundPoint, tool: ToolFeature, about: About) -> Sequence[Point] | LeftOut:
    """The place; it may lie outside the picture."""
    _check_points(found, ((found.x, found.y),), 1, about.row)
    return (Point(tool.name, tool.feature_schema_id, found.x, found.y, found.confidence, by_id=tool.by_id),)


def line(found: FoundLine, tool: ToolFeature, about: About) -> Sequence[Polyline] | LeftOut:
    """The line; it may lie outside the picture."""
    _check_points(found, found.points, 2, about.row)
    return (Polyline(tool.name, tool.feature_schema_id, found.points, found.confidence, by_id=tool.by_id),)


def polygon(found: FoundPolygon, tool: ToolFeature, about: About) -> Sequence[Polygon | Mask] | LeftOut:
    """The outline cut at the picture's edge, or its pixels."""
    _check_points(found, open_ring(found.points), 3, about.row)
    ring = in_picture(found, about.row, about.rules)
    if ring is None:
        return _SMALL
    if tool.kind == "polygon":
        return (Polygon(tool.name, tool.feature_schema_id, ring, found.confidence, by_id=tool.by_id),)
    return _of_pixels(found, _drawn(found, ring, about.row), None, tool, about)


def in_picture(found: FoundPolygon, row: DataRow, rules: MatchRules) -> Ring | None:
    """What of an outline is used: cut at the picture's edge; None when that is too small, or no outline at all."""
    ring = open_ring(found.points)
    if len(ring) < 3 or not all(isfinite(x) and isfinite(y) for x, y in ring):
        return None
    if row.width and row.height:
        ring = clip(ring, row.width, row.height)
    return None if area(ring) < _LEAST_AREA or _too_small(bounds(ring), rules) else ring


def mask(found: FoundMask, tool: ToolFeature, about: About) -> Sequence[Polygon | Mask] | LeftOut:
    """The pixels, or the outlines of their parts; scaled to the picture's size where they are of its form."""
    size = fitted_size(found.width, found.height, about.row)
    if size is None:
        picture = f"{about.row.width} x {about.row.height}"
        what = f"is {found.width} x {found.height} pixels, but the picture is {picture}, which is of another form"
        raise _wrong(found, about.row, what)
    wide, high = size
    if tool.kind != "polygon" and (found.width, found.height) == (wide, high) and about.rules.min_size_px <= 1:
        # Nothing is asked of its pixels but that there are some.
        if not _covered(found, about.row):
            return _SMALL
        name, schema_id, confidence = tool.name, tool.feature_schema_id, found.confidence
        return (Mask(name, schema_id, found.counts, wide, high, confidence, by_id=tool.by_id),)
    drawn = _decoded(found, about.row)
    if (found.width, found.height) == (wide, high):
        return _of_pixels(found, drawn, found.counts, tool, about)
    # A model that works on a smaller copy of the picture gives masks of that copy's size.
    from vertex_model_inference.geometry.masks import scaled

    about.note(f"Masks of {found.width} x {found.height} pixels were scaled to the picture's {wide} x {high}.")
    return _of_pixels(found, scaled(drawn, wide, high), None, tool, about)


def mask_link(found: FoundMaskLink, tool: ToolFeature, about: About) -> Sequence[MaskLink] | LeftOut:
    """The address as it is: Labelbox fetches the picture, so only what it could never fetch is refused."""
    if not is_url(found.uri) or len(found.uri) > _LONGEST_URI or not found.uri.isprintable() or " " in found.uri:
        raise _wrong(found, about.row, "is at no http, https or gs address")
    if not all(0 <= channel <= 255 for channel in found.color):
        raise _wrong(found, about.row, f"has the colour {found.color}, its three numbers must be from 0 to 255")
    name, schema_id = tool.name, tool.feature_schema_id
    return (MaskLink(name, schema_id, found.uri, found.color, found.confidence, by_id=tool.by_id),)


def _of_pixels(
    found: FoundPolygon | FoundMask, drawn: BitMask, counts: bytes | None, tool: ToolFeature, about: About
) -> Sequence[Polygon | Mask] | LeftOut:
    around = _box_of(drawn)
    if around is None or _too_small(around, about.rules):
        return _SMALL
    name, schema_id, confidence, by_id = tool.name, tool.feature_schema_id, found.confidence, tool.by_id
    if tool.kind == "polygon":
        from vertex_model_inference.geometry.masks import outlines

        rings = [ring for ring in outlines(drawn, about.rules.simplify_px) if not _too_small(bounds(ring), about.rules)]
        return [Polygon(name, schema_id, ring, confidence, by_id=by_id) for ring in rings] or _SMALL
    height, width = drawn.shape
    return (Mask(name, schema_id, counts or encode(drawn), width, height, confidence, by_id=by_id),)


def _length(found: FoundEntity, about: About) -> int | None:
    """Characters of the text that the span is of, where it is known."""
    source = about.source
    if found.message_id is not None:
        messages = () if source is None else source.messages
        return next((len(message.text) for message in messages if message.id == found.message_id), None)
    if source is not None and source.text is not None:
        return len(source.text)
    row = about.row
    if row.text_length is not None:
        return row.text_length
    return len(row.row_data) if row.media_type is MediaType.TEXT and not is_url(row.row_data) else None


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


def _covered(found: FoundMask, row: DataRow) -> int:
    try:
        return covered(found.counts, found.width, found.height)
    except MalformedRunsError as error:
        raise _wrong(found, row, f"cannot be read: {error}") from error


def _decoded(found: FoundMask, row: DataRow) -> BitMask:
    try:
        return decode(found.counts, found.width, found.height)
    except MalformedRunsError as error:
        raise _wrong(found, row, f"cannot be read: {error}") from error


def fitted_size(width: int, height: int, row: DataRow) -> tuple[int, int] | None:
    """Width and height in pixels that a mask of this size is to have: the picture's, its own where that is not known.

    None: it is of another form than the picture, so that no scaling makes it fit, or the picture is too large.
    """
    wide, high = row.width, row.height
    if not wide or not high or (width, height) == (wide, high):
        return width, height
    fits = _same_form(width / wide, height / high, 1 / wide, 1 / high) and wide * high <= MAX_PIXELS
    return (wide, high) if fits else None


def _same_form(across: float, down: float, column: float, row: float) -> bool:
    """Whether one factor scales both sides, each rounded to a whole pixel up or down."""
    return max(across - column, down - row) <= min(across + column, down + row)


def _box_of(drawn: BitMask) -> tuple[float, float, float, float] | None:
    """The smallest box around a mask's pixels: left, top, right, bottom."""
    import numpy as np

    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    if not rows.size:
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1]) + 1, float(rows[-1]) + 1


def _too_small(box: tuple[float, float, float, float], rules: MatchRules) -> bool:
    return min(box[2] - box[0], box[3] - box[1]) < rules.min_size_px


def _check_points(found: _Shape, points: Ring, least: int, row: DataRow) -> None:
    if not all(isfinite(x) and isfinite(y) for x, y in points):
        raise _wrong(found, row, "has a coordinate that is not a finite number")
    if len(set(points)) < least:
        raise _wrong(found, row, f"has {len(set(points))} different points, it needs at least {least}")


_Shape = FoundPolygon | FoundLine | FoundPoint | FoundMask | FoundMaskLink | FoundEntity


def _wrong(found: _Shape, row: DataRow, why: str) -> MatchError:
    kind = type(found).__name__.removeprefix("Found").lower()
    return MatchError(
        f"The {kind} of class {found.label!r:.80} on data row {row.id} {why}.",
        hint="Correct what the model answers, or the decoder that reads it.",
        data_row_id=row.id,
    )
