"""Annotations in export form as things that a page can show: shapes, chips and highlighted text. Pure functions.

Shapes are in pixels of the original asset, origin top left, x then y. Text offsets count characters, the end inclusive
(as Labelbox counts).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

__all__ = ["MOST_CHIPS", "MOST_SHAPES", "Annotated", "Chip", "Drawing", "Segment", "Shape", "draw"]

#: Bounds of one data row's part of a page.
MOST_SHAPES = 200
MOST_CHIPS = 60
_MOST_POINTS = 500
_MOST_TEXT = 300

Json = dict[str, Any]


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """Something drawn on a picture.

    Attributes:
        form: ``rect``, ``polygon``, ``polyline``, ``point`` or ``mask``.
        box: x, y, width and height (for a point: its place, with no extent); None for a mask.
        points: ``x,y x,y ...`` of polygons and lines.
        url: Of a mask's PNG, white where the object is.
        source: ``label`` or ``prediction``.
    """

    form: str
    source: str
    name: str
    confidence: float | None
    box: tuple[float, float, float, float] | None = None
    points: str = ""
    url: str = ""


class Chip(msgspec.Struct, frozen=True):
    """An answer to a question; ``owner`` names the object that a nested question belongs to."""

    source: str
    owner: str
    question: str
    answer: str
    confidence: float | None


class Segment(msgspec.Struct, frozen=True):
    """A piece of a text with the names of the entities over it."""

    text: str
    labels: tuple[str, ...]
    predictions: tuple[str, ...]


class Annotated(msgspec.Struct, frozen=True):
    """All annotations of one source: lists of the export form."""

    source: str
    objects: list[Json]
    classifications: list[Json]
    others: int = 0


class Drawing(msgspec.Struct, frozen=True):
    """What to show for a row; ``undrawn`` counts what this page cannot draw, by kind, and what is over the bounds."""

    shapes: list[Shape]
    chips: list[Chip]
    segments: list[Segment]
    undrawn: dict[str, int]


def _short(text: Any) -> str:
    words = str(text)
    return words if len(words) <= _MOST_TEXT else words[: _MOST_TEXT - 1] + "…"


def _shape(item: Json, source: str) -> Shape | None:
    head: Json = {"source": source, "name": _short(item.get("name")), "confidence": item.get("confidence")}
    box = item.get("bounding_box")
    if box and "page_number" not in item:
        return Shape(form="rect", box=(box["left"], box["top"], box["width"], box["height"]), **head)
    for key, form in (("polygon", "polygon"), ("line", "polyline")):
        points = item.get(key)
        if points:
            step = len(points) // _MOST_POINTS + 1
            text = " ".join(f"{point['x']:g},{point['y']:g}" for point in points[::step])
            return Shape(form=form, points=text, box=bounds(points), **head)
    point = item.get("point")
    if point:
        return Shape(form="point", box=(point["x"], point["y"], 0.0, 0.0), **head)
    mask = item.get("mask")
    if mask and mask.get("url"):
        return Shape(form="mask", url=mask["url"], **head)
    return None


def bounds(points: list[Json]) -> tuple[float, float, float, float]:
    """x, y, width and height of the box around points."""
    xs, ys = [point["x"] for point in points], [point["y"] for point in points]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def answers_of(item: Json) -> Iterator[tuple[str, float | None, list[Json]]]:
    """Text, confidence and nested questions of each answer of a classification."""
    for prefix in ("", "conversational_"):
        radio = item.get(f"{prefix}radio_answer")
        if radio is not None:
            yield str(radio.get("name")), radio.get("confidence"), radio.get("classifications") or []
        for one in item.get(f"{prefix}checklist_answers") or ():
            yield str(one.get("name")), one.get("confidence"), one.get("classifications") or []
        text = item.get(f"{prefix}text_answer")
        if text is not None:
            yield str(text.get("content")), text.get("confidence"), text.get("classifications") or []


def _chips(item: Json, source: str, owner: str) -> Iterator[Chip]:
    name = str(item.get("name"))
    for text, confidence, nested in answers_of(item):
        yield Chip(source, _short(owner), _short(name), _short(text), confidence)
        for question in nested:
            yield from _chips(question, source, f"{owner} › {text}" if owner else text)


def _span(item: Json) -> tuple[int, int] | None:
    location = item.get("location")
    if isinstance(location, dict) and type(location.get("start")) is int and type(location.get("end")) is int:
        return location["start"], location["end"]
    return None


def draw(annotated: Iterable[Annotated], text: str | None) -> Drawing:
    """Put the annotations of a row together for showing.

    Args:
        annotated: Labels and predictions.
        text: The row's text (or its beginning) when it is one.
    """
    shapes: list[Shape] = []
    chips: list[Chip] = []
    spans: list[tuple[int, int, str, str]] = []
    undrawn: Counter[str] = Counter()
    for side in annotated:
        for item in side.objects:
            shape, span = _shape(item, side.source), _span(item)
            if shape is not None:
                shapes.append(shape)
            elif span is not None and text is not None:
                spans.append((*span, side.source, _with_confidence(item)))
            else:
                undrawn[str(item.get("annotation_kind") or "annotation")] += 1
            owner = str(item.get("name"))
            for question in item.get("classifications") or ():
                chips.extend(_chips(question, side.source, owner))
        for item in side.classifications:
            chips.extend(_chips(item, side.source, ""))
        if side.others:
            undrawn["other annotation"] += side.others
    if len(shapes) > MOST_SHAPES:
        undrawn["shape over the bound of this page"] += len(shapes) - MOST_SHAPES
    if len(chips) > MOST_CHIPS:
        undrawn["answer over the bound of this page"] += len(chips) - MOST_CHIPS
    segments = highlight(text, spans) if text is not None else []
    # Large shapes first, so that small ones stay reachable on top of them.
    shapes = sorted(shapes[:MOST_SHAPES], key=lambda shape: -(shape.box[2] * shape.box[3]) if shape.box else -1e18)
    return Drawing(shapes, chips[:MOST_CHIPS], segments, dict(undrawn))


def _with_confidence(item: Json) -> str:
    confidence = item.get("confidence")
    return f"{item.get('name')}" + (f" {confidence:.0%}" if isinstance(confidence, (int, float)) else "")


def highlight(text: str, spans: list[tuple[int, int, str, str]]) -> list[Segment]:
    """Cut a text at the ends of its entities; entities may overlap.

    Args:
        text: The text, or its beginning.
        spans: First character, last character (inclusive), source, name.
    """
    cuts = {0, len(text)}
    for start, end, _, _ in spans:
        cuts.add(min(max(start, 0), len(text)))
        cuts.add(min(max(end + 1, 0), len(text)))
    ordered = sorted(cuts)
    segments = []
    for first, last in itertools.pairwise(ordered):
        over = [(source, name) for start, end, source, name in spans if start <= first and last <= end + 1]
        segments.append(
            Segment(
                text[first:last],
                tuple(name for source, name in over if source == "label"),
                tuple(name for source, name in over if source == "prediction"),
            )
        )
    return segments
