"""Projects, batches and labels."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from vertex_model_inference.sandbox.labelbox import wire
from vertex_model_inference.sandbox.labelbox.graphql import Call, Operations, conflict, invalid, not_found, page_of
from vertex_model_inference.sandbox.labelbox.store import Row

__all__ = ["operations"]

operations = Operations()
_MOST_ROWS = 100_000
_INLINED_IDS = re.compile(r'"([0-9a-z]{25})"')


def _project(call: Call, project_id: str) -> Row:
    row = call.store.projects.get(project_id)
    if row is None:
        raise not_found("Project", project_id)
    return row


@operations("CreateProject")
def _create(call: Call) -> dict[str, Any]:
    v = call.variables
    fields: dict[str, Any] = {
        name: v[name] for name in ("editorTaskType", "isBenchmarkEnabled", "isConsensusEnabled") if name in v
    }
    media_type = v.get("allowedMediaType") or v.get("mediaType")
    row = call.store.projects.create(call.text("name"), v.get("description"), media_type, fields)
    return {"createProject": wire.project(row)}


@operations("GetProject")
def _get(call: Call) -> dict[str, Any]:
    return {"project": wire.project(_project(call, call.param()))}


@operations("getProject")
def _get_of_batch(call: Call) -> dict[str, Any]:
    return {"project": wire.project(_project(call, call.text("projectId")))}


@operations("GetProjects", "GetOrganizationProjects")
def _page(call: Call) -> dict[str, Any]:
    names = [value for value in call.variables.values() if isinstance(value, str)]
    projects = [
        wire.project(row) for row in call.store.projects.page(*page_of(call.query), names[0] if names else None)
    ]
    return {"projects": projects, "organization": {"projects": projects}}


@operations("updateProject")
def _update(call: Call) -> dict[str, Any]:
    project_id = call.text("ProjectId")
    names = {"name": "name", "description": "description", "allowedMediaType": "media_type"}
    values = {ours: call.variables[theirs] for theirs, ours in names.items() if theirs in call.variables}
    call.store.projects.update(project_id, values)
    return {"updateProject": wire.project(_project(call, project_id))}


@operations("deleteProject")
def _delete(call: Call) -> dict[str, Any]:
    project_id = call.text("ProjectId")
    _project(call, project_id)
    call.store.projects.delete(project_id)
    return {"updateProject": {"id": project_id}}


@operations("GetProjectLabelingFrontend")
def _frontend(call: Call) -> dict[str, Any]:
    _project(call, call.param())
    return {"project": {"labelingFrontend": wire.frontend(call.store)}}


@operations("GetLabelingFrontends")
def _frontends(call: Call) -> dict[str, Any]:
    skip, _ = page_of(call.query)
    return {"labelingFrontends": [wire.frontend(call.store)] if skip == 0 else []}


@operations("ConnectOntology")
def _connect(call: Call) -> dict[str, Any]:
    project_id, ontology_id = call.text("projectId"), call.text("ontologyId")
    _project(call, project_id)
    if call.store.projects.ontology(ontology_id) is None:
        raise not_found("Ontology", ontology_id)
    call.store.projects.update(project_id, {"ontology_id": ontology_id})
    return {"project": {"connectOntology": {"id": project_id}}}


@operations("GetProjectOntology")
def _ontology(call: Call) -> dict[str, Any]:
    ontology_id = _project(call, call.param())["ontology_id"]
    row = call.store.projects.ontology(ontology_id) if ontology_id else None
    return {"project": {"ontology": None if row is None else wire.ontology(row)}}


@operations("toggle_model_assisted_labeling")
def _toggle(call: Call) -> dict[str, Any]:
    project_id = call.text("project_id")
    _project(call, project_id)
    shown = bool(call.variables.get("show"))
    call.store.projects.set_showing(project_id, shown=shown)
    return {"project": {"showPredictionsToLabelers": {"id": project_id, "showingPredictionsToLabelers": shown}}}


# -- batches --------------------------------------------------------------------------------------------------------
def _new_batch(call: Call, project_id: str, given: dict[str, Any]) -> str:
    _project(call, project_id)
    name = str(given.get("name") or "")
    try:
        return call.store.projects.create_batch(project_id, name, given.get("consensusSettings"))
    except sqlite3.IntegrityError:
        raise conflict(f"The project has a batch named {name!r} already.") from None


def _fill(call: Call, project_id: str, batch_id: str, *path: str) -> list[str]:
    found, missing = call.store.data_rows.ids_of(call.texts(*path, "dataRowIds"), call.texts(*path, "globalKeys"))
    priority = call.variables[path[0]].get("priority")
    call.store.projects.fill_batch(project_id, batch_id, found, priority if isinstance(priority, int) else 5)
    return missing


@operations("createBatchV2")
def _create_batch(call: Call) -> dict[str, Any]:
    project_id = call.text("projectId")
    batch_id = _new_batch(call, project_id, call.variables["batchInput"])
    missing = _fill(call, project_id, batch_id, "batchInput")
    row = call.store.projects.batches(project_id, batch_id, 0, 1)[0]
    return {"project": {"createBatchV2": {"batch": wire.batch(row), "failedDataRowIds": missing}}}


@operations("createEmptyBatch")
def _create_empty_batch(call: Call) -> dict[str, Any]:
    batch_id = _new_batch(call, call.text("projectId"), call.variables["input"])
    return {"project": {"createEmptyBatch": {"id": batch_id}}}


@operations("addDataRowsToBatchAsync")
def _add_to_batch(call: Call) -> dict[str, Any]:
    project_id, batch_id = call.text("projectId"), call.text("input", "batchId")
    if not call.store.projects.batches(project_id, batch_id, 0, 1):
        raise not_found("Batch", batch_id)
    ids, _ = call.store.data_rows.ids_of(call.texts("input", "dataRowIds"), call.texts("input", "globalKeys"))
    if len(ids) > _MOST_ROWS:
        raise invalid(f"A batch takes at most {_MOST_ROWS:,} data rows, not {len(ids):,}.")
    # "A data row cannot be part of more than one batch in a given project" (the SDK's notebook on batches).
    if taken := call.store.projects.elsewhere(project_id, batch_id, ids):
        task_id = call.store.tasks.create("add-data-rows-to-batch", "Add data rows to batch", {})
        call.store.tasks.fail(task_id, f"{taken} of {len(ids)} data rows are in another batch of the project.")
        return {"project": {"addDataRowsToBatchAsync": {"taskId": task_id}}}
    missing = _fill(call, project_id, batch_id, "input")
    task_id = call.store.tasks.create("add-data-rows-to-batch", "Add data rows to batch", {"missing": missing})
    call.store.tasks.finish(task_id)
    return {"project": {"addDataRowsToBatchAsync": {"taskId": task_id}}}


@operations("GetProjectBatches", "getProjectBatch")
def _batches(call: Call) -> dict[str, Any]:
    project_id = call.text("projectId")
    start, first = call.variables.get("from"), call.variables.get("first")
    after, size = (int(start) if start else 0), (first if isinstance(first, int) else 100)
    rows = call.store.projects.batches(project_id, call.variables.get("batchId"), after, size)
    following = str(after + size) if len(rows) == size else None
    return {
        "project": {
            "id": project_id,
            "batches": {"nodes": [wire.batch(row) for row in rows], "pageInfo": {"endCursor": following}},
        }
    }


@operations("RemoveQueuedDataRowsFromBatch")
def _clear_batch(call: Call) -> dict[str, Any]:
    batch_id = call.text("batchId")
    call.store.projects.empty_batch(batch_id, forget=False)
    return {"project": {"removeQueuedDataRowsFromBatch": {"id": batch_id}}}


@operations("DeleteBatch")
def _delete_batch(call: Call) -> dict[str, Any]:
    batch_id = call.text("batchId")
    call.store.projects.empty_batch(batch_id, forget=True)
    return {"project": {"deleteBatch": {"deletedBatchId": batch_id}}}


# -- labels ---------------------------------------------------------------------------------------------------------
@operations("GetProjectLabels")
def _labels(call: Call) -> dict[str, Any]:
    rows = call.store.projects.labels(call.text("projectId"), *page_of(call.query))
    return {"project": {"labels": [wire.label(row) for row in rows]}}


@operations("LabelCount")
def _label_count(call: Call) -> dict[str, Any]:
    return {"project": {"labelCount": call.store.projects.label_count(call.text("projectId"))}}


@operations("deleteLabels", "DeleteLabels")
def _delete_labels(call: Call) -> dict[str, Any]:
    ids = _INLINED_IDS.findall(call.query)
    call.store.projects.delete_labels(ids)
    return {"deleteLabels": [{"id": label_id} for label_id in ids]}


@operations("deleteLabel")
def _delete_label(call: Call) -> dict[str, Any]:
    label_id = call.text("LabelId")
    call.store.projects.delete_labels([label_id])
    return {"updateLabel": {"id": label_id}}


@operations("GetLabelDataRow", "GetLabelProject")
def _label_of(call: Call) -> dict[str, Any]:
    row = call.store.projects.label(call.param())
    if row is None:
        raise not_found("Label", call.param())
    data_row = call.store.data_rows.get(row["data_row_id"])
    return {
        "label": {
            "dataRow": None if data_row is None else wire.data_row(data_row),
            "project": wire.project(_project(call, row["project_id"])),
        }
    }
