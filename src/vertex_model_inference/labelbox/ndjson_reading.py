"""Uploaded NDJSON rows -> annotations: the way back of ``ndjson.py``, so that a run's predictions can be looked at
wherever they were sent. Pure.
"""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from vertex_model_inference.annotations import (
    Annotation,
    Answer,
    Box,
    Checklist,
    DocumentEntity,
    FrameMask,
    FreeText,
    KeyFrame,
    Mask,
    MaskLink,
    Point,
    Polygon,
    Polyline,
    Question,
    Radio,
    Relationship,
    Selection,
    TextEntity,
    VideoBox,
    VideoMask,
)
from vertex_model_inference.errors import RowError
from vertex_model_inference.geometry.polygons import open_ring
from vertex_model_inference.geometry.runs import MAX_PIXELS, encode
from vertex_model_inference.labelbox.vocabulary import Vocabulary

__all__ = ["Uploaded", "mask_of_png", "parse_prediction", "parse_predictions"]

Uploaded = Annotation | DocumentEntity
"""An annotation that was read back."""


class _DataRow(msgspec.Struct, gc=False):
    id: str | None = None
    globalKey: str | None = None  # noqa: N815  # Labelbox's name


class _Box(msgspec.Struct, gc=False):
    left: float
    top: float
    width: float
    height: float


class _Point(msgspec.Struct, gc=False):
    x: float
    y: float


class _Location(msgspec.Struct, gc=False):
    start: int
    end: int


class _Selection(msgspec.Struct, gc=False):
    tokenIds: list[str]  # noqa: N815
    groupId: str = ""  # noqa: N815
    page: int = 1


class _Mask(msgspec.Struct, gc=False):
    png: str | None = None
    instanceURI: str | None = None  # noqa: N815
    colorRGB: tuple[int, int, int] | None = None  # noqa: N815


class _Picture(msgspec.Struct, gc=False):
    index: int
    imBytes: str | None = None  # noqa: N815


class _Instance(msgspec.Struct, gc=False):
    name: str | None = None
    featureSchemaId: str | None = None  # noqa: N815


class _VideoMasks(msgspec.Struct, gc=False):
    frames: list[_Picture]
    instances: list[_Instance]


class _KeyFrame(msgspec.Struct, gc=False):
    frame: int
    bbox: _Box | None = None


class _Segment(msgspec.Struct, gc=False):
    keyframes: list[_KeyFrame]


class _Range(msgspec.Struct, gc=False):
    start: int
    end: int


class _Answer(msgspec.Struct, gc=False):
    name: str | None = None
    schemaId: str | None = None  # noqa: N815
    confidence: float | None = None
    classifications: list[_Question] | None = None
    frames: list[_Range] | None = None
    value: str | None = None


class _Question(msgspec.Struct, gc=False):
    name: str | None = None
    schemaId: str | None = None  # noqa: N815
    confidence: float | None = None
    answer: str | _Answer | list[_Answer] | None = None
    answers: list[_Answer] | None = None


class _Related(msgspec.Struct, gc=False):
    source: str = ""
    target: str = ""
    type: str = "unidirectional"


class _Row(_Question, gc=False):
    uuid: str = ""
    relationship: _Related | None = None
    dataRow: _DataRow = msgspec.field(default_factory=_DataRow)  # noqa: N815
    messageId: str | None = None  # noqa: N815
    frames: list[_Range] | None = None
    page: int | None = None
    bbox: _Box | None = None
    polygon: list[_Point] | None = None
    line: list[_Point] | None = None
    point: _Point | None = None
    mask: _Mask | None = None
    location: _Location | None = None
    textSelections: list[_Selection] | None = None  # noqa: N815
    segments: list[_Segment] | None = None
    masks: _VideoMasks | None = None
    classifications: list[_Question] | None = None


_ROW = msgspec.json.Decoder(_Row)


def parse_prediction(line: bytes, names: Vocabulary) -> tuple[str, Uploaded | None]:
    """One row of ``predictions/00000.ndjson``.

    Args:
        line: Without its end.
        names: Of the ontology.

    Returns:
        The data row's id (or global key), and the annotation; None: there is no type for its kind, or it is a
        relationship, whose ends only ``parse_predictions`` can find.

    Raises:
        RowError: ``prediction_form``, it is not of the form that Labelbox imports.
    """
    row, annotation = _parsed(line, names)
    return row.dataRow.id or row.dataRow.globalKey or "", annotation


def parse_predictions(lines: Sequence[bytes], names: Vocabulary) -> list[Uploaded | None]:
    """All rows of ``predictions/00000.ndjson`` that are one data row's, so that relationships find their ends.

    Args:
        lines: Each without its end.
        names: Of the ontology.

    Returns:
        An annotation for each line, in their order; None: it is not of a form that is read here, or an end of the
        relationship is not among the lines.
    """
    found: list[Uploaded | None] = []
    places: dict[str, int] = {}
    relations: list[tuple[int, _Row, _Related]] = []
    for place, line in enumerate(lines):
        try:
            row, annotation = _parsed(line, names)
        except RowError:
            found.append(None)
            continue
        found.append(annotation)
        places[row.uuid] = place
        if row.relationship is not None:
            relations.append((place, row, row.relationship))
    for place, row, ends in relations:
        if ends.source in places and ends.target in places:
            schema_id = row.schemaId or ""
            found[place] = Relationship(
                names.name(row.name, schema_id),
                schema_id,
                places[ends.source],
                places[ends.target],
                ends.type == "unidirectional",
                row.confidence,
            )
    return found


def _parsed(line: bytes, names: Vocabulary) -> tuple[_Row, Uploaded | None]:
    try:
        row = _ROW.decode(line)
        return row, _annotation(row, names)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise RowError(
            f"A prediction is not of the form that Labelbox imports: {error}.",
            code="prediction_form",
            hint="Was predictions/ in the run's folder changed by hand?",
        ) from None


def _annotation(row: _Row, names: Vocabulary) -> Uploaded | None:
    if row.answer is not None or row.answers is not None:
        return _question(row, names, row.messageId, row.frames)
    schema_id = row.schemaId or ""
    name = names.name(row.name, schema_id)
    nested = tuple(q for q in (_question(each, names) for each in row.classifications or ()) if q is not None)
    shared: dict[str, Any] = {"confidence": row.confidence, "classifications": nested}
    if row.bbox is not None:
        box = row.bbox
        return Box(name, schema_id, box.left, box.top, box.width, box.height, page=row.page, **shared)
    if row.polygon is not None:
        return Polygon(name, schema_id, open_ring(tuple((p.x, p.y) for p in row.polygon)), **shared)
    if row.line is not None:
        return Polyline(name, schema_id, tuple((p.x, p.y) for p in row.line), **shared)
    if row.point is not None:
        return Point(name, schema_id, row.point.x, row.point.y, **shared)
    if row.mask is not None:
        if row.mask.png is None:
            link, color = row.mask.instanceURI, row.mask.colorRGB
            return None if link is None or color is None else MaskLink(name, schema_id, link, color, **shared)
        return Mask(name, schema_id, *mask_of_png(_decoded(row.mask.png)), **shared)
    if row.location is not None:
        where = row.location
        return TextEntity(name, schema_id, where.start, where.end, message_id=row.messageId, **shared)
    if row.textSelections is not None:
        selections = tuple(Selection(tuple(s.tokenIds), s.groupId, s.page) for s in row.textSelections)
        return DocumentEntity(name, schema_id, selections, **shared)
    if row.segments is not None:
        segments = tuple(
            tuple(
                KeyFrame(k.frame, k.bbox.left, k.bbox.top, k.bbox.width, k.bbox.height)
                for k in part.keyframes
                if k.bbox
            )
            for part in row.segments
        )
        return VideoBox(name, schema_id, segments, **shared) if any(segments) else None
    return None if row.masks is None else _video_mask(row.masks, row.confidence, names)


def _video_mask(masks: _VideoMasks, confidence: float | None, names: Vocabulary) -> VideoMask | None:
    """One object's masks, as ``ndjson_video`` writes them: a row for each object, in pictures of its own."""
    if len(masks.instances) != 1:
        return None
    schema_id = masks.instances[0].featureSchemaId or ""
    frames: list[FrameMask] = []
    sizes: set[tuple[int, int]] = set()
    for frame in masks.frames:
        if frame.imBytes is None:
            return None
        counts, width, height = mask_of_png(_decoded(frame.imBytes))
        frames.append(FrameMask(frame.index, counts))
        sizes.add((width, height))
    if len(sizes) != 1:
        return None
    name = names.name(masks.instances[0].name, schema_id)
    return VideoMask(name, schema_id, tuple(frames), *sizes.pop(), confidence)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"the mask is not base64: {error}") from None


def mask_of_png(picture: bytes, color: tuple[int, int, int] | None = None) -> tuple[bytes, int, int]:
    """A mask's PNG -> its run lengths (COCO, compressed), width and height in pixels.

    Args:
        picture: The file.
        color: Red, green and blue, 0..255, of the pixels that are set; None: whatever is not black (or clear).

    Raises:
        ValueError: Not a picture that can be read, or one of too many pixels.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(picture), formats=("PNG",)) as opened:
            width, height = opened.size
            if width * height > MAX_PIXELS:
                raise ValueError(f"the mask has {width} x {height} pixels")
            usual = opened.mode in ("L", "1", "RGB") and color is None
            plain = opened if usual else opened.convert("RGBA" if color is None else "RGB")
            pixels = np.asarray(plain)
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"the mask is not a PNG that can be read: {type(error).__name__}") from None
    if color is not None:
        drawn = (pixels == np.asarray(color)).all(axis=2)
    elif pixels.ndim == 2:
        drawn = pixels != 0
    elif pixels.shape[2] == 4:
        drawn = (pixels[:, :, :3] != 0).any(axis=2) & (pixels[:, :, 3] != 0)
    else:
        drawn = (pixels != 0).any(axis=2)
    return encode(drawn), width, height


def _question(
    given: _Question, names: Vocabulary, message_id: str | None = None, frames: list[_Range] | None = None
) -> Question | None:
    schema_id = given.schemaId or ""
    name = names.name(given.name, schema_id)
    answer = given.answers if given.answer is None else given.answer
    if isinstance(answer, str):
        return FreeText(name, schema_id, answer, given.confidence, message_id=message_id)
    if isinstance(answer, _Answer):
        return Radio(name, schema_id, _answer(answer, names, frames), message_id=message_id)
    if answer and all(one.value is None for one in answer):
        answers = tuple(_answer(one, names, frames) for one in answer)
        return Checklist(name, schema_id, answers, message_id=message_id)
    return None


def _answer(answer: _Answer, names: Vocabulary, frames: list[_Range] | None) -> Answer:
    schema_id = answer.schemaId or ""
    nested = (_question(each, names) for each in answer.classifications or ())
    spans = tuple((span.start, span.end) for span in answer.frames or frames or ())
    return Answer(
        names.name(answer.name, schema_id),
        schema_id,
        answer.confidence,
        classifications=tuple(question for question in nested if question is not None),
        frames=spans,
    )
