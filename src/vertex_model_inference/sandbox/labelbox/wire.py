"""Things of the store as GraphQL objects."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from vertex_model_inference.sandbox.labelbox.ids import wire_time

if TYPE_CHECKING:
    from vertex_model_inference.sandbox.labelbox.store import Row, Store

__all__ = [
    "annotation_import",
    "batch",
    "camel",
    "data_row",
    "dataset",
    "feature_schema",
    "frontend",
    "label",
    "model",
    "model_run",
    "ontology",
    "organization",
    "pipeline",
    "project",
    "task",
    "user",
]


def _json(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)


def camel(name: str) -> str:
    """``batch_size`` -> ``batchSize``."""
    return re.sub(r"_([a-z0-9])", lambda match: match.group(1).upper(), name)


def _times(row: Row) -> dict[str, Any]:
    return {"createdAt": wire_time(row["created_at"]), "updatedAt": wire_time(row["updated_at"])}


def organization(store: Store) -> dict[str, Any]:
    """The one organization."""
    who = store.identity()
    at = wire_time(who["created_at"])
    return {"id": who["organization"], "name": "Sandbox", "createdAt": at, "updatedAt": at}


def user(store: Store) -> dict[str, Any]:
    """The one user, whose key every request carries."""
    who = store.identity()
    at = wire_time(who["created_at"])
    return {
        "id": who["user"],
        "email": "sandbox@localhost",
        "name": "Sandbox User",
        "nickname": "sandbox",
        "picture": None,
        "isViewer": False,
        "isExternalUser": False,
        "lastLoginAt": at,
        "createdAt": at,
        "updatedAt": at,
    }


def frontend(store: Store) -> dict[str, Any]:
    """The one labeling editor."""
    return {
        "id": store.identity()["frontend"],
        "name": "Editor",
        "description": "The editor",
        "iframeUrlPath": "editor",
    }


def dataset(row: Row) -> dict[str, Any]:
    """A dataset."""
    return {
        "id": row["id"],
        "name": row["name"],
        "description": row["description"],
        "rowCount": row["row_count"],
        **_times(row),
    }


def data_row(row: Row) -> dict[str, Any]:
    """A data row."""
    attributes = _json(row["media_attributes"])
    return {
        "id": row["id"],
        "externalId": row["external_id"],
        "globalKey": row["global_key"],
        "rowData": row["row_data"],
        "mediaAttributes": None if attributes is None else {camel(k): v for k, v in attributes.items()},
        "customMetadata": [],
        "metadataFields": _json(row["metadata"]) or [],
        **_times(row),
    }


def ontology(row: Row) -> dict[str, Any]:
    """An ontology."""
    normalized = orjson.loads(row["normalized"])
    return {
        "id": row["id"],
        "name": row["name"],
        "description": None,
        "mediaType": row["media_type"],
        "normalized": normalized,
        "objectSchemaCount": len(normalized["tools"]),
        "classificationSchemaCount": len(normalized["classifications"]),
        **_times(row),
    }


def feature_schema(row: Row) -> dict[str, Any]:
    """A top-level feature schema."""
    normalized = orjson.loads(row["normalized"])
    return {"id": row["id"], "name": row["name"], "color": normalized.get("color"), "normalized": normalized}


def project(row: Row) -> dict[str, Any]:
    """A project."""
    fields = orjson.loads(row["fields"])
    return {
        "id": row["id"],
        "name": row["name"],
        "description": row["description"],
        "allowedMediaType": row["media_type"],
        "setupComplete": wire_time(row["created_at"]),
        "lastActivityTime": wire_time(row["updated_at"]),
        "autoAuditNumberOfLabels": None,
        "autoAuditPercentage": None,
        "editorTaskType": fields.get("editorTaskType"),
        "dataRowCount": row["row_count"],
        "modelSetupComplete": None,
        "uploadType": "MANUAL",
        "isBenchmarkEnabled": fields.get("isBenchmarkEnabled"),
        "isConsensusEnabled": fields.get("isConsensusEnabled"),
        **_times(row),
    }


def batch(row: Row) -> dict[str, Any]:
    """A batch."""
    return {
        "id": row["id"],
        "name": row["name"],
        "size": row["size"],
        "consensusSettingsJson": row["consensus"],
        **_times(row),
    }


def label(row: Row) -> dict[str, Any]:
    """A label."""
    at = wire_time(row["created_at"])
    return {
        "id": row["id"],
        "label": row["annotations"],
        "secondsToLabel": 0.0,
        "agreement": None,
        "benchmarkAgreement": None,
        "isBenchmarkReference": False,
        "createdAt": at,
        "updatedAt": at,
    }


def model(row: Row) -> dict[str, Any]:
    """A model."""
    return {"id": row["id"], "name": row["name"], "ontologyId": row["ontology_id"]}


def model_run(store: Store, row: Row) -> dict[str, Any]:
    """A model run."""
    return {
        "id": row["id"],
        "name": row["name"],
        "modelId": row["model_id"],
        "modelAppId": None,
        "createdBy": store.identity()["user"],
        "trainingMetadata": _json(row["config"]),
        **_times(row),
    }


def task(row: Row) -> dict[str, Any]:
    """A task."""
    done = row["status"] != "IN_PROGRESS"
    return {
        "id": row["id"],
        "name": row["name"],
        "type": row["type"],
        "status": row["status"],
        "completionPercentage": 100.0 if done else 0.0,
        "result": row["result"],
        "errors": row["error"],
        "metadata": None,
        **_times(row),
    }


def pipeline(row: Row) -> dict[str, Any]:
    """The pipeline status of a model run; all null before the first update."""
    return {"status": row["status"], "errorMessage": row["error_message"], "metadata": _json(row["metadata"])}


def annotation_import(store: Store, row: Row) -> dict[str, Any]:
    """An annotation import of any kind."""
    return {
        "id": row["id"],
        "name": row["name"],
        "state": row["state"],
        "progress": row["progress"],
        "inputFileUrl": row["input_url"],
        "statusFileUrl": store.files.url_of(row["status_file"]) if row["status_file"] else None,
        "errorFileUrl": store.files.url_of(row["error_file"]) if row["error_file"] else None,
        "modelRunId": row["parent_id"] if row["kind"] == "mea" else None,
    }
