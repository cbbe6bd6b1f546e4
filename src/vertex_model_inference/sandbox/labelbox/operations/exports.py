"""Exports of model runs and projects, as tasks whose files are read by offset."""

from __future__ import annotations

from typing import Any

from vertex_model_inference.sandbox.labelbox.graphql import Call, GraphqlError, Operations, invalid, not_found

__all__ = ["operations"]

operations = Operations()
_MOST_IDS = 2_000  # the SDK's SEARCH_LIMIT_PER_EXPORT_V2


@operations("exportDataRowsInModelRun")
def _export(call: Call) -> dict[str, Any]:
    given = call.variables.get("input")
    if not isinstance(given, dict):
        raise GraphqlError("Variable $input must be an object.", "GRAPHQL_VALIDATION_FAILED")
    run_id = call.text("input", "filters", "modelRunId")
    if call.store.runs.get(run_id) is None:
        raise not_found("Model run", run_id)
    return {"exportDataRowsInModelRun": _start(call, given, {"modelRunId": run_id}, "Export v2: model run")}


def _start(call: Call, given: dict[str, Any], of: dict[str, Any], usual_name: str) -> dict[str, Any]:
    payload = {**of, "params": given.get("params") or {}}
    task_id = call.store.tasks.create("export-data-rows", str(given.get("taskName") or usual_name), payload)
    call.jobs.start_task(task_id, wait_s=1.0)
    return {"taskId": task_id, "isStreamable": bool(given.get("isStreamableReady", True))}


@operations("exportDataRowsInProject")
def _export_project(call: Call) -> dict[str, Any]:
    given = call.variables.get("input")
    if not isinstance(given, dict):
        raise GraphqlError("Variable $input must be an object.", "GRAPHQL_VALIDATION_FAILED")
    project_id = call.text("input", "filters", "projectId")
    if call.store.projects.get(project_id) is None:
        raise not_found("Project", project_id)
    of = {"projectId": project_id, "dataRowIds": _ids(given["filters"], "a project whole or")}
    return {"exportDataRowsInProject": _start(call, given, of, "Export v2: project")}


@operations("exportDataRowsInCatalog")
def _export_catalog(call: Call) -> dict[str, Any]:
    given = call.variables.get("input")
    if not isinstance(given, dict) or not isinstance(given.get("filters"), dict):
        raise GraphqlError("Variable $input must be an object with filters.", "GRAPHQL_VALIDATION_FAILED")
    ids = _ids(given["filters"], "data rows of the catalog")
    if ids is None:
        raise invalid("The sandbox exports data rows of the catalog by a filter of data_row_id only.")
    return {"exportDataRowsInCatalog": _start(call, given, {"dataRowIds": ids}, f"Export v2: data rows {len(ids)}")}


def _ids(filters: dict[str, Any], what: str) -> list[str] | None:
    """The ids of the one filter that is understood; None: there is no filter."""
    search = (filters.get("searchQuery") or {}).get("query") or []
    ids: list[str] | None = None
    for part in search:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "data_row_id" or part.get("operator") != "is" or len(search) > 1:
            raise invalid(f"The sandbox exports {what} by one filter of data_row_id, not by {part!r:.80}.")
        ids = part.get("ids")
        if not isinstance(ids, list) or not ids or not all(isinstance(item, str) for item in ids):
            raise invalid("The filter of data_row_id needs a list of ids.")
        if len(ids) > _MOST_IDS:
            raise invalid(f"The filter of data_row_id takes at most {_MOST_IDS} ids, not {len(ids)}.")
    return ids


def _task(call: Call) -> str:
    task_id = call.text("where", "id")
    if call.store.tasks.get(task_id) is None:
        raise not_found("Task", task_id)
    return task_id


def _is_errors(call: Call) -> bool:
    kind = call.variables.get("streamType")
    if kind not in ("RESULT", "ERRORS"):
        raise GraphqlError(f"streamType must be RESULT or ERRORS, not {kind!r}.", "GRAPHQL_VALIDATION_FAILED")
    return bool(kind == "ERRORS")


@operations("GetExportMetadataHeader")
def _header(call: Call) -> dict[str, Any]:
    chunks = [] if _is_errors(call) else call.store.tasks.chunks(_task(call))
    header = {"totalSize": chunks[-1]["last_byte"] + 1, "totalLines": chunks[-1]["last_line"] + 1} if chunks else None
    return {"task": {"exportMetadataHeader": header}}


def _file(call: Call, row: Any) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        # 64-bit numbers travel as strings in GraphQL's JSON, here as there
        "offsets": {"start": str(row["first_byte"]), "end": str(row["last_byte"])},
        "lines": {"start": str(row["first_line"]), "end": str(row["last_line"])},
        "file": call.store.files.url_of(row["file_id"]),
    }


@operations("GetExportFileFromOffset")
def _from_offset(call: Call) -> dict[str, Any]:
    task_id = _task(call)
    given = call.variables.get("offset")
    if not str(given).isdigit():
        raise invalid(f"offset must be a whole number, not {given!r}.")
    row = None if _is_errors(call) else call.store.tasks.chunk_at(task_id, int(str(given)))
    return {"task": {"exportFileFromOffset": _file(call, row)}}


@operations("GetExportFileFromLine")
def _from_line(call: Call) -> dict[str, Any]:
    task_id = _task(call)
    given = call.variables.get("line")
    if not str(given).isdigit():
        raise invalid(f"line must be a whole number, not {given!r}.")
    chunks = [] if _is_errors(call) else call.store.tasks.chunks(task_id)
    line = int(str(given))
    row = next((chunk for chunk in chunks if chunk["first_line"] <= line <= chunk["last_line"]), None)
    return {"task": {"exportFileFromLine": _file(call, row)}}
