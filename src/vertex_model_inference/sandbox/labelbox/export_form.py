"""A checked row as exports write it (reference: Labelbox's export v2 schema, as its SDK's own tests expect it)."""

from __future__ import annotations

from typing import Any

from vertex_model_inference.sandbox.labelbox.ids import new_id
from vertex_model_inference.sandbox.labelbox.layouts import Layout
from vertex_model_inference.sandbox.labelbox.validation import Asset, Feature, FeatureIndex, Kind, Option
from vertex_model_inference.sandbox.labelbox.validation.answers import find_feature, find_option, is_framed

__all__ = ["annotation_of", "place_of"]

_KINDS = {
    Kind.BOX: "ImageBoundingBox",
    Kind.POLYGON: "ImagePolygon",
    Kind.LINE: "ImagePolyline",
    Kind.POINT: "ImagePoint",
    Kind.MASK: "ImageSegmentationMask",
    Kind.ENTITY: "TextEntity",
    Kind.DOCUMENT_ENTITY: "DocumentEntityToken",
}
_VIDEO_KINDS = {"rectangle": "VideoBoundingBox", "point": "VideoPoint", "line": "VideoPolyline"}
_MESSAGE_KINDS = {
    "message-single-selection": "MessageSingleSelection",
    "message-multi-selection": "MessageMultiSelection",
    "message-ranking": "MessageRanking",
}


def place_of(kind: Kind, row: dict[str, Any]) -> str:
    """Which list of an export's ``annotations`` the row belongs into.

    Returns:
        ``objects``, ``classifications``, ``relationships``, ``video`` or ``metrics``.
    """
    if kind is Kind.ANSWER:
        return "video" if is_framed(row) else "classifications"
    if kind is Kind.RELATIONSHIP:
        return "relationships"
    if kind is Kind.METRIC:
        return "metrics"
    return "video" if kind in (Kind.SEGMENTS, Kind.VIDEO_MASKS) else "objects"


def annotation_of(
    row: dict[str, Any],
    kind: Kind,
    feature: Feature | None,
    asset: Asset,
    feature_id: str,
    *,
    scored: bool,
    mask_url: str,
    ends: dict[str, str],
) -> dict[str, Any]:
    """The export form of one checked row.

    Args:
        row: As imported; it has no problems.
        kind: Of the row.
        feature: That it names; None for metrics and video masks.
        asset: Its data row.
        feature_id: Id of the annotation, 25 characters.
        scored: Keep confidences (predictions do, labels do not).
        mask_url: Where the annotation's mask will be served.
        ends: Annotation ids by uuid, for relationships.
    """
    if feature is None:
        return {"feature_id": feature_id, **{k: v for k, v in row.items() if k not in ("uuid", "dataRow")}}
    head: dict[str, Any] = {
        "feature_id": feature_id,
        "feature_schema_id": feature.schema_id,
        "name": feature.name,
        "value": feature.value,
    }
    if kind is Kind.ANSWER:
        message = row.get("messageId")
        if message is not None:
            head["message_id"] = message
        if row.get("frames") is not None:
            head["frames"] = row["frames"]
        head.update(_answer(row, feature, scored=scored, prefix="conversational_" if message is not None else ""))
        return head
    if kind is Kind.RELATIONSHIP:
        value = row["relationship"]
        kind_name = value.get("type", "unidirectional")
        head["annotation_kind"] = f"{kind_name.capitalize()}Relationship"
        head["classifications"] = _questions(row, feature.questions, scored=scored)
        head[f"{kind_name}_relationship"] = {
            "source": ends[value["source"]],
            "target": ends[value["target"]],
            "readonly": bool(value.get("readonly", False)),
        }
        return head
    head["annotation_kind"] = _annotation_kind(kind, row, feature, asset)
    if scored:
        _score(head, row)
    head["classifications"] = _questions(row, feature.questions, scored=scored)
    head.update(_value(row, kind, feature, mask_url, asset.layout))
    return head


def _annotation_kind(kind: Kind, row: dict[str, Any], feature: Feature, asset: Asset) -> str:
    if kind is Kind.SEGMENTS:
        return _VIDEO_KINDS[feature.kind]
    if kind is Kind.MESSAGES:
        return _MESSAGE_KINDS[feature.kind]
    if kind is Kind.BOX and row.get("page") is not None:
        return "DocumentBoundingBox"
    if kind is Kind.ENTITY and row.get("messageId") is not None:
        return "ConversationalTextEntity"
    if asset.media_type in ("TMS_GEO", "TMS_SIMPLE") and kind is not Kind.MASK:
        return _KINDS[kind].replace("Image", "Geo")
    return _KINDS.get(kind, "VideoSegmentationMask")


def _value(row: dict[str, Any], kind: Kind, feature: Feature, mask_url: str, layout: Layout | None) -> dict[str, Any]:
    value = row[kind.value]
    if kind is Kind.BOX:
        box = {name: float(value[name]) for name in ("top", "left", "height", "width")}
        if row.get("page") is None:
            return {"bounding_box": box}
        page = {"page_number": row["page"], "bounding_box": {**box, "unit": str(row["unit"]).lower()}}
        if layout is None or row["page"] > len(layout.pages):
            return page
        width, height = layout.pages[row["page"] - 1]
        return {**page, "page_dimensions": {"height": height, "width": width, "unit": "points"}}
    if kind is Kind.POLYGON:
        points = [_point(point) for point in value]
        return {"polygon": points if points[0] == points[-1] else [*points, points[0]]}
    if kind is Kind.LINE:
        return {"line": [_point(point) for point in value]}
    if kind is Kind.POINT:
        return {"point": _point(value)}
    if kind is Kind.MASK:
        return {"mask": {"url": mask_url}}
    if kind is Kind.ENTITY:
        if row.get("messageId") is not None:
            return {"conversational_location": {"message_id": row["messageId"], "location": value}}
        return {"location": {"start": value["start"], "end": value["end"]}}
    if kind is Kind.DOCUMENT_ENTITY:
        return {"location": {"groups": [_group(selection, layout) for selection in value]}}
    if kind is Kind.MESSAGES:
        return _messages(value["data"], feature)
    return {kind.value: value}


def _group(selection: dict[str, Any], layout: Layout | None) -> dict[str, Any]:
    group = {"id": selection["groupId"], "page_number": selection["page"], "tokens": selection["tokenIds"]}
    words = {} if layout is None else layout.tokens.get(selection["page"], {}).get(selection["groupId"], {})
    return {**group, "text": " ".join(words[token] for token in selection["tokenIds"])} if words else group


def _messages(data: dict[str, Any], feature: Feature) -> dict[str, Any]:
    def message(form: dict[str, Any]) -> dict[str, Any]:
        found = {"message_id": form["messageId"], "model_config_name": form["modelConfigName"]}
        return {**found, "order": form["order"]} if "order" in form else found

    parent = {"parent_message_id": data["parentMessageId"]}
    if feature.kind == "message-single-selection":
        return {"selected_message": {**message(data), **parent}}
    if feature.kind == "message-multi-selection":
        return {"selected_messages": {"messages": [message(m) for m in data["selectedMessages"]], **parent}}
    return {"ranked_messages": {"ranked_messages": [message(m) for m in data["rankedMessages"]], **parent}}


def _point(point: dict[str, Any]) -> dict[str, float]:
    return {"x": float(point["x"]), "y": float(point["y"])}


def _score(target: dict[str, Any], form: dict[str, Any]) -> None:
    if form.get("confidence") is not None:
        target["confidence"] = form["confidence"]
    if form.get("customMetrics"):
        target["custom_metrics"] = form["customMetrics"]


def _questions(form: dict[str, Any], index: FeatureIndex, *, scored: bool) -> list[dict[str, Any]]:
    found = []
    for item in form.get("classifications") or ():
        feature = find_feature(item, index, tool=False, both_allowed=True)
        assert isinstance(feature, Feature)
        found.append(
            {
                "feature_id": new_id(),
                "feature_schema_id": feature.schema_id,
                "name": feature.name,
                "value": feature.value,
                **_answer(item, feature, scored=scored, prefix=""),
            }
        )
    return found


def _answer(form: dict[str, Any], feature: Feature, *, scored: bool, prefix: str) -> dict[str, Any]:
    answer = form.get("answers", form.get("answer"))
    if feature.kind == "radio":
        one = answer[0] if isinstance(answer, list) else answer
        assert isinstance(one, dict)
        return {f"{prefix}radio_answer": _option(one, feature, scored=scored)}
    if feature.kind == "checklist":
        assert isinstance(answer, list)
        return {f"{prefix}checklist_answers": [_option(item, feature, scored=scored) for item in answer]}
    text: dict[str, Any] = {"content": answer, "classifications": []}
    if scored:
        _score(text, form)
    return {f"{prefix}text_answer": text}


def _option(form: dict[str, Any], question: Feature, *, scored: bool) -> dict[str, Any]:
    option = find_option(form, question, both_allowed=True)
    assert isinstance(option, Option)
    found: dict[str, Any] = {
        "feature_id": new_id(),
        "feature_schema_id": option.schema_id,
        "name": option.name,
        "value": option.value,
    }
    if scored:
        _score(found, form)
    if form.get("frames") is not None:
        found["frames"] = form["frames"]
    found["classifications"] = _questions(form, option.questions, scored=scored)
    return found
