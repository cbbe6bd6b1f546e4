"""Annotations -> shapes that can be drawn over the asset they are about. Pure.

Coordinates are pixels of the original asset, or points of a document's page, origin top left, x then y.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from vertex_model_inference.annotations import (
    Box,
    DocumentEntity,
    Mask,
    MaskLink,
    Point,
    Polygon,
    Polyline,
    Relationship,
    VideoBox,
    VideoMask,
)
from vertex_model_inference.geometry.boundary import boundary
from vertex_model_inference.geometry.masks import scaled
from vertex_model_inference.geometry.polygons import simplify
from vertex_model_inference.geometry.runs import MalformedRunsError, decode
from vertex_model_inference.sources import Token

__all__ = ["Drawing", "Shape", "Side", "draw", "frames_of", "number", "pages_of"]

Side = Literal["label", "prediction"]

MOST_SHAPES = 300
"""Of one side of one asset; the largest first, so that small ones lie on top."""
MASK_SIDE = 480
"""Masks are traced at this size at most: a drawing need not be finer than the screen."""
_SQUARES = 64
"""Masks of at most so many pixels a side are drawn with the squares of their pixels."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """One annotation as something to draw.

    Attributes:
        side: Whether it was predicted or labelled.
        index: Place among the row's predictions (labels), from 0, as in ``agreement/``.
        form: ``box``, ``outline``, ``line``, ``point``, ``mask``, ``words`` or ``relation``.
        name: Of the tool. ``confidence``: 0..1, or None.
        path: SVG path data.
        left: Of the box around it, as are ``top``, ``width`` and ``height``.
        verdict: As of ``agreement.py``; empty where the row was not judged.
    """

    side: Side
    index: int
    form: str
    name: str
    path: str
    left: float
    top: float
    width: float
    height: float
    confidence: float | None = None
    verdict: str = ""


class Drawing(msgspec.Struct, frozen=True):
    """What can be drawn of some annotations, the largest first.

    Attributes:
        shapes: To draw.
        undrawn: Why something is not drawn, in a few words -> how many.
        elsewhere: Shapes on other pages, or not seen in this frame.
    """

    shapes: tuple[Shape, ...] = ()
    undrawn: Mapping[str, int] = {}
    elsewhere: int = 0

    def __add__(self, other: Drawing) -> Drawing:
        return Drawing(
            _ordered((*self.shapes, *other.shapes)),
            dict(Counter(self.undrawn) + Counter(other.undrawn)),
            self.elsewhere + other.elsewhere,
        )


class _ElsewhereError(Exception):
    """The annotation is on another page, or not seen in the frame."""


def draw(
    annotations: Sequence[object],
    side: Side,
    *,
    verdicts: Mapping[int, str] | None = None,
    page: int | None = None,
    frame: int | None = None,
    tokens: Mapping[str, Token] | None = None,
    mask_side: int = MASK_SIDE,
) -> Drawing:
    """The shapes among some annotations; answers to questions and spans of texts are passed over.

    Args:
        annotations: Of one row; what is not an annotation is passed over, but keeps its place.
        side: Which of the two they are.
        verdicts: Place -> what it turned out to be.
        page: Of a document, from 1: only what is on that page.
        frame: Of a video, from 1: only what is seen in that frame; between key frames along straight lines.
        tokens: Token id -> word, to draw the words of a document.
        mask_side: Masks are traced with sides of at most so many pixels.
    """
    found: list[Shape] = []
    undrawn: Counter[str] = Counter()
    elsewhere = 0
    relations: list[tuple[int, Relationship]] = []
    for index, each in enumerate(annotations):
        if isinstance(each, Relationship):
            relations.append((index, each))
            continue
        try:
            made = _geometry(each, page, frame, tokens or {}, mask_side)
        except _ElsewhereError:
            elsewhere += 1
            continue
        except MalformedRunsError:
            undrawn["mask that cannot be read"] += 1
            continue
        if isinstance(made, str):
            undrawn[made] += 1
        elif made is not None:
            form, rings, closed = made
            drawn = _shape(form, rings, closed=closed, side=side, index=index, of=each, verdicts=verdicts)
            if drawn is None:
                undrawn["shape without an extent"] += 1
            else:
                found.append(drawn)
    found += _relations(relations, {shape.index: shape for shape in found}, side, verdicts, undrawn)
    if len(found) > MOST_SHAPES:
        undrawn[f"more than {MOST_SHAPES} shapes"] += len(found) - MOST_SHAPES
        found = found[:MOST_SHAPES]
    return Drawing(_ordered(found), dict(undrawn), elsewhere)


def frames_of(annotations: Sequence[object]) -> tuple[int, ...]:
    """Frames of a video in which something of the annotations begins, has a key frame, or ends; rising, from 1."""
    found: set[int] = set()
    for each in annotations:
        if isinstance(each, VideoBox):
            found.update(key.frame for segment in each.segments for key in segment)
        elif isinstance(each, VideoMask):
            found.update(frame.frame for frame in each.frames)
    return tuple(sorted(found))


def pages_of(annotations: Sequence[object]) -> tuple[int, ...]:
    """Pages of a document that something is on; rising, from 1."""
    found: set[int] = set()
    for each in annotations:
        if isinstance(each, Box) and each.page is not None:
            found.add(each.page)
        elif isinstance(each, DocumentEntity):
            found.update(part.page for part in each.selections)
    return tuple(sorted(found))


Points = tuple[tuple[float, float], ...]


def _geometry(
    each: object, page: int | None, frame: int | None, tokens: Mapping[str, Token], mask_side: int
) -> tuple[str, Sequence[Points], bool] | str | None:
    """Form, rings or lines, and whether these are closed; or why it cannot be drawn; None: it has no shape."""
    match each:
        case Box():
            if each.page is not None and page is not None and each.page != page:
                raise _ElsewhereError
            return "box", (_corners(each.left, each.top, each.width, each.height),), True
        case Polygon():
            return "outline", (each.points,), True
        case Polyline():
            return "line", (each.points,), False
        case Point():
            return "point", (((each.x, each.y), (each.x, each.y)),), False
        case Mask():
            return "mask", _traced(each.counts, each.width, each.height, mask_side), True
        case MaskLink():
            return "mask behind an address"
        case VideoBox():
            return "box", (_at_frame(each, frame),), True
        case VideoMask():
            seen = next((one for one in each.frames if one.frame == frame), None)
            if seen is None:
                raise _ElsewhereError
            return "mask", _traced(seen.counts, each.width, each.height, mask_side), True
        case DocumentEntity():
            return _words(each, page, tokens)
        case _:
            return None


def _words(
    each: DocumentEntity, page: int | None, tokens: Mapping[str, Token]
) -> tuple[str, Sequence[Points], bool] | str:
    here = [part for part in each.selections if page is None or part.page == page]
    if not here:
        raise _ElsewhereError
    known = [tokens[token] for part in here for token in part.token_ids if token in tokens]
    if not known:
        return "words whose places are not known"
    return "words", [_corners(one.left, one.top, one.width, one.height) for one in known], True


def _at_frame(track: VideoBox, frame: int | None) -> Points:
    for segment in track.segments:
        keys = sorted(segment, key=lambda key: key.frame)
        if not keys or frame is None or not keys[0].frame <= frame <= keys[-1].frame:
            continue
        before = max((key for key in keys if key.frame <= frame), key=lambda key: key.frame)
        after = min((key for key in keys if key.frame >= frame), key=lambda key: key.frame)
        share = (frame - before.frame) / (after.frame - before.frame) if after.frame > before.frame else 0.0
        at = [
            one + share * (other - one)
            for one, other in (
                (before.left, after.left),
                (before.top, after.top),
                (before.width, after.width),
                (before.height, after.height),
            )
        ]
        return _corners(*at)
    raise _ElsewhereError


def _corners(left: float, top: float, width: float, height: float) -> Points:
    return (left, top), (left + width, top), (left + width, top + height), (left, top + height)


def _traced(counts: bytes, width: int, height: int, side: int) -> list[Points]:
    mask = decode(counts, width, height)
    factor = max(1.0, max(width, height) / side)
    if factor > 1:
        wide, high = max(1, round(width / factor)), max(1, round(height / factor))
        rings = boundary(scaled(mask, wide, high))
        across, down = width / wide, height / high
    else:
        rings, across, down = boundary(mask), 1.0, 1.0
    if max(width, height) > _SQUARES:
        rings = tuple(simplify(_sloped(ring), 0.3) for ring in rings)
    return [tuple((x * across, y * down) for x, y in ring) for ring in rings]


def _sloped(ring: Points) -> Points:
    """The ring with its corners cut by half a pixel: stairs of single pixels become the slopes that they stand for."""
    points: list[tuple[float, float]] = []
    for (x0, y0), (x1, y1) in zip(ring, (*ring[1:], ring[0]), strict=True):
        length = max(abs(x1 - x0), abs(y1 - y0))
        cut = min(0.5, length / 2) / length
        points.append((x0 + cut * (x1 - x0), y0 + cut * (y1 - y0)))
        if length > 1:
            points.append((x1 - cut * (x1 - x0), y1 - cut * (y1 - y0)))
    return tuple(points)


def _shape(
    form: str,
    rings: Sequence[Points],
    *,
    closed: bool,
    side: Side,
    index: int,
    of: Any,
    verdicts: Mapping[int, str] | None,
) -> Shape | None:
    points = [point for ring in rings for point in ring]
    if not points or not all(abs(value) < 1e7 for point in points for value in point):
        return None
    left, top = min(x for x, _ in points), min(y for _, y in points)
    end = "z" if closed else ""
    return Shape(
        side=side,
        index=index,
        form=form,
        name=of.name,
        path="".join(f"M{'L'.join(f'{number(x)} {number(y)}' for x, y in ring)}{end}" for ring in rings if ring),
        left=left,
        top=top,
        width=max(x for x, _ in points) - left,
        height=max(y for _, y in points) - top,
        confidence=of.confidence,
        verdict=(verdicts or {}).get(index, ""),
    )


def _relations(
    relations: Sequence[tuple[int, Relationship]],
    shapes: Mapping[int, Shape],
    side: Side,
    verdicts: Mapping[int, str] | None,
    undrawn: Counter[str],
) -> list[Shape]:
    """Lines from the middle of one shape to the middle of the other."""
    found = []
    for index, each in relations:
        ends = [shapes.get(place) for place in (each.source, each.target)]
        if ends[0] is None or ends[1] is None:
            undrawn["relationship of what is not drawn"] += 1
            continue
        middles = tuple((one.left + one.width / 2, one.top + one.height / 2) for one in ends if one is not None)
        made = _shape("relation", (middles,), closed=False, side=side, index=index, of=each, verdicts=verdicts)
        if made is not None:
            found.append(made)
    return found


def _ordered(shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    """The largest first, labels before predictions of the same size, so that nothing is hidden whole."""
    return tuple(sorted(shapes, key=lambda one: (-one.width * one.height, one.side, one.index)))


def number(value: float) -> str:
    """At most two decimals, and no more digits than needed."""
    said = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if said == "-0" else said
