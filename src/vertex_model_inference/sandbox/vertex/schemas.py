"""What Vertex AI asks of a response schema beyond its types.

The rules are those of its error messages that users quote (googleapis/python-genai and google-gemini/cookbook issues);
the limits of size are the sandbox's own, since the service names none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vertex_model_inference.sandbox.vertex.wire import invalid

__all__ = ["check_schema"]

MOST_ENUM = 1000  # values of one enum
MOST_PROPERTIES = 2000  # of the whole schema
MOST_DEPTH = 60
_TYPES = {"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT"}


def check_schema(schema: Mapping[str, Any]) -> None:
    """Refuse what the service refuses.

    Raises:
        ApiError: The place and the rule.
    """
    if _count(schema, "response_schema", 0) > MOST_PROPERTIES:
        raise invalid(
            "The specified schema produces a constraint that has too many states for serving. Typical causes of this "
            "error are schemas with lots of text (for example, very long property or enum names), schemas with long "
            "array length limits (especially when nested), or schemas using complex value matchers."
        )


def _count(schema: Mapping[str, Any], where: str, depth: int) -> int:
    """The number of properties."""
    if depth > MOST_DEPTH:
        raise invalid(f"The specified schema is nested too deeply at {where}.")
    kind = schema.get("type", "")
    if kind not in _TYPES and not schema.get("anyOf"):
        raise invalid(f"Invalid value at '{where}.type': {kind or 'TYPE_UNSPECIFIED'}; expected {sorted(_TYPES)}.")
    if "enum" in schema:
        values = schema["enum"]
        if kind != "STRING":
            raise invalid(f"{where}.enum: only allowed for STRING type")
        if any(not value for value in values):
            raise invalid(f"{where}.enum[{values.index('')}]: cannot be empty")
        if len(set(values)) != len(values):
            raise invalid(f"{where}.enum: duplicate values are not allowed")
        if len(values) > MOST_ENUM:
            raise invalid(f"{where}.enum: too many values; the constraint has too many states for serving.")
    for field, only in (("items", "ARRAY"), ("properties", "OBJECT"), ("minItems", "ARRAY"), ("maxItems", "ARRAY")):
        if field in schema and kind != only:
            raise invalid(f"{where}.{field}: only allowed for {only} type")
    count = 0
    if kind == "ARRAY":
        if "items" not in schema:
            raise invalid(f"{where}.items: missing field.")
        count += _count(schema["items"], f"{where}.items", depth + 1)
    if kind == "OBJECT":
        properties = schema.get("properties", {})
        if not properties and "additionalProperties" not in schema:
            raise invalid(f"{where}.properties: should be non-empty for OBJECT type")
        for field in ("required", "propertyOrdering"):
            for name in schema.get(field, []):
                if name not in properties:
                    raise invalid(f"{where}.{field}[{schema[field].index(name)}]: property is not defined: {name}")
        for name, inner in properties.items():
            count += 1 + _count(inner, f"{where}.properties[{name}]", depth + 1)
    for number, inner in enumerate(schema.get("anyOf", [])):
        count += _count(inner, f"{where}.any_of[{number}]", depth + 1)
    return count
