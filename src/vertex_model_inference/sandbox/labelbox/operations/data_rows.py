"""Datasets and data rows."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

import orjson

from vertex_model_inference.sandbox.labelbox import wire
from vertex_model_inference.sandbox.labelbox.graphql import Call, Operations, conflict, invalid, not_found, page_of
from vertex_model_inference.sandbox.labelbox.row_specs import MAX_GLOBAL_KEY, columns_of

__all__ = ["operations"]

operations = Operations()
_INLINED_IDS = re.compile(r'"([0-9a-z]{25})"')


@operations("CreateDataset")
def _create_dataset(call: Call) -> dict[str, Any]:
    row = call.store.data_rows.create_dataset(call.text("name"), call.variables.get("description"))
    return {"createDataset": wire.dataset(row)}


@operations("GetDataset")
def _dataset(call: Call) -> dict[str, Any]:
    row = call.store.data_rows.dataset(call.param())
    if row is None:
        raise not_found("Dataset", call.param())
    return {"dataset": wire.dataset(row)}


@operations("GetDatasets")
def _datasets(call: Call) -> dict[str, Any]:
    skip, first = page_of(call.query)
    names = [value for value in call.variables.values() if isinstance(value, str)]
    rows = call.store.data_rows.datasets(skip, first, names[0] if names else None)
    return {"datasets": [wire.dataset(row) for row in rows]}


@operations("updateDataset")
def _update_dataset(call: Call) -> dict[str, Any]:
    dataset_id = call.text("DatasetId")
    call.store.data_rows.update_dataset(dataset_id, call.variables.get("name"), call.variables.get("description"))
    row = call.store.data_rows.dataset(dataset_id)
    if row is None:
        raise not_found("Dataset", dataset_id)
    return {"updateDataset": wire.dataset(row)}


@operations("deleteDataset")
def _delete_dataset(call: Call) -> dict[str, Any]:
    dataset_id = call.text("DatasetId")
    if call.store.data_rows.dataset(dataset_id) is None:
        raise not_found("Dataset", dataset_id)
    call.store.data_rows.delete_dataset(dataset_id)
    return {"updateDataset": {"id": dataset_id}}


@operations("UpsertDataRows")
def _upsert(call: Call) -> dict[str, Any]:
    manifest_uri = call.text("manifestUri")
    entry = call.store.files.from_url(manifest_uri)
    if entry is None:
        raise invalid(f"The manifest {manifest_uri} was not uploaded here.")
    task_id = call.store.tasks.create("adv-upsert-data-rows", "Upsert data rows", {"manifest": entry.id})
    call.jobs.start_task(task_id, wait_s=2.0)
    row = call.store.tasks.get(task_id)
    assert row is not None
    return {"upsertDataRows": wire.task(row)}


def _page_arguments(call: Call) -> tuple[str, int, int]:
    start, first = call.variables.get("from"), call.variables.get("first")
    return call.text("taskId"), (int(start) if start else 0), (first if isinstance(first, int) else 5000)


@operations("SuccessesfulDataRowImports")
def _taken(call: Call) -> dict[str, Any]:
    task_id, after, first = _page_arguments(call)
    rows = call.store.tasks.taken(task_id, after, first)
    nodes = [
        {
            "id": row["id"],
            "externalId": row["external_id"],
            "globalKey": row["global_key"],
            "rowData": row["row_data"],
        }
        for row in rows
    ]
    following = str(rows[-1]["n"]) if len(rows) == first else None
    return {
        "successesfulDataRowImports": {
            "nodes": nodes,
            "after": following,
            "total": call.store.tasks.row_counts(task_id)[0],
        }
    }


@operations("FailedDataRowImports")
def _refused(call: Call) -> dict[str, Any]:
    task_id, after, first = _page_arguments(call)
    rows = call.store.tasks.refused(task_id, after, first)
    results = []
    for row in rows:
        failure = orjson.loads(row["failure"])
        spec = failure["spec"]
        results.append(
            {
                "message": failure["message"],
                "spec": {
                    "externalId": spec.get("external_id"),
                    "globalKey": spec.get("global_key"),
                    "rowData": spec.get("row_data"),
                    "metadata": spec.get("metadata_fields") or [],
                    "attachments": spec.get("attachments") or [],
                },
            }
        )
    following = str(rows[-1]["n"]) if len(rows) == first else None
    return {
        "failedDataRowImports": {
            "results": results,
            "after": following,
            "total": call.store.tasks.row_counts(task_id)[1],
        }
    }


@operations("DatasetDataRows")
def _page(call: Call) -> dict[str, Any]:
    first = call.variables.get("first")
    size = first if isinstance(first, int) else 500
    where = call.variables.get("where") or {}
    rows = call.store.data_rows.page(
        call.text("id"), call.variables.get("from"), size, where.get("externalId"), where.get("globalKey")
    )
    more = len(rows) == size
    return {
        "datasetDataRows": {
            "nodes": [wire.data_row(row) for row in rows],
            "pageInfo": {"hasNextPage": more, "startCursor": rows[-1]["id"] if more else None},
        }
    }


@operations("GetDataRow")
def _data_row(call: Call) -> dict[str, Any]:
    row = call.store.data_rows.get(call.param())
    if row is None:
        raise not_found("Data row", call.param())
    return {"dataRow": wire.data_row(row)}


@operations("GetDataRowDataset")
def _dataset_of(call: Call) -> dict[str, Any]:
    row = call.store.data_rows.get(call.param())
    if row is None:
        raise not_found("Data row", call.param())
    dataset = call.store.data_rows.dataset(row["dataset_id"])
    return {"dataRow": {"dataset": None if dataset is None else wire.dataset(dataset)}}


@operations("updateDataRow")
def _update(call: Call) -> dict[str, Any]:
    row_id = call.text("DataRowId")
    given = {"externalId": "external_id", "globalKey": "global_key", "rowData": "row_data"}
    payload = {ours: call.variables[theirs] for theirs, ours in given.items() if call.variables.get(theirs)}
    values, failure = columns_of(payload)
    if failure:
        raise invalid(failure)
    try:
        call.store.data_rows.update(row_id, values)
    except sqlite3.IntegrityError:
        raise conflict(f"Global key {payload.get('global_key')!r} is used by another data row.") from None
    if "row_data" in values:
        call.jobs.look_at_assets()
    found = call.store.data_rows.get(row_id)
    if found is None:
        raise not_found("Data row", row_id)
    return {"updateDataRow": wire.data_row(found)}


@operations("deleteDataRows", "DeleteDataRows")
def _delete(call: Call) -> dict[str, Any]:
    ids = _INLINED_IDS.findall(call.query)
    call.store.data_rows.delete(ids)
    return {"deleteDataRows": [{"id": row_id} for row_id in ids]}


@operations("CheckAllDataRowsHaveBeenProcessed")
def _processed(call: Call) -> dict[str, Any]:
    ids, keys = call.texts("dataRowIds"), call.texts("globalKeys")
    # The SDK sleeps 30 s after a "no", so a "yes" that is close is worth waiting for.
    done = call.jobs.wait_for_assets(lambda: call.store.data_rows.all_processed(ids, keys), 10.0)
    return {"queryAllDataRowsHaveBeenProcessed": {"allDataRowsHaveBeenProcessed": done}}


@operations("externalIdsToDataRowIds")
def _external_ids(call: Call) -> dict[str, Any]:
    rows = call.store.data_rows.by_external_ids(call.texts("externalId_in"))
    return {"externalIdsToDataRowIds": [{"dataRowId": row["id"], "externalId": row["external_id"]} for row in rows]}


# -- jobs on global keys: done at once, the answer kept for the SDK's second call -----------------------------------
@operations("getDataRowsForGlobalKeys")
def _keys_to_rows(call: Call) -> dict[str, Any]:
    keys = call.texts("globalKeys")
    by_key = {row["global_key"]: row["id"] for row in call.store.data_rows.many((), keys)}
    data = {
        "fetchedDataRows": [{"id": by_key.get(key, "")} for key in keys],
        "notFoundGlobalKeys": [key for key in keys if key not in by_key],
        "accessDeniedGlobalKeys": [],
    }
    return {"dataRowsForGlobalKeys": {"jobId": _keep(call, data)}}


@operations("getDataRowsForGlobalKeysResult")
def _keys_to_rows_result(call: Call) -> dict[str, Any]:
    return {"dataRowsForGlobalKeysResult": {"jobStatus": "COMPLETE", "data": _kept(call)}}


@operations("clearGlobalKeys")
def _clear_keys(call: Call) -> dict[str, Any]:
    keys = call.texts("globalKeys")
    known = {row["global_key"] for row in call.store.data_rows.many((), keys)}
    call.store.data_rows.clear_global_keys(keys)
    data = {
        "clearedGlobalKeys": [key for key in keys if key in known],
        "failedToClearGlobalKeys": [],
        "notFoundGlobalKeys": [key for key in keys if key not in known],
        "accessDeniedGlobalKeys": [],
    }
    return {"clearGlobalKeys": {"jobId": _keep(call, data)}}


@operations("clearGlobalKeysResult")
def _clear_keys_result(call: Call) -> dict[str, Any]:
    return {"clearGlobalKeysResult": {"jobStatus": "COMPLETE", "data": _kept(call)}}


@operations("assignGlobalKeysToDataRows")
def _assign_keys(call: Call) -> dict[str, Any]:
    good: list[dict[str, str]] = []
    bad: list[dict[str, str]] = []
    for link in call.variables.get("globalKeyDataRowLinks") or []:
        key, row_id = str(link.get("globalKey")), str(link.get("dataRowId"))
        entry = {"dataRowId": row_id, "globalKey": key}
        try:
            fits = 0 < len(key) <= MAX_GLOBAL_KEY and call.store.data_rows.get(row_id) is not None
            if fits:
                call.store.data_rows.update(row_id, {"global_key": key})
        except sqlite3.IntegrityError:
            fits = False
        (good if fits else bad).append(entry)
    data = {
        "sanitizedAssignments": [],
        "unmodifiedAssignments": good,
        "invalidGlobalKeyAssignments": bad,
        "accessDeniedAssignments": [],
    }
    return {"assignGlobalKeysToDataRows": {"jobId": _keep(call, data)}}


@operations("assignGlobalKeysToDataRowsResult")
def _assign_keys_result(call: Call) -> dict[str, Any]:
    return {"assignGlobalKeysToDataRowsResult": {"jobStatus": "COMPLETE", "data": _kept(call)}}


def _keep(call: Call, data: dict[str, Any]) -> str:
    return call.store.tasks.create("global-keys", "Global keys", data, "COMPLETE")


def _kept(call: Call) -> Any:
    row = call.store.tasks.get(call.text("jobId"))
    if row is None:
        raise not_found("Job", call.text("jobId"))
    return orjson.loads(row["payload"])
