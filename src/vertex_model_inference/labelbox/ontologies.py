"""Labelbox's ``normalized`` ontology JSON -> our ``Ontology``.

Format: ``{"tools": [...], "classifications": [...]}`` of the GraphQL field ``ontology.normalized`` (labelbox 7.17.0,
``schema/ontology.py``); options nest classifications under ``options``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from vertex_model_inference.errors import LabelboxError
from vertex_model_inference.ontology import Classification, Ontology, Option, Tool

__all__ = ["parse_ontology"]


class _Option(msgspec.Struct):
    label: str = ""
    value: str | None = None
    featureSchemaId: str = ""  # noqa: N815 - Labelbox's name
    options: list[_Classification] | None = None


class _Classification(msgspec.Struct):
    type: str = ""
    name: str = ""
    instructions: str = ""
    required: bool | None = False
    scope: str | None = None
    featureSchemaId: str = ""  # noqa: N815
    options: list[_Option] | None = None


class _Tool(msgspec.Struct):
    tool: str
    name: str
    required: bool | None = False
    featureSchemaId: str = ""  # noqa: N815
    classifications: list[_Classification] | None = None


class _Normalized(msgspec.Struct):
    tools: list[_Tool] | None = None
    classifications: list[_Classification] | None = None


_NORMALIZED = msgspec.json.Decoder(_Normalized)


def parse_ontology(answer: dict[str, Any]) -> Ontology:
    """The ``ontology`` object of a GraphQL answer -> ``Ontology``.

    Raises:
        LabelboxError: ``ontology_form``, the JSON is not of the form that the SDK knows.
    """
    raw = answer.get("normalized")
    try:
        normalized = _NORMALIZED.decode(raw) if isinstance(raw, str) else msgspec.convert(raw, _Normalized)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise LabelboxError(
            f"The ontology {answer.get('id')} is not of the form expected: {error}.",
            code="ontology_form",
            hint="Open it in Labelbox and save it again.",
            ontology_id=answer.get("id"),
        ) from None
    return Ontology(
        id=answer["id"],
        name=answer.get("name") or "",
        media_type=answer.get("mediaType"),
        tools=tuple(
            Tool(
                kind=tool.tool,
                name=tool.name,
                feature_schema_id=tool.featureSchemaId,
                required=bool(tool.required),
                classifications=tuple(map(_classification, tool.classifications or ())),
            )
            for tool in normalized.tools or ()
        ),
        classifications=tuple(map(_classification, normalized.classifications or ())),
    )


def _classification(raw: _Classification) -> Classification:
    return Classification(
        kind=raw.type,
        name=raw.instructions or raw.name,
        feature_schema_id=raw.featureSchemaId,
        required=bool(raw.required),
        scope=raw.scope or "global",
        options=tuple(
            Option(
                name=option.value or option.label,
                label=option.label,
                feature_schema_id=option.featureSchemaId,
                classifications=tuple(map(_classification, option.options or ())),
            )
            for option in raw.options or ()
        ),
    )
