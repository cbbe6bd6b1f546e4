"""Predictions of a model run, copied into a project as pre-labels (``upsert_predictions_and_send_to_project``)."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import orjson

from vertex_model_inference.sandbox.labelbox.ids import new_id
from vertex_model_inference.sandbox.labelbox.store import Row, Store
from vertex_model_inference.sandbox.labelbox.store.annotations import Annotation
from vertex_model_inference.sandbox.labelbox.validation import FeatureIndex

__all__ = ["run"]

_PIECE = 500  # data rows a transaction


def run(store: Store, row: Row, stopping: threading.Event) -> None:
    """Process one copy; a prediction whose feature the project's ontology lacks is refused.

    Raises:
        InterruptedError: The server is stopping.
    """
    import_id: str = row["id"]
    project_id: str = row["parent_id"]
    source = orjson.loads(row["source"])
    store.imports.begin(import_id)
    project = store.projects.get(project_id)
    ontology = store.projects.ontology(project["ontology_id"]) if project is not None else None
    if ontology is None:
        store.imports.fail(import_id, "The project has no ontology.")
        return
    index = FeatureIndex.of(orjson.loads(ontology["normalized"]))
    ids: list[str] = source["dataRowIds"]
    statuses: list[dict[str, Any]] = []
    for start in range(0, len(ids), _PIECE):
        if stopping.is_set():
            raise InterruptedError
        copies: list[Annotation] = []
        for found in store.runs.predictions_of(source["modelRunId"], ids[start : start + _PIECE]):
            form = orjson.loads(found["annotation"])
            schema_id = form.get("feature_schema_id")
            status: dict[str, Any] = {
                "uuid": found["uuid"],
                "dataRow": {"id": found["data_row_id"]},
                "status": "SUCCESS",
                "errors": [],
            }
            if schema_id not in index.by_id:
                message = f"The project's ontology has no feature {form.get('name')!r} ({schema_id})."
                status.update(status="FAILURE", errors=[{"name": "FeatureNotFound", "message": message}])
            else:
                form["feature_id"] = new_id()
                text = orjson.dumps(_unscored(form)).decode()
                place, feature_id = found["place"], form["feature_id"]
                mark = str(uuid.uuid4())
                copies.append(Annotation(project_id, found["data_row_id"], mark, import_id, place, feature_id, text))
            statuses.append(status)
        store.annotations.add(copies, [])
    reports = [statuses, [status for status in statuses if status["errors"]]]
    files = [
        store.files.add(f"{import_id}-{name}.ndjson", b"".join(orjson.dumps(s) + b"\n" for s in report), _NDJSON)
        for name, report in zip(("statuses", "errors"), reports, strict=True)
    ]
    failed = len(reports[1])
    store.imports.finish(import_id, len(statuses) - failed, failed, files[0].id, files[1].id)


_NDJSON = "application/x-ndjson; charset=utf-8"


def _unscored(value: Any) -> Any:
    """Without confidences and custom metrics, which pre-labels do not have."""
    if isinstance(value, dict):
        return {k: _unscored(v) for k, v in value.items() if k not in ("confidence", "custom_metrics")}
    return [_unscored(item) for item in value] if isinstance(value, list) else value
