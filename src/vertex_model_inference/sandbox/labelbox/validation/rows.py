"""One row of an import against its ontology and its data row."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from vertex_model_inference.sandbox.labelbox.layouts import Layout
from vertex_model_inference.sandbox.labelbox.normalized import TOOLS
from vertex_model_inference.sandbox.labelbox.validation import metrics, shapes
from vertex_model_inference.sandbox.labelbox.validation.answers import (
    check_answer,
    check_questions,
    find_feature,
    is_framed,
)
from vertex_model_inference.sandbox.labelbox.validation.features import Feature, FeatureIndex
from vertex_model_inference.sandbox.labelbox.validation.messages import check_message_task
from vertex_model_inference.sandbox.labelbox.validation.problems import (
    Problem,
    confidence,
    custom_metrics,
    is_index,
    unknown_fields,
)
from vertex_model_inference.sandbox.labelbox.validation.video import check_segments

__all__ = ["Asset", "Checked", "Kind", "Problem", "Rules", "check"]


class Kind(StrEnum):
    """What a row brings, by the field that holds its value."""

    BOX = "bbox"
    POLYGON = "polygon"
    LINE = "line"
    POINT = "point"
    MASK = "mask"
    ENTITY = "location"
    DOCUMENT_ENTITY = "textSelections"
    SEGMENTS = "segments"
    VIDEO_MASKS = "masks"
    RELATIONSHIP = "relationship"
    MESSAGES = "messageEvaluationTask"
    METRIC = "metricValue"
    ANSWER = "answer"


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a data row.

    Attributes:
        id: Data row id.
        member: Whether it is in the model run (or in a batch of the project).
        media_type: ``IMAGE``, ``TEXT``, ...; ``UNKNOWN`` allows every kind.
        width: Pixels, or None.
        height: Pixels, or None.
        text_length: Characters of a text, or None.
        layout: Pages, tokens or messages of the asset, or None.
    """

    id: str
    member: bool
    media_type: str = "UNKNOWN"
    width: float | None = None
    height: float | None = None
    text_length: int | None = None
    layout: Layout | None = None


class Rules(msgspec.Struct, frozen=True):
    """What differs between the kinds of import.

    Attributes:
        absent: Error name for a data row that is not a member.
        place: Of membership, for messages.
        both_allowed: Take a feature with both ``name`` and ``schemaId`` when they agree.
    """

    absent: str
    place: str
    both_allowed: bool


class Checked(msgspec.Struct, frozen=True):
    """A row after its check.

    Attributes:
        problems: Why it is refused; empty: it is taken.
        asset: Its data row, when there is one.
        kind: What it brings, when that is known.
        feature: What of the ontology it names, when that is known.
    """

    problems: tuple[Problem, ...]
    asset: Asset | None = None
    kind: Kind | None = None
    feature: Feature | None = None


_VALUES: dict[str, Kind] = {kind.value: kind for kind in Kind} | {"answers": Kind.ANSWER}
_ENVELOPE = frozenset({"uuid", "dataRow", "name", "schemaId", "confidence", "customMetrics", "classifications"})
_FIELDS: dict[Kind, frozenset[str]] = {
    kind: _ENVELOPE | {kind.value} | extra
    for kind, extra in {
        Kind.BOX: {"page", "unit"},
        Kind.POLYGON: set[str](),
        Kind.LINE: set[str](),
        Kind.POINT: set[str](),
        Kind.MASK: set[str](),
        Kind.ENTITY: {"messageId"},
        Kind.DOCUMENT_ENTITY: set[str](),
        Kind.SEGMENTS: set[str](),
        Kind.VIDEO_MASKS: set[str](),
        Kind.RELATIONSHIP: set[str](),
        Kind.MESSAGES: set[str](),
        Kind.ANSWER: {"answers", "messageId", "frames"},
    }.items()
}
_TOOLS: dict[Kind, tuple[str, ...]] = {
    Kind.BOX: ("rectangle",),
    Kind.POLYGON: ("polygon",),
    Kind.LINE: ("line",),
    Kind.POINT: ("point",),
    Kind.MASK: ("raster-segmentation", "superpixel"),
    Kind.ENTITY: ("named-entity",),
    Kind.DOCUMENT_ENTITY: ("named-entity",),
    Kind.SEGMENTS: ("rectangle", "point", "line"),
    Kind.VIDEO_MASKS: ("raster-segmentation",),
    Kind.RELATIONSHIP: ("edge",),
    Kind.MESSAGES: ("message-single-selection", "message-multi-selection", "message-ranking"),
}
_PICTURES = frozenset({"IMAGE", "TMS_GEO", "TMS_SIMPLE"})
_MEDIA: dict[Kind, frozenset[str]] = {
    Kind.BOX: _PICTURES | {"PDF"},
    Kind.POLYGON: _PICTURES,
    Kind.LINE: _PICTURES,
    Kind.POINT: _PICTURES,
    Kind.MASK: _PICTURES,
    Kind.ENTITY: frozenset({"TEXT", "CONVERSATIONAL"}),
    Kind.DOCUMENT_ENTITY: frozenset({"PDF"}),
    Kind.SEGMENTS: frozenset({"VIDEO"}),
    Kind.VIDEO_MASKS: frozenset({"VIDEO"}),
    Kind.MESSAGES: frozenset({"CONVERSATIONAL", "LLM"}),
}
_FRAMED = frozenset({"VIDEO", "AUDIO", "UNKNOWN"})
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\Z")
_NO_CONFIDENCE = frozenset({Kind.SEGMENTS, Kind.RELATIONSHIP, Kind.MESSAGES})


def check(row: Any, index: FeatureIndex, assets: Mapping[tuple[str, str], Asset], rules: Rules) -> Checked:
    """Check one decoded line.

    Args:
        row: The line's JSON; anything.
        index: The ontology.
        assets: Data rows by ``("id", ...)`` and ``("globalKey", ...)``.
        rules: Of the kind of import.

    Returns:
        The row's problems, and what it names. Never raises for bad input. Whether its uuid is used twice, and whether
        a relationship's ends exist, depends on other rows and is checked by the import.
    """
    if type(row) is not dict:
        return Checked((Problem("InvalidJson", "The line is not a JSON object."),))
    problems: list[Problem] = []
    asset = _asset(row, assets, rules, problems)
    uuid = row.get("uuid")
    if uuid is not None and not (type(uuid) is str and _UUID.match(uuid)):
        problems.append(Problem("InvalidUuid", f"uuid {uuid!r:.60} is not a UUID."))
    kinds = {_VALUES[name] for name in row if name in _VALUES}
    if len(kinds) != 1:
        found = " and ".join(sorted(kinds)) or "no value that is known here"
        named = _named_only(row, index, rules) if not kinds else None
        problems.append(named or Problem("UnknownAnnotationKind", f"The row has {found}; exactly one kind is needed."))
        return Checked(tuple(problems), asset)
    kind = kinds.pop()
    if kind is Kind.METRIC:
        problems.extend(metrics.check_metric(row))
        return Checked(tuple(problems), asset, kind)
    fields = _FIELDS[kind]
    if not fields.issuperset(row):
        problems.extend(unknown_fields(row, fields, f"A row with {kind.value}"))
    if kind is Kind.VIDEO_MASKS and row.get("name") is None and row.get("schemaId") is None:
        if asset is not None and asset.media_type not in ("UNKNOWN", "VIDEO"):
            problems.append(Problem("MediaTypeMismatch", f"masks do not exist on {asset.media_type} data rows."))
        problems.extend(_video_masks(row, index))
        return Checked(tuple(problems), asset, kind)
    feature = find_feature(row, index, tool=kind is not Kind.ANSWER, both_allowed=rules.both_allowed)
    if type(feature) is Problem:
        problems.append(feature)
        return Checked(tuple(problems), asset, kind)
    assert isinstance(feature, Feature)
    if kind is Kind.ANSWER:
        _check_answer_row(row, feature, asset, rules, problems)
    else:
        _check_object_row(row, kind, feature, asset, rules, problems)
    return Checked(tuple(problems), asset, kind, feature)


def _asset(
    row: dict[str, Any], assets: Mapping[tuple[str, str], Asset], rules: Rules, problems: list[Problem]
) -> Asset | None:
    ref = row.get("dataRow")
    if type(ref) is not dict:
        problems.append(Problem("InvalidDataRow", 'The row has no dataRow: {"id"} or {"globalKey"} is needed.'))
        return None
    row_id, key = ref.get("id"), ref.get("globalKey")
    if (row_id is None) == (key is None):
        count = "neither" if row_id is None else "both"
        problems.append(Problem("InvalidDataRow", f"dataRow has {count} of id and globalKey; exactly one is needed."))
        return None
    if len(ref) > 1:
        problems.extend(unknown_fields(ref, frozenset({"id", "globalKey"}), "dataRow"))
    name, value = ("id", row_id) if row_id is not None else ("globalKey", key)
    asset = assets.get((name, value)) if type(value) is str else None
    if asset is None:
        problems.append(Problem("DataRowNotFound", f"There is no data row with {name} {value!r:.220}."))
    elif not asset.member:
        problems.append(Problem(rules.absent, f"Data row {asset.id} is not in {rules.place}."))
    return asset


def _named_only(row: dict[str, Any], index: FeatureIndex, rules: Rules) -> Problem | None:
    """A row that names a feature but brings no value misses it, rather than being of an unknown kind."""
    if not (_ENVELOPE | {"page", "unit", "messageId", "frames"}).issuperset(row):
        return None
    if row.get("name") is None and row.get("schemaId") is None:
        return None
    feature = find_feature(row, index, tool=True, both_allowed=rules.both_allowed)
    if isinstance(feature, Problem):
        return feature
    return Problem("MissingValue", f"The annotation of {feature.name!r} ({feature.kind}) has no value.")


def _check_answer_row(
    row: dict[str, Any], feature: Feature, asset: Asset | None, rules: Rules, problems: list[Problem]
) -> None:
    if feature.kind in TOOLS:
        problems.append(
            Problem("AnnotationKindMismatch", f"{feature.name!r} is a {feature.kind} tool; an answer does not fit it.")
        )
        return
    if row.get("classifications"):
        problems.append(Problem("UnknownField", "A classification has its nested classifications inside its answer."))
    if row.get("messageId") is not None:
        problems.extend(_check_message(row["messageId"], asset, f"{feature.name!r}"))
    if asset is not None and asset.media_type not in _FRAMED and is_framed(row):
        problems.append(Problem("MediaTypeMismatch", f"frames do not exist on {asset.media_type} data rows."))
    problems.extend(check_answer(row, feature, both_allowed=rules.both_allowed))


def _check_object_row(
    row: dict[str, Any], kind: Kind, feature: Feature, asset: Asset | None, rules: Rules, problems: list[Problem]
) -> None:
    where = f"{feature.name!r}"
    if feature.kind not in _TOOLS[kind]:
        problems.append(
            Problem("AnnotationKindMismatch", f"{where} is a {feature.kind}; {kind.value} does not fit it.")
        )
        return
    media = "UNKNOWN" if asset is None else asset.media_type
    allowed = _MEDIA.get(kind)
    if allowed is not None and media != "UNKNOWN" and media not in allowed:
        problems.append(
            Problem("MediaTypeMismatch", f"{kind.value} of {where} cannot be on a data row of type {media}.")
        )
        return
    value = row[kind.value]
    if value is None:
        problems.append(Problem("MissingValue", f"{kind.value} of {where} is null."))
    elif kind is Kind.BOX:
        problems.extend(_check_box_row(row, value, asset, media, where))
    else:
        problems.extend(_check_value(kind, value, row, feature, asset, media, where))
    if "confidence" in row:
        problems.extend(confidence(row, where, allowed=kind not in _NO_CONFIDENCE))
    if "customMetrics" in row:
        problems.extend(custom_metrics(row, where, allowed=kind not in _NO_CONFIDENCE and kind is not Kind.VIDEO_MASKS))
    nested = row.get("classifications")
    if nested:
        problems.extend(check_questions(nested, feature.questions, where, both_allowed=rules.both_allowed))


def _check_value(
    kind: Kind, value: Any, row: dict[str, Any], feature: Feature, asset: Asset | None, media: str, where: str
) -> Iterable[Problem]:
    if kind is Kind.POLYGON:
        yield from shapes.check_path(value, 3, f"polygon of {where}")
    elif kind is Kind.LINE:
        yield from shapes.check_path(value, 2, f"line of {where}")
    elif kind is Kind.POINT:
        yield from shapes.check_point(value, where)
    elif kind is Kind.MASK:
        yield from shapes.check_mask(value, where)
    elif kind is Kind.ENTITY:
        message = row.get("messageId")
        if media == "CONVERSATIONAL" and not (isinstance(message, str) and message):
            yield Problem("MissingValue", f"An entity of {where} on a conversation needs messageId.")
        elif message is not None:
            yield from _check_message(message, asset, where)
        length = None if asset is None else asset.text_length
        if message is not None:
            length = None if asset is None or asset.layout is None else asset.layout.messages.get(str(message))
        yield from shapes.check_entity(value, length, where)
    elif kind is Kind.DOCUMENT_ENTITY:
        yield from shapes.check_selections(value, where, None if asset is None else asset.layout)
    elif kind is Kind.SEGMENTS:
        yield from check_segments(value, feature, asset.width if asset else None, asset.height if asset else None)
    elif kind is Kind.VIDEO_MASKS:
        yield from shapes.check_video_masks(value, where)
    elif kind is Kind.RELATIONSHIP:
        yield from _check_relationship(value, where)
    elif kind is Kind.MESSAGES:
        yield from check_message_task(value, feature)


def _check_box_row(row: dict[str, Any], box: Any, asset: Asset | None, media: str, where: str) -> Iterable[Problem]:
    width, height = (None, None) if asset is None else (asset.width, asset.height)
    unit, page = row.get("unit"), row.get("page")
    if media == "PDF" or (media == "UNKNOWN" and (page is not None or unit is not None)):
        if page is None or unit is None:
            yield Problem("MissingValue", f"A box of {where} on a document needs both page and unit.")
        width = height = 100.0 if unit == "PERCENT" else None
        pages = () if asset is None or asset.layout is None else asset.layout.pages
        if pages and type(page) is int and page >= 1:
            if page > len(pages):
                yield Problem("PageNotFound", f"A box of {where} is on page {page}; the document has {len(pages)}.")
            elif unit == "POINTS":
                width, height = pages[page - 1]
    elif page is not None or unit is not None:
        yield Problem("UnknownField", f"A box of {where} has page or unit only on documents, not on {media}.")
    if page is not None and not is_index(page, 1):
        yield Problem("InvalidGeometry", f"page of {where} must be a whole number from 1, not {page!r:.20}.")
    if unit is not None and not (isinstance(unit, str) and unit in shapes.UNITS):
        yield Problem(
            "InvalidValue", f"unit of {where} must be one of {', '.join(sorted(shapes.UNITS))}, not {unit!r:.20}."
        )
    yield from shapes.check_box(box, width, height, where)


def _check_message(message: Any, asset: Asset | None, where: str) -> Iterable[Problem]:
    if not isinstance(message, str):
        yield Problem("InvalidValue", f"messageId of {where} must be a string.")
    elif asset is not None and asset.media_type not in ("CONVERSATIONAL", "LLM", "UNKNOWN"):
        yield Problem("UnknownField", f"{where} has messageId only on conversations, not on {asset.media_type}.")
    elif asset is not None and asset.layout is not None and message not in asset.layout.messages:
        yield Problem("MessageNotFound", f"messageId {message!r:.60} of {where} is no message of the conversation.")


def _check_relationship(value: Any, where: str) -> Iterable[Problem]:
    if type(value) is not dict:
        yield Problem("InvalidRelationship", f"relationship of {where} must be an object.")
        return
    yield from unknown_fields(value, frozenset({"source", "target", "type", "readonly"}), f"relationship of {where}")
    for end in ("source", "target"):
        if not isinstance(value.get(end), str):
            yield Problem("MissingValue", f"relationship of {where} needs the uuid of its {end}.")
    if value.get("type", "unidirectional") not in ("unidirectional", "bidirectional"):
        yield Problem("InvalidRelationship", f"type of {where} must be unidirectional or bidirectional.")
    if value.get("source") is not None and value.get("source") == value.get("target"):
        yield Problem("InvalidRelationship", f"{where} relates an annotation to itself.")


def _video_masks(row: dict[str, Any], index: FeatureIndex) -> Iterable[Problem]:
    """Video masks name their features in ``instances``, not in the envelope."""
    yield from shapes.check_video_masks(row["masks"], "the row")
    yield from confidence(row, "the row")
    yield from custom_metrics(row, "the row", allowed=False)
    masks = row["masks"]
    instances = masks.get("instances") if type(masks) is dict else None
    for instance in instances if type(instances) is list else ():
        feature = find_feature(instance, index, tool=True, both_allowed=False) if type(instance) is dict else None
        if isinstance(feature, Problem):
            yield feature
        elif feature is not None and feature.kind != "raster-segmentation":
            yield Problem("AnnotationKindMismatch", f"{feature.name!r} is a {feature.kind}; masks do not fit it.")
