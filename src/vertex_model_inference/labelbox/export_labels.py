"""Labels of an export -> the same annotations as predictions are. Pure.

Format: as of ``export_answers.py``. What there is no type for is counted under Labelbox's own name for it, never lost
in silence.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from vertex_model_inference.annotations import (
    Annotation,
    Box,
    DocumentEntity,
    Point,
    Polygon,
    Polyline,
    Question,
    Relationship,
    Selection,
    TextEntity,
)
from vertex_model_inference.errors import RowError
from vertex_model_inference.geometry.polygons import open_ring
from vertex_model_inference.labelbox.export_answers import ExportQuestion, answered
from vertex_model_inference.labelbox.export_videos import Frame, video_annotations
from vertex_model_inference.labelbox.linked_masks import LinkedMask, LinkedVideoMask
from vertex_model_inference.labelbox.vocabulary import Vocabulary

__all__ = ["Labelled", "LabelledRow", "parse_labels"]


Labelled = Annotation | DocumentEntity | LinkedMask | LinkedVideoMask
"""An annotation of a label."""


class LabelledRow(msgspec.Struct, gc=False, frozen=True):
    """The label of a data row.

    Attributes:
        data_row_id: The row.
        annotations: In the order of the export: objects, classifications, relationships between these objects, then
            those of the frames of a video.
        unsupported: Kinds that there is no type for -> how many.
        labels: How many labels the row has; the annotations are the first's.
    """

    data_row_id: str
    annotations: tuple[Labelled, ...]
    unsupported: dict[str, int]
    labels: int


class _Box(msgspec.Struct, gc=False):
    left: float
    top: float
    width: float
    height: float
    unit: str | None = None


class _Point(msgspec.Struct, gc=False):
    x: float
    y: float


class _Group(msgspec.Struct, gc=False):
    id: str = ""
    page_number: int = 1
    tokens: list[str] = []


class _Span(msgspec.Struct, gc=False):
    start: int | None = None
    end: int | None = None
    groups: list[_Group] | None = None


class _InMessage(msgspec.Struct, gc=False):
    message_id: str
    location: _Span


class _Link(msgspec.Struct, gc=False):
    url: str


class _Ends(msgspec.Struct, gc=False):
    """Feature ids of the objects that belong together."""

    source: str
    target: str


class _Relationship(msgspec.Struct, gc=False):
    name: str | None = None
    value: str | None = None
    feature_schema_id: str | None = None
    unidirectional_relationship: _Ends | None = None
    bidirectional_relationship: _Ends | None = None


class _Object(msgspec.Struct, gc=False):
    feature_id: str = ""
    name: str | None = None
    value: str | None = None
    feature_schema_id: str | None = None
    annotation_kind: str | None = None
    page_number: int | None = None
    bounding_box: _Box | None = None
    polygon: list[_Point] | None = None
    line: list[_Point] | None = None
    point: _Point | None = None
    mask: _Link | None = None
    location: _Span | None = None
    conversational_location: _InMessage | None = None
    classifications: list[ExportQuestion] | None = None


class _Annotations(msgspec.Struct, gc=False):
    objects: list[_Object] | None = None
    classifications: list[ExportQuestion] | None = None
    relationships: list[_Relationship] | None = None
    frames: dict[str, Frame] | None = None
    segments: dict[str, list[tuple[int, int]]] | None = None


class _Label(msgspec.Struct, gc=False):
    annotations: _Annotations


class _Line(msgspec.Struct, gc=False):
    data_row_id: str
    labels: list[_Label] | None = None


class _OnlyId(msgspec.Struct, gc=False):
    data_row_id: str = ""


RELATIONSHIP = "relationship"
_LINE = msgspec.json.Decoder(_Line)
_ID = msgspec.json.Decoder(_OnlyId)


def parse_labels(line: bytes, names: Vocabulary) -> LabelledRow:
    """A line of a run's ``labels/00000.jsonl``: ``{"data_row_id", "labels"}``, labels as Labelbox exports them.

    Raises:
        RowError: ``label_form``, it is not of that form.
    """
    try:
        row = _LINE.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        try:
            row_id = _ID.decode(line).data_row_id
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            row_id = ""
        raise RowError(
            f"The label of data row {row_id or '(unknown)'} is not of the form expected: {error}.",
            code="label_form",
            hint="Labelbox may have changed its export format; see labels/ in the run's folder.",
            data_row_id=row_id or None,
        ) from None
    labels = row.labels or []
    unsupported: Counter[str] = Counter()
    found: list[Labelled] = []
    if labels:
        given = labels[0].annotations
        places: dict[str, int] = {}
        for each in given.objects or ():
            made = _object(each, names)
            if made is None:
                unsupported[each.annotation_kind or "unknown object"] += 1
            else:
                places[each.feature_id] = len(found)
                found.append(made)
        for question in given.classifications or ():
            one = answered(question, names)
            if one is None:
                unsupported["unknown classification"] += 1
            else:
                found.append(one)
        for relation in given.relationships or ():
            related = _relationship(relation, places, names)
            if related is None:
                unsupported[RELATIONSHIP] += 1
            else:
                found.append(related)
        if given.frames:
            found += video_annotations(given.frames, given.segments or {}, names, unsupported)
    return LabelledRow(row.data_row_id, tuple(found), dict(unsupported), len(labels))


def _relationship(each: _Relationship, places: dict[str, int], names: Vocabulary) -> Relationship | None:
    """None: of another form, or an end of it is no object of the label that is read."""
    directed = each.unidirectional_relationship
    ends = directed or each.bidirectional_relationship
    if ends is None or ends.source not in places or ends.target not in places:
        return None
    schema_id = each.feature_schema_id or ""
    name = names.name(each.name or each.value, schema_id)
    return Relationship(name, schema_id, places[ends.source], places[ends.target], directed is not None)


def _object(each: _Object, names: Vocabulary) -> Labelled | None:
    schema_id = each.feature_schema_id or ""
    name = names.name(each.name or each.value, schema_id)
    nested = tuple(q for q in (answered(question, names) for question in each.classifications or ()) if q is not None)
    box = each.bounding_box
    if box is not None:
        if box.unit not in (None, "points", "POINTS") or box.width <= 0 or box.height <= 0:
            return None
        return Box(
            name, schema_id, box.left, box.top, box.width, box.height, classifications=nested, page=each.page_number
        )
    if each.polygon is not None:
        ring = open_ring(tuple((point.x, point.y) for point in each.polygon))
        return Polygon(name, schema_id, ring, classifications=nested) if len(ring) >= 3 else None
    if each.line:
        return Polyline(name, schema_id, tuple((p.x, p.y) for p in each.line), classifications=nested)
    if each.point is not None:
        return Point(name, schema_id, each.point.x, each.point.y, classifications=nested)
    if each.mask is not None:
        return LinkedMask(name, schema_id, each.mask.url, nested)
    return _entity(each, name, schema_id, nested)


def _entity(each: _Object, name: str, schema_id: str, nested: tuple[Question, ...]) -> Labelled | None:
    message_id = None
    where = each.location
    if each.conversational_location is not None:
        message_id, where = each.conversational_location.message_id, each.conversational_location.location
    if where is None:
        return None
    if where.groups is not None:
        selections = tuple(Selection(tuple(group.tokens), group.id, group.page_number) for group in where.groups)
        return DocumentEntity(name, schema_id, selections, classifications=nested)
    if where.start is None or where.end is None or where.end < where.start:
        return None
    return TextEntity(name, schema_id, where.start, where.end, classifications=nested, message_id=message_id)
