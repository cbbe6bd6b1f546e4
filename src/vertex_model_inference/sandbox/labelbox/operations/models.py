"""Models, model runs and what is in them."""

from __future__ import annotations

from typing import Any

from vertex_model_inference.sandbox.labelbox import wire
from vertex_model_inference.sandbox.labelbox.graphql import Call, GraphqlError, Operations, invalid, not_found, page_of
from vertex_model_inference.sandbox.labelbox.store import Row

__all__ = ["SPLITS", "STATUSES", "operations"]

operations = Operations()
STATUSES = ("EXPORTING_DATA", "PREPARING_DATA", "TRAINING_MODEL", "COMPLETE", "FAILED")
SPLITS = ("TRAINING", "VALIDATION", "TEST", "UNASSIGNED")


def _run(call: Call, run_id: str) -> Row:
    row = call.store.runs.get(run_id)
    if row is None:
        raise not_found("Model run", run_id)
    return row


@operations("createModel")
def _create_model(call: Call) -> dict[str, Any]:
    ontology_id = call.text("ontologyId")
    if call.store.projects.ontology(ontology_id) is None:
        raise not_found("Ontology", ontology_id)
    return {"createModel": wire.model(call.store.runs.create_model(call.text("name"), ontology_id))}


@operations("GetModel")
def _model(call: Call) -> dict[str, Any]:
    row = call.store.runs.model(call.param())
    if row is None:
        raise not_found("Model", call.param())
    return {"model": wire.model(row)}


@operations("GetModels")
def _models(call: Call) -> dict[str, Any]:
    names = [value for value in call.variables.values() if isinstance(value, str)]
    rows = call.store.runs.models(*page_of(call.query), names[0] if names else None)
    return {"models": [wire.model(row) for row in rows]}


@operations("DeleteModel")
def _delete_model(call: Call) -> dict[str, Any]:
    model_id = call.text("ids")
    if call.store.runs.model(model_id) is None:
        raise not_found("Model", model_id)
    call.store.runs.delete_models([model_id])
    return {"deleteModels": [model_id]}


@operations("GetModelModelRuns")
def _model_runs(call: Call) -> dict[str, Any]:
    rows = call.store.runs.of_model(call.param(), *page_of(call.query))
    return {"model": {"modelRuns": [wire.model_run(call.store, row) for row in rows]}}


@operations("CreateModelRun")
def _create_run(call: Call) -> dict[str, Any]:
    model_id = call.text("modelId")
    if call.store.runs.model(model_id) is None:
        raise not_found("Model", model_id)
    config = call.variables.get("config")
    if isinstance(config, dict):
        # The real service camel-cases the keys here and only here: its own test asserts `batchSize`.
        config = {wire.camel(name): value for name, value in config.items()}
    return {"createModelRun": wire.model_run(call.store, call.store.runs.create(model_id, call.text("name"), config))}


@operations("GetModelRun")
def _get_run(call: Call) -> dict[str, Any]:
    return {"modelRun": wire.model_run(call.store, _run(call, call.param()))}


@operations("ModelRun")
def _get_config(call: Call) -> dict[str, Any]:
    return {"modelRun": wire.model_run(call.store, _run(call, call.text("modelRunId")))}


@operations("updateModelRunConfig")
def _update_config(call: Call) -> dict[str, Any]:
    run_id = call.text("modelRunId")
    _run(call, run_id)
    config = (call.variables.get("data") or {}).get("config")
    if not isinstance(config, dict):
        raise invalid(f"The config of a model run must be an object, not {config!r:.60}.")
    call.store.runs.set_config(run_id, config)
    return {"updateModelRunConfig": {"trainingMetadata": config}}


@operations("resetModelRunConfig")
def _reset_config(call: Call) -> dict[str, Any]:
    run_id = call.text("modelRunId")
    _run(call, run_id)
    call.store.runs.set_config(run_id, None)
    return {"resetModelRunConfig": {"trainingMetadata": None}}


@operations("setPipelineStatus")
def _set_status(call: Call) -> dict[str, Any]:
    run_id = call.text("modelRunId")
    _run(call, run_id)
    data = call.variables.get("data") or {}
    status, error, metadata = data.get("status"), data.get("errorMessage"), data.get("metadata")
    if status not in STATUSES:
        raise GraphqlError(f"status must be one of {', '.join(STATUSES)}, not {status!r}.", "GRAPHQL_VALIDATION_FAILED")
    if metadata is not None and not isinstance(metadata, dict):
        raise invalid("metadata must be an object.")
    if error is not None and not isinstance(error, str):
        raise invalid("errorMessage must be a string.")
    call.store.runs.set_status(run_id, status, error, metadata)
    return {"updateTrainingPipeline": {"status": status}}


@operations("trainingPipeline")
def _get_status(call: Call) -> dict[str, Any]:
    row = _run(call, call.text("modelRunId"))
    return {"trainingPipeline": wire.pipeline(row)}


@operations("DeleteModelRun")
def _delete_run(call: Call) -> dict[str, Any]:
    run_id = call.text("ids")
    _run(call, run_id)
    call.store.runs.delete_runs([run_id])
    return {"deleteModelRuns": [run_id]}


@operations("DeleteModelRunDataRows")
def _delete_rows(call: Call) -> dict[str, Any]:
    run_id = call.text("modelRunId")
    _run(call, run_id)
    call.store.runs.remove_rows(run_id, call.texts("dataRowIds"))
    return {"deleteModelRunDataRows": True}


@operations("modelRun")
def _rows(call: Call) -> dict[str, Any]:
    run_id = call.text("modelRunId")
    _run(call, run_id)
    start, first = call.variables.get("from"), call.variables.get("first")
    size = first if isinstance(first, int) else 100
    rows = call.store.runs.rows(run_id, int(start) if start else 0, size)
    nodes = [
        {
            "id": row["run_row_id"],
            "labelId": row["label_id"],
            "modelRunId": run_id,
            "dataSplit": row["split"],
            "dataRow": wire.data_row(row),
        }
        for row in rows
    ]
    following = str(rows[-1]["run_seq"]) if len(rows) == size else None
    return {"annotationGroups": {"nodes": nodes, "pageInfo": {"endCursor": following}}}


@operations("GetModelRunCostInfo")
def _cost(call: Call) -> dict[str, Any]:
    run_id = call.text("modelRunId")
    _run(call, run_id)
    return {
        "modelFoundryModelRunInfo": {
            "cost": None,
            "status": None,
            "totalDataRows": call.store.runs.counts(run_id)["data_rows"],
        }
    }


# -- registrations: tasks to the SDK, done by the time it asks --------------------------------------------------------
def _register(call: Call, name: str, missing: list[str], what: str) -> str:
    task_id = call.store.tasks.create(name, name, {})
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        call.store.tasks.fail(task_id, f"{what} not found: {shown}")
    else:
        call.store.tasks.finish(task_id)
    return task_id


@operations("createMEAModelRunDataRowRegistrationTask")
def _add_rows(call: Call) -> dict[str, Any]:
    run_id = call.text("modelRunId")
    _run(call, run_id)
    found, missing = call.store.data_rows.ids_of(call.texts("dataRowIds"), call.texts("globalKeys"))
    if not missing:
        call.store.runs.add_rows(run_id, found)
    return {"createMEAModelRunDataRowRegistrationTask": _register(call, "mea-data-rows", missing, "Data rows")}


@operations("createMEAModelRunLabelRegistrationTask")
def _add_labels(call: Call) -> dict[str, Any]:
    run_id = call.text("modelRunId")
    _run(call, run_id)
    missing = call.store.runs.add_labels(run_id, call.texts("labelIds"))
    return {"createMEAModelRunLabelRegistrationTask": _register(call, "mea-labels", missing, "Labels")}


@operations("createMEAModelRunProjectLabelRegistrationTask")
def _add_project_labels(call: Call) -> dict[str, Any]:
    run_id, project_id = call.text("modelRunId"), call.text("projectId")
    _run(call, run_id)
    known = call.store.projects.get(project_id) is not None
    if known:
        call.store.runs.add_project_labels(run_id, project_id)
    task_id = _register(call, "mea-labels", [] if known else [project_id], "Project")
    return {"createMEAModelRunProjectLabelRegistrationTask": task_id}


@operations("createAssignDataRowsToDataSplitTask", "assignDataSplit")
def _assign(call: Call) -> dict[str, Any]:
    run_id = call.text("modelRunId")
    _run(call, run_id)
    all_missing: list[str] = []
    for assignment in (call.variables.get("data") or {}).get("assignments") or []:
        split = assignment.get("split")
        if split not in SPLITS:
            raise GraphqlError(f"split must be one of {', '.join(SPLITS)}, not {split!r}.", "GRAPHQL_VALIDATION_FAILED")
        found, missing = call.store.data_rows.ids_of(
            assignment.get("dataRowIds") or [], assignment.get("globalKeys") or []
        )
        all_missing += missing
        if call.store.runs.assign(run_id, found, split) < len(found):
            all_missing.append("some of the data rows, in this model run")
    task_id = _register(call, "data-split", all_missing, "Data rows")
    return {"createAssignDataRowsToDataSplitTask": task_id}


def _registration(call: Call, task_id: str) -> dict[str, Any]:
    row = call.store.tasks.get(task_id)
    if row is None:
        raise not_found("Task", task_id)
    return {"status": row["status"], "errorMessage": row["error"]}


@operations("MEADataRowRegistrationTaskStatus")
def _rows_status(call: Call) -> dict[str, Any]:
    return {"MEADataRowRegistrationTaskStatus": _registration(call, call.text("where", "id"))}


@operations("MEALabelRegistrationTaskStatus")
def _labels_status(call: Call) -> dict[str, Any]:
    return {"MEALabelRegistrationTaskStatus": _registration(call, call.text("where", "id"))}


@operations("assignDataRowsToDataSplitTaskStatus")
def _split_status(call: Call) -> dict[str, Any]:
    return {"assignDataRowsToDataSplitTaskStatus": _registration(call, call.text("id"))}
