"""Objects as shapes on a picture, a page or a frame. Pure functions.

Coordinates: pixels of the original asset, or points of a document's page; origin top left, x then y.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from vertex_model_inference.sandbox.labelbox.page.annotated import Json
from vertex_model_inference.sandbox.labelbox.page.chips import short

__all__ = ["Box", "Document", "Shape", "arrow", "bounds", "shapes_of"]

_MOST_POINTS = 500
_PER_INCH = 72.0  # points

Box = tuple[float, float, float, float]
"""Left, top, width and height."""


class Document(msgspec.Struct, frozen=True):
    """What a page needs to draw on a PDF.

    Attributes:
        pages: Width and height in points, first page first.
        tokens: Page number (from 1), group id, token id -> its box in points.
    """

    pages: tuple[tuple[float, float], ...] = ()
    tokens: Mapping[tuple[int, str, str], Box] = {}


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """Something drawn.

    Attributes:
        form: ``rect``, ``polygon``, ``polyline``, ``point``, ``mask`` or ``arrow``.
        source: ``label`` or ``prediction``.
        box: Of a point: its place, with no extent; None for a mask.
        points: ``x,y x,y ...`` of polygons, lines and arrows.
        url: Of a mask's PNG, white where the object is.
        page: Of a document, from 1; 0 elsewhere.
        part: It belongs to the shape before it, and is neither counted nor named again.
    """

    form: str
    source: str
    name: str
    confidence: float | None
    box: Box | None = None
    points: str = ""
    url: str = ""
    page: int = 0
    part: bool = False


def bounds(points: Sequence[Json]) -> Box:
    """The box around points."""
    xs, ys = [point["x"] for point in points], [point["y"] for point in points]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def _text(points: Sequence[Json]) -> str:
    step = len(points) // _MOST_POINTS + 1
    return " ".join(f"{point['x']:g},{point['y']:g}" for point in points[::step])


def shapes_of(item: Json, source: str, document: Document | None = None) -> list[Shape]:
    """How an object is drawn: mostly one shape; an entity of a document one for each of its tokens.

    Args:
        item: Its export form.
        source: ``label`` or ``prediction``.
        document: The PDF that it is in, if it is one.

    Returns:
        Nothing, when it cannot be drawn here.
    """
    confidence = item.get("confidence")
    name = short(item.get("name"))

    def made(form: str, **more: object) -> Shape:
        return Shape(form=form, source=source, name=name, confidence=confidence, **more)  # type: ignore[arg-type]

    box = item.get("bounding_box")
    if box:
        place = (float(box["left"]), float(box["top"]), float(box["width"]), float(box["height"]))
        page = item.get("page_number")
        if page is None:
            return [made("rect", box=place)]
        if document is None or not 1 <= page <= len(document.pages):
            return []
        return [
            made("rect", box=_in_points(place, str(box.get("unit", "points")), document.pages[page - 1]), page=page)
        ]
    for key, form in (("polygon", "polygon"), ("line", "polyline")):
        points = item.get(key)
        if points:
            return [made(form, points=_text(points), box=bounds(points))]
    point = item.get("point")
    if point:
        return [made("point", box=(float(point["x"]), float(point["y"]), 0.0, 0.0))]
    mask = item.get("mask")
    if mask and mask.get("url"):
        return [made("mask", url=mask["url"])]
    groups = (item.get("location") or {}).get("groups")
    if groups and document is not None:
        places = [
            (group["page_number"], document.tokens[group["page_number"], group["id"], token])
            for group in groups
            for token in group["tokens"]
            if (group["page_number"], group["id"], token) in document.tokens
        ]
        return [made("rect", box=where, page=page, part=bool(n)) for n, (page, where) in enumerate(places)]
    return []


def _in_points(box: Box, unit: str, page: tuple[float, float]) -> Box:
    """A box of a page. Pixels are taken for points: a PDF has none of its own."""
    across, down = {"inches": (_PER_INCH, _PER_INCH), "percent": (page[0] / 100, page[1] / 100)}.get(unit, (1.0, 1.0))
    return box[0] * across, box[1] * down, box[2] * across, box[3] * down


def arrow(name: str, source: str, start: Shape, end: Shape) -> Shape | None:
    """A relationship from one shape to another; None where one has no place or they are on different pages."""
    if start.box is None or end.box is None or start.page != end.page:
        return None
    (x, y), (u, v) = _middle(start.box), _middle(end.box)
    return Shape(
        form="arrow",
        source=source,
        name=name,
        confidence=None,
        points=f"{x:g},{y:g} {u:g},{v:g}",
        box=(min(x, u), min(y, v), abs(u - x), abs(v - y)),
        page=start.page,
    )


def _middle(box: Box) -> tuple[float, float]:
    return box[0] + box[2] / 2, box[1] + box[3] / 2
