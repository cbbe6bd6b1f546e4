"""Where an object is: Gemini's thousandths, times and quotes, as findings in pixels, points, frames and words.

Boxes ``[ymin, xmin, ymax, xmax]`` and points ``[y, x]`` from 0 to 1000:
https://cloud.google.com/vertex-ai/generative-ai/docs/bounding-box-detection. Masks are PNGs of probabilities that cover
the box only and are scaled to it, 127 being the threshold: as Google's spatial understanding notebook draws them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

from vertex_model_inference.decoders.masks import picture
from vertex_model_inference.errors import DecodeError
from vertex_model_inference.findings import (
    FoundBox,
    FoundFrame,
    FoundLabel,
    FoundLine,
    FoundMask,
    FoundObject,
    FoundPoint,
    FoundPolygon,
    FoundQuote,
    FoundText,
    FoundTrack,
)
from vertex_model_inference.gemini.asked import Form
from vertex_model_inference.gemini.checks import fields_of, list_of, number, off, size, string, time, timeline
from vertex_model_inference.gemini.words import Path
from vertex_model_inference.geometry.runs import MAX_PIXELS, encode
from vertex_model_inference.rows import DataRow, MediaType

__all__ = ["Said", "names_of", "place"]

_THRESHOLD = 127
_NAMES: dict[Form, tuple[str, ...]] = {
    Form.BOX: ("box_2d",),
    Form.MASK: ("box_2d", "mask"),
    Form.POLYGON: ("outline",),
    Form.LINE: ("points",),
    Form.POINT: ("point",),
    Form.QUOTE: ("text", "occurrence"),
    Form.TRACK: ("track",),
}


class Said(msgspec.Struct, frozen=True):
    """What is said of an object beside where it is; as of the findings."""

    label: str
    confidence: float | None
    answers: tuple[FoundLabel | FoundText, ...]
    id: str | None


def names_of(form: Form, media: MediaType) -> tuple[str, ...]:
    """The properties that tell where an object is."""
    page = ("page",) if media is MediaType.DOCUMENT else ()
    message = ("message_id",) if form is Form.QUOTE and media is MediaType.CONVERSATION else ()
    return (*page, *message, *_NAMES[form])


def place(form: Form, fields: Mapping[str, Any], said: Said, row: DataRow, path: Path) -> FoundObject:
    """The finding of one object.

    Args:
        form: How it is told.
        fields: Its properties, those of ``names_of`` among them.
        said: What else is said of it.
        row: The data row: size in pixels, frame rate, page sizes.
        path: Where the object stands in the answer.

    Raises:
        OffSchemaError: A property is not of its form.
        DecodeError: The row's size, frame rate or page sizes are not known.
    """
    return _MAKERS[form](fields, said, row, path)


def _box(fields: Mapping[str, Any], said: Said, row: DataRow, path: Path) -> FoundBox:
    page = _page(fields, path)
    wide, high = size(row) if page is None else _page_size(page, row, path)
    top, left, bottom, right = _corners(fields["box_2d"], (*path, "box_2d"))
    return FoundBox(
        said.label,
        left * wide / 1000,
        top * high / 1000,
        (right - left) * wide / 1000,
        (bottom - top) * high / 1000,
        said.confidence,
        answers=said.answers,
        id=said.id,
        page=page,
    )


def _page(fields: Mapping[str, Any], path: Path) -> int | None:
    return _whole(fields["page"], (*path, "page")) if "page" in fields else None


def _page_size(page: int, row: DataRow, path: Path) -> tuple[float, float]:
    if not row.page_sizes:
        raise DecodeError(
            f"Gemini's coordinates for data row {row.id} are relative, and the sizes of its pages are not known.",
            code="size_unknown",
            hint="Install vertex-model-inference[documents], which reads them from the PDF.",
            data_row_id=row.id,
        )
    if page > len(row.page_sizes):
        off((*path, "page"), f"page {page} is named, but the document has {len(row.page_sizes)}")
    return row.page_sizes[page - 1]


def _corners(value: Any, path: Path) -> tuple[float, float, float, float]:
    numbers = list_of(value, path)
    if len(numbers) != 4:
        off(path, f"four numbers are expected, not {len(numbers)}")
    top, left, bottom, right = (number(each, (*path, at), 0, 1000) for at, each in enumerate(numbers))
    if bottom < top or right < left:
        off(path, "the order must be [ymin, xmin, ymax, xmax]")
    return top, left, bottom, right


def _pair(value: Any, path: Path, row: DataRow) -> tuple[float, float]:
    numbers = list_of(value, path)
    if len(numbers) != 2:
        off(path, f"two numbers are expected, not {len(numbers)}")
    y, x = (number(each, (*path, at), 0, 1000) for at, each in enumerate(numbers))
    wide, high = size(row)
    return x * wide / 1000, y * high / 1000


def _pairs(value: Any, path: Path, row: DataRow, least: int) -> tuple[tuple[float, float], ...]:
    points = tuple(_pair(each, (*path, at), row) for at, each in enumerate(list_of(value, path)))
    if len(points) > least and points[0] == points[-1] and least == 3:
        points = points[:-1]
    if len(points) < least:
        off(path, f"at least {least} points are expected, not {len(points)}")
    return points


def _polygon(fields: Mapping[str, Any], said: Said, row: DataRow, path: Path) -> FoundPolygon:
    points = _pairs(fields["outline"], (*path, "outline"), row, 3)
    return FoundPolygon(said.label, points, said.confidence, said.answers, said.id)


def _line(fields: Mapping[str, Any], said: Said, row: DataRow, path: Path) -> FoundLine:
    points = _pairs(fields["points"], (*path, "points"), row, 2)
    return FoundLine(said.label, points, said.confidence, said.answers, said.id)


def _point(fields: Mapping[str, Any], said: Said, row: DataRow, path: Path) -> FoundPoint:
    x, y = _pair(fields["point"], (*path, "point"), row)
    return FoundPoint(said.label, x, y, said.confidence, said.answers, said.id)


def _mask(fields: Mapping[str, Any], said: Said, row: DataRow, path: Path) -> FoundMask:
    from PIL import Image

    wide, high = size(row)
    top, left, bottom, right = _corners(fields["box_2d"], (*path, "box_2d"))
    encoded = string(fields["mask"], (*path, "mask"))
    if wide * high > MAX_PIXELS:
        raise DecodeError(
            f"Data row {row.id} is of {wide} x {high} pixels; masks of at most {MAX_PIXELS:,} pixels can be written.",
            code="size_too_large",
            data_row_id=row.id,
        )
    try:
        drawn = picture(encoded, msgspec.structs.replace(row, width=None, height=None), "gemini", "the mask").convert(
            "L"
        )
    except DecodeError as error:
        off((*path, "mask"), error.message.partition("'gemini': ")[2].rstrip(".") or "it cannot be read")
    x0, x1 = int(left * wide / 1000), int(right * wide / 1000)
    y0, y1 = int(top * high / 1000), int(bottom * high / 1000)
    whole = np.zeros((high, wide), dtype=np.bool_)
    if x1 > x0 and y1 > y0:
        scaled = drawn.resize((x1 - x0, y1 - y0), Image.Resampling.BILINEAR)
        whole[y0:y1, x0:x1] = np.asarray(scaled) > _THRESHOLD
    return FoundMask(said.label, encode(whole), wide, high, said.confidence, said.answers, said.id)


def _quote(fields: Mapping[str, Any], said: Said, _row: DataRow, path: Path) -> FoundQuote:
    words = string(fields["text"], (*path, "text"))
    if not words.strip():
        off((*path, "text"), "it quotes nothing")
    message_id = string(fields["message_id"], (*path, "message_id")) if "message_id" in fields else None
    return FoundQuote(
        said.label,
        words,
        said.confidence,
        answers=said.answers,
        id=said.id,
        message_id=message_id,
        page=_page(fields, path),
        occurrence=_whole(fields["occurrence"], (*path, "occurrence")) - 1,
    )


def _track(fields: Mapping[str, Any], said: Said, row: DataRow, path: Path) -> FoundTrack:
    wide, high = size(row)
    frames = timeline(row)
    seen: dict[int, FoundFrame] = {}
    for at, each in enumerate(list_of(fields["track"], (*path, "track"))):
        where = (*path, "track", at)
        sight = fields_of(each, ("time", "box_2d"), where)
        frame = frames.frame_at(time(sight["time"], (*where, "time")))
        top, left, bottom, right = _corners(sight["box_2d"], (*where, "box_2d"))
        # Of two looks at one frame the first stands.
        seen.setdefault(
            frame,
            FoundFrame(
                frame,
                left * wide / 1000,
                top * high / 1000,
                (right - left) * wide / 1000,
                (bottom - top) * high / 1000,
            ),
        )
    if not seen:
        off((*path, "track"), "it is empty")
    segment = tuple(seen[frame] for frame in sorted(seen))
    return FoundTrack(said.label, (segment,), said.confidence, said.answers, said.id)


def _whole(value: Any, path: Path) -> int:
    given = number(value, path, 1, 1_000_000)
    if given != int(given):
        off(path, f"{given!r} is no whole number")
    return int(given)


_MAKERS: dict[Form, Callable[[Mapping[str, Any], Said, DataRow, Path], FoundObject]] = {
    Form.BOX: _box,
    Form.MASK: _mask,
    Form.POLYGON: _polygon,
    Form.LINE: _line,
    Form.POINT: _point,
    Form.QUOTE: _quote,
    Form.TRACK: _track,
}
