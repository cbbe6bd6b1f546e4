"""What is asked, as the response schema that Vertex holds Gemini to.

Format: ``google/cloud/aiplatform_v1/types/openapi.py`` (``Schema``: OpenAPI 3.0's subset, type names in capitals).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vertex_model_inference.gemini.asked import Asked, AskedObjects, AskedQuestion, Form, Place
from vertex_model_inference.rows import MediaType

__all__ = ["schema_of"]

_UNIT = {"type": "NUMBER", "minimum": 0, "maximum": 1}
_STRING = {"type": "STRING"}
_THOUSANDTH = {"type": "INTEGER", "minimum": 0, "maximum": 1000}
_BOX = {"type": "ARRAY", "items": _THOUSANDTH, "minItems": 4, "maxItems": 4}
_POINT = {"type": "ARRAY", "items": _THOUSANDTH, "minItems": 2, "maxItems": 2}


def schema_of(asked: Asked, *, confidence: bool) -> dict[str, Any]:
    """The response schema, as JSON.

    Args:
        asked: What to ask; something.
        confidence: Ask for a confidence beside each answer.
    """
    properties: dict[str, Any] = {}
    for question in asked.questions:
        properties[question.key] = _question(question, confidence)
    for objects in asked.objects:
        item = _item(objects, asked, confidence)
        properties[objects.key] = {"type": "ARRAY", "items": item}
    if asked.relations:
        relation = {"label": _choice(asked.relations), "source": _STRING, "target": _STRING}
        if len(asked.relations) == 1:
            del relation["label"]
        properties["relations"] = {"type": "ARRAY", "items": _object(_scored(relation, confidence))}
    return _object(properties)


def _object(properties: Mapping[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """In the order of its properties: without ``propertyOrdering`` Gemini answers in that of the alphabet."""
    required = [name for name in properties if name not in optional]
    made = {"type": "OBJECT", "properties": dict(properties), "propertyOrdering": list(properties)}
    return {**made, "required": required} if required else made


def _scored(properties: dict[str, Any], confidence: bool) -> dict[str, Any]:
    return {**properties, "confidence": _UNIT} if confidence else properties


def _choice(values: Mapping[str, Any] | tuple[str, ...], *, listed: bool = True) -> dict[str, Any]:
    return {"type": "STRING", "enum": list(values)} if listed else _STRING


def _question(question: AskedQuestion, confidence: bool) -> dict[str, Any]:
    item = _answer(question, confidence)
    many = question.kind == "checklist" or question.place is not Place.WHOLE
    made = {"type": "ARRAY", "items": item} if many else item
    if not many and not question.required:
        made = {**made, "nullable": True}
    return made if question.key == question.title else {**made, "description": question.title}


def _answer(question: AskedQuestion, confidence: bool) -> dict[str, Any]:
    """One answer: a plain string where nothing is to be said beside it."""
    word = "text" if question.kind == "text" else "answer"
    value = _STRING
    if word == "answer":
        value = _choice(tuple(option.value for option in question.options), listed=question.listed)
    if not confidence and not question.deep and question.place is Place.WHOLE:
        return value
    place: dict[str, Any] = {}
    if question.place is Place.MESSAGE:
        place = {"message_id": _STRING}
    elif question.place is Place.FRAMES:
        place = {"start": _STRING, "end": _STRING}
    properties = _scored({**place, word: value}, confidence)
    if question.deep:
        inner = {
            option.key: {**_object({each.key: _question(each, confidence) for each in option.questions})}
            for option in question.options
            if option.questions
        }
        properties["then"] = {**_object(inner, optional=tuple(inner)), "nullable": True}
    return _object(properties, optional=("then",))


def _item(objects: AskedObjects, asked: Asked, confidence: bool) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    optional: tuple[str, ...] = ()
    if asked.relations:
        properties["id"] = _STRING
    if asked.media is MediaType.DOCUMENT:
        properties["page"] = {"type": "INTEGER", "minimum": 1}
    match objects.form:
        case Form.BOX:
            properties["box_2d"] = _BOX
        case Form.MASK:
            properties |= {"box_2d": _BOX, "mask": _STRING}
        case Form.POLYGON:
            properties["outline"] = {"type": "ARRAY", "items": _POINT, "minItems": 3}
        case Form.LINE:
            properties["points"] = {"type": "ARRAY", "items": _POINT, "minItems": 2}
        case Form.POINT:
            properties["point"] = _POINT
        case Form.QUOTE:
            if asked.media is MediaType.CONVERSATION:
                properties["message_id"] = _STRING
            properties |= {"text": _STRING, "occurrence": {"type": "INTEGER", "minimum": 1}}
        case Form.TRACK:
            sight = _object({"time": _STRING, "box_2d": _BOX})
            properties["track"] = {"type": "ARRAY", "items": sight, "minItems": 1}
    if objects.labelled:
        properties["label"] = _choice(objects.labels, listed=objects.listed)
    properties = _scored(properties, confidence)
    properties |= {question.key: _question(question, confidence) for question in objects.questions}
    return _object(properties, optional)
