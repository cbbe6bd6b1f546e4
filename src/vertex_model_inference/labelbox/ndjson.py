"""Annotations as the NDJSON rows that Labelbox imports.

The form is what the ``labelbox`` SDK 7.17.0's own ``NDJsonConverter`` writes, with one difference: a confidence of 0.0
is kept (the SDK loses it on objects, and Labelbox then takes it as 1). Where the confidence stands: on the object for
tools, on each answer for radios and checklists, on the row for free text; likewise in nested classifications.
Relationships have none.

Pages of documents are counted from 1, for boxes as for words: so do the SDK's validation of text selections and its
test fixtures, which import a box with ``page`` 1 and see it come back with ``page_number`` 1. Boxes on pages are in
points.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Callable, Sequence
from functools import lru_cache
from math import floor
from typing import Any

import msgspec

from vertex_model_inference.annotations import (
    Annotation,
    Answer,
    Box,
    Checklist,
    DocumentEntity,
    FreeText,
    Mask,
    MaskLink,
    Point,
    Polygon,
    Polyline,
    Question,
    Radio,
    Relationship,
    Shape,
    TextEntity,
    VideoBox,
    VideoMask,
)
from vertex_model_inference.geometry.masks import png
from vertex_model_inference.geometry.runs import decode
from vertex_model_inference.labelbox import ndjson_video
from vertex_model_inference.rows import DataRow

__all__ = ["lines", "row_uuid", "row_uuids"]

_PRODUCT = uuid.UUID("8f0b8d0e-5f6f-5d8c-9a1b-6c1f5f0f7d21")
"""Namespace of our uuids. Never change it: the same prediction would get another identity, and be uploaded twice."""

_ENCODER = msgspec.json.Encoder()
"""With orjson.dumps in its place all of ``bench/convert.py`` took 1.5 times as long: it suits larger values."""

_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}

_SEPARATORS = (  # line ends to some readers (str.splitlines, JavaScript before 2019), though not to JSON
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
    ("\u0085".encode(), b"\\u0085"),
)


def lines(annotations: Sequence[Annotation], row: DataRow, uuid_of: Callable[[int], str]) -> list[bytes]:
    """One NDJSON row per annotation, in their order, without line ends.

    Pixels are rounded to 1/100: finer than anyone can draw, coarse enough to hide float32's noise, and less to upload.
    Opposite edges are rounded, not sizes, so that a box never grows out of its picture. Confidences: to 1e-6. Polygons
    are closed (the first point is repeated) as the SDK closes them; masks are PNGs as the SDK's, 1 where the object is.

    Args:
        annotations: Of this row; finite, with confidences 0..1, as match gives them.
        row: The data row.
        uuid_of: Index of the annotation -> its uuid.

    Raises:
        MalformedRunsError: The run lengths of a mask do not describe it; match gives none such.
    """
    data_row = {"id": row.id}
    encode = _ENCODER.encode
    made = []
    for index, annotation in enumerate(annotations):
        value: dict[str, Any]
        if type(annotation) is Box:
            left, top = int(annotation.left * 100 + 0.5), int(annotation.top * 100 + 0.5)
            width = int((annotation.left + annotation.width) * 100 + 0.5) - left
            height = int((annotation.top + annotation.height) * 100 + 0.5) - top
            confidence = annotation.confidence
            nested = annotation.classifications
            value = {} if confidence is None else {"confidence": int(confidence * 1e6 + 0.5) / 1e6}
            value["uuid"] = uuid_of(index)
            value["dataRow"] = data_row
            if annotation.by_id:
                value["schemaId"] = annotation.feature_schema_id
            else:
                value["name"] = annotation.name
            value["classifications"] = [_question(question) for question in nested] if nested else []
            value["bbox"] = {"top": top / 100, "left": left / 100, "height": height / 100, "width": width / 100}
            if annotation.page is not None:
                value["page"] = annotation.page
                value["unit"] = "POINTS"
        elif isinstance(annotation, Radio | Checklist | FreeText):
            value = _question(annotation)
            if frames := ndjson_video.frames_of(annotation)[0]:
                value["frames"] = frames
            value["uuid"] = uuid_of(index)
            value["dataRow"] = data_row
            if annotation.message_id is not None:
                value["messageId"] = annotation.message_id
        elif isinstance(annotation, Relationship):
            value = {"uuid": uuid_of(index), "dataRow": data_row, **_reference(annotation)}
            value["relationship"] = {
                "source": uuid_of(annotation.source),
                "target": uuid_of(annotation.target),
                "type": "unidirectional" if annotation.directed else "bidirectional",
            }
        elif isinstance(annotation, VideoBox):
            value = {"uuid": uuid_of(index), "dataRow": data_row, **_reference(annotation)}
            value.update(ndjson_video.segments(annotation, _question))
        elif isinstance(annotation, VideoMask):
            value = {**_confident(annotation.confidence), "uuid": uuid_of(index), "dataRow": data_row}
            value.update(ndjson_video.video_masks(annotation))
        else:
            value = _confident(annotation.confidence)
            value["uuid"] = uuid_of(index)
            value["dataRow"] = data_row
            value.update(_reference(annotation))
            value["classifications"] = [_question(question) for question in annotation.classifications]
            value.update(_shape(annotation))
        line = encode(value)
        made.append(line if line.isascii() else _one_line(line))
    return made


def _one_line(line: bytes) -> bytes:
    """Escape what some readers take for a line end; these bytes occur in strings only, as whole characters."""
    for raw, escaped in _SEPARATORS:
        line = line.replace(raw, escaped)
    return line


def _confident(confidence: float | None) -> dict[str, Any]:
    return {} if confidence is None else {"confidence": int(confidence * 1e6 + 0.5) / 1e6}


def _shape(shape: Shape) -> dict[str, Any]:
    if isinstance(shape, Polygon):
        return {"polygon": [_point(x, y) for x, y in (*shape.points, shape.points[0])]}
    if isinstance(shape, Polyline):
        return {"line": [_point(x, y) for x, y in shape.points]}
    if isinstance(shape, Point):
        return {"point": _point(shape.x, shape.y)}
    if isinstance(shape, MaskLink):
        return {"mask": {"instanceURI": shape.uri, "colorRGB": shape.color}}
    if isinstance(shape, Mask):
        drawn = png(decode(shape.counts, shape.width, shape.height))
        return {"mask": {"png": base64.b64encode(drawn).decode()}}
    if isinstance(shape, DocumentEntity):
        return {
            "textSelections": [
                {"tokenIds": selection.token_ids, "groupId": selection.group_id, "page": selection.page}
                for selection in shape.selections
            ]
        }
    assert isinstance(shape, TextEntity)
    location = {"location": {"start": shape.start, "end": shape.end}}
    return location if shape.message_id is None else {"messageId": shape.message_id, **location}


def _point(x: float, y: float) -> dict[str, float]:
    # Floor, not int(): a line's points may lie left of the picture, and int() would round those towards it.
    return {"x": floor(x * 100 + 0.5) / 100, "y": floor(y * 100 + 0.5) / 100}


def _reference(feature: Shape | VideoBox | Question | Answer | Relationship) -> dict[str, str]:
    return {"schemaId": feature.feature_schema_id} if feature.by_id else {"name": feature.name}


def _question(question: Question) -> dict[str, Any]:
    if isinstance(question, FreeText):
        return {**_confident(question.confidence), **_reference(question), "answer": question.text}
    if isinstance(question, Checklist):
        framed = ndjson_video.frames_of(question)[1]
        return {**_reference(question), "answer": [_answer(answer, framed=framed) for answer in question.answers]}
    return {**_reference(question), "answer": _answer(question.answer)}


def _answer(answer: Answer, *, framed: bool = False) -> dict[str, Any]:
    value = {**_confident(answer.confidence), **_reference(answer)}
    if framed and answer.frames:
        value["frames"] = ndjson_video.ranges(answer)
    if answer.classifications:
        value["classifications"] = [_question(question) for question in answer.classifications]
    return value


@lru_cache(maxsize=64)
def _run_namespace(run_id: str) -> bytes:
    return uuid.uuid5(_PRODUCT, run_id).bytes


def row_uuids(run_id: str, row_id: str) -> Callable[[int], str]:
    """The uuids of a row's annotations, ``uuid5(uuid5(namespace, run id), "<row id>/<index>")``.

    Returns:
        Index -> uuid; the common beginning is hashed once.
    """
    seeded = hashlib.sha1(_run_namespace(run_id) + f"{row_id}/".encode(), usedforsecurity=False)

    def uuid_of(index: int) -> str:
        hashed = seeded.copy()
        hashed.update(b"%d" % index)
        h = hashed.hexdigest()
        return f"{h[:8]}-{h[8:12]}-5{h[13:16]}-{_VARIANT[h[16]]}{h[17:20]}-{h[20:32]}"

    return uuid_of


def row_uuid(run_id: str, row_id: str, index: int) -> str:
    """The uuid of one annotation: always the same, so that uploading twice makes no second prediction."""
    return row_uuids(run_id, row_id)(index)
