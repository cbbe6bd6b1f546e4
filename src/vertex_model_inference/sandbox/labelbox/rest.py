"""REST under ``/api/v1``: the few things that the SDK does not do by GraphQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from vertex_model_inference.sandbox.labelbox.normalized import OntologyFormError, complete_feature

if TYPE_CHECKING:
    from vertex_model_inference.sandbox.labelbox.store import Store

__all__ = ["answer"]

Answer = tuple[int, Any]


def _message(status: int, message: str) -> Answer:
    return status, {"message": message}


def answer(store: Store, method: str, parts: list[str], body: bytes) -> Answer:
    """Answer one request.

    Args:
        store: What the server keeps.
        method: HTTP method.
        parts: Of the path behind ``/api/v1/``.
        body: JSON, or empty.

    Returns:
        HTTP status, and JSON to answer (None: an empty body).
    """
    match method, parts:
        case "GET", ["ontologies", "unused"]:
            rows = store.projects.ontologies(None, 0, 1_000_000)
            return 200, [row["id"] for row in rows if not store.projects.ontology_in_use(row["id"])][:100]
        case "GET", ["feature-schemas", "unused"]:
            rows = store.projects.features(None, 0, 1_000_000)
            return 200, [row["id"] for row in rows if not store.projects.feature_in_use(row["id"])][:100]
        case "DELETE", ["ontologies", ontology_id]:
            return _delete_ontology(store, ontology_id)
        case "DELETE", ["feature-schemas", feature_id]:
            return _delete_feature(store, feature_id)
        case "PUT", ["feature-schemas", feature_id]:
            return _put_feature(store, feature_id, body)
    return _message(404, f"The sandbox does not know {method} /api/v1/{'/'.join(parts)}.")


def _delete_ontology(store: Store, ontology_id: str) -> Answer:
    if store.projects.ontology(ontology_id) is None:
        return _message(404, f"Ontology {ontology_id} not found.")
    if store.projects.ontology_in_use(ontology_id):
        return _message(400, f"Ontology {ontology_id} is used by a project or a model.")
    store.projects.delete_ontology(ontology_id)
    return 204, None


def _delete_feature(store: Store, feature_id: str) -> Answer:
    if store.projects.feature(feature_id) is None:
        return _message(404, f"Feature schema {feature_id} not found.")
    if store.projects.feature_in_use(feature_id):
        return _message(400, f"Feature schema {feature_id} is used by an ontology.")
    store.projects.delete_feature(feature_id)
    return 204, None


def _put_feature(store: Store, feature_id: str, body: bytes) -> Answer:
    try:
        form = orjson.loads(orjson.loads(body)["normalized"])
        if feature_id != "new_feature_schema_id":
            form["featureSchemaId"] = feature_id
        feature = complete_feature(form)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return _message(400, "The body must be an object with `normalized`, JSON in a string.")
    except OntologyFormError as error:
        return _message(422, str(error))
    store.projects.create_feature(feature)
    return 200, {"schemaId": feature["featureSchemaId"]}
