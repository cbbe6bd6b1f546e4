"""Ontologies and feature schemas."""

from __future__ import annotations

from typing import Any

import orjson

from vertex_model_inference.sandbox.labelbox import wire
from vertex_model_inference.sandbox.labelbox.graphql import Call, GraphqlError, Operations, not_found
from vertex_model_inference.sandbox.labelbox.normalized import OntologyFormError, complete, complete_feature

__all__ = ["operations"]

operations = Operations()


def _form(call: Call) -> Any:
    text = call.text("data", "normalized")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise GraphqlError(f"normalized is not JSON: {error}", "INTERNAL_SERVER_ERROR", 422) from None


@operations("upsertRootSchemaNode")
def _upsert(call: Call) -> dict[str, Any]:
    # The SDK gives this one name to two mutations; the root field tells them apart.
    try:
        if "upsertOntology" in call.query:
            name = call.text("data", "name")
            normalized = complete(_form(call))
            row = call.store.projects.create_ontology(name, call.variables["data"].get("mediaType"), normalized)
            return {"upsertOntology": wire.ontology(row)}
        feature = complete_feature(_form(call))
    except OntologyFormError as error:
        raise GraphqlError(str(error), "INTERNAL_SERVER_ERROR", 422) from None
    call.store.projects.create_feature(feature)
    kept = call.store.projects.feature(feature["featureSchemaId"])
    assert kept is not None
    return {"upsertRootSchemaNode": wire.feature_schema(kept)}


@operations("GetOntology")
def _ontology(call: Call) -> dict[str, Any]:
    row = call.store.projects.ontology(call.param())
    if row is None:
        raise not_found("Ontology", call.param())
    return {"ontology": wire.ontology(row)}


def _cursor(call: Call) -> tuple[int, int]:
    start = call.variables.get("from")
    first = call.variables.get("first")
    return (int(start) if start else 0), (first if isinstance(first, int) else 100)


@operations("getOntologies")
def _ontologies(call: Call) -> dict[str, Any]:
    after, first = _cursor(call)
    rows = call.store.projects.ontologies(call.variables.get("search"), after, first)
    following = str(after + first) if len(rows) == first else None
    return {"ontologies": {"nodes": [wire.ontology(row) for row in rows], "nextCursor": following}}


@operations("rootSchemaNode")
def _feature(call: Call) -> dict[str, Any]:
    feature_id = call.text("rootSchemaNodeWhere", "featureSchemaId")
    row = call.store.projects.feature(feature_id)
    if row is None:
        raise not_found("Feature schema", feature_id)
    return {"rootSchemaNode": wire.feature_schema(row)}


@operations("rootSchemaNodes")
def _features(call: Call) -> dict[str, Any]:
    after, first = _cursor(call)
    rows = call.store.projects.features(call.variables.get("search"), after, first)
    following = str(after + first) if len(rows) == first else None
    return {"rootSchemaNodes": {"nodes": [wire.feature_schema(row) for row in rows], "nextCursor": following}}
