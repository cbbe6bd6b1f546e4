"""Imports of predictions, pre-labels and labels."""

from __future__ import annotations

from typing import Any

import orjson

from vertex_model_inference.sandbox.labelbox import wire
from vertex_model_inference.sandbox.labelbox.graphql import (
    Call,
    GraphqlError,
    Operations,
    conflict,
    invalid,
    not_found,
    page_of,
)
from vertex_model_inference.sandbox.labelbox.store import Row

__all__ = ["DEPRECATED", "operations"]

operations = Operations()
DEPRECATED = "9 FAILED_PRECONDITION: MEA prediction import has been deprecated"


def _create(call: Call, kind: str, parent_id: str, source: dict[str, Any] | None = None) -> Row:
    name = call.text("name")
    if call.upload is not None:
        url, file_id = call.store.files.url(call.upload), call.upload.id
    elif source is not None:
        url, file_id = f"sandbox:{kind}", None
    else:
        url, file_id = call.text("fileUrl"), None
        if not url.startswith(("http://", "https://", "gs://")):
            raise invalid(f"fileUrl {url!r} is not a URL.")
    text = None if source is None else orjson.dumps(source).decode()
    row = call.store.imports.create(kind, parent_id, name, url, file_id, text)
    if row is None:
        raise conflict(f"An import named {name!r} exists already; import names are unique, choose another.")
    call.jobs.start_import(row["id"])
    return row


def _project(call: Call) -> str:
    project_id = call.text("projectId")
    if call.store.projects.get(project_id) is None:
        raise not_found("Project", project_id)
    return project_id


def _of_project(call: Call, row: Row) -> dict[str, Any]:
    project = call.store.projects.get(row["parent_id"])
    found = wire.annotation_import(call.store, row)
    return {**found, "project": None if project is None else wire.project(project)}


@operations("createMEAPredictionImportByFile", "createMEAPredictionImportByUrl")
def _create_predictions(call: Call) -> dict[str, Any]:
    if call.prediction_imports == "deprecated":
        raise GraphqlError(DEPRECATED)
    run_id = call.text("modelRunId")
    if call.store.runs.get(run_id) is None:
        raise not_found("Model run", run_id)
    row = _create(call, "mea", run_id)
    return {"createModelErrorAnalysisPredictionImport": wire.annotation_import(call.store, row)}


@operations("getModelErrorAnalysisPredictionImport")
def _predictions(call: Call) -> dict[str, Any]:
    row = call.store.imports.named("mea", call.text("modelRunId"), call.text("name"))
    if row is None:
        raise not_found("Prediction import", call.variables["name"])
    return {"modelErrorAnalysisPredictionImport": wire.annotation_import(call.store, row)}


@operations("createMALPredictionImportByFile", "createMALPredictionImportByUrl")
def _create_pre_labels(call: Call) -> dict[str, Any]:
    row = _create(call, "mal", _project(call))
    return {"createModelAssistedLabelingPredictionImport": _of_project(call, row)}


@operations("createLabelImportByFile", "createLabelImportByUrl")
def _create_labels(call: Call) -> dict[str, Any]:
    return {"createLabelImport": _of_project(call, _create(call, "label", _project(call)))}


def _named(call: Call, kind: str) -> dict[str, Any]:
    row = call.store.imports.named(kind, _project(call), call.text("name"))
    if row is None:
        raise not_found("Import", call.variables["name"])
    return _of_project(call, row)


@operations("getModelAssistedLabelingPredictionImport")
def _pre_labels(call: Call) -> dict[str, Any]:
    return {"modelAssistedLabelingPredictionImport": _named(call, "mal")}


@operations("getLabelImport")
def _labels(call: Call) -> dict[str, Any]:
    return {"labelImport": _named(call, "label")}


@operations("getModelAssistedLabelingPredictionImports")
def _all_pre_labels(call: Call) -> dict[str, Any]:
    return {"modelAssistedLabelingPredictionImports": _page(call, "mal")}


@operations("getLabelImports")
def _all_labels(call: Call) -> dict[str, Any]:
    return {"labelImports": _page(call, "label")}


def _page(call: Call, kind: str) -> list[dict[str, Any]]:
    rows = call.store.imports.of(_project(call), [kind], *page_of(call.query))
    return [_of_project(call, row) for row in rows]


@operations("createMalPredictionImportForModelRunDataRows")
def _copy_predictions(call: Call) -> dict[str, Any]:
    run_id = call.text("modelRunId")
    if call.store.runs.get(run_id) is None:
        raise not_found("Model run", run_id)
    source = {"modelRunId": run_id, "dataRowIds": call.texts("dataRowIds")}
    row = _create(call, "mea-to-mal", _project(call), source)
    return {"createMalPredictionImportForModelRunDataRows": _of_project(call, row)}


@operations("getMEAToMALPredictionImport")
def _copied_predictions(call: Call) -> dict[str, Any]:
    return {"meaToMalPredictionImport": _named(call, "mea-to-mal")}


@operations("deleteModelAssistedLabelingPredictionImport")
def _delete_pre_labels(call: Call) -> dict[str, Any]:
    row = call.store.imports.get(call.text("id"))
    if row is None or row["kind"] != "mal":
        raise not_found("Import", call.variables["id"])
    call.store.imports.delete(row["id"])
    return {"deleteModelAssistedLabelingPredictionImport": {"id": row["id"]}}
