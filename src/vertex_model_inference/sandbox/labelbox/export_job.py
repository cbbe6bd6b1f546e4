"""Exports: rows streamed from SQLite in pages into line-aligned files, each written once."""

from __future__ import annotations

import secrets
import threading
import time
from typing import Any

import orjson

from vertex_model_inference.sandbox.labelbox import label_form
from vertex_model_inference.sandbox.labelbox.ids import export_time
from vertex_model_inference.sandbox.labelbox.store import Row, Store

__all__ = ["run"]

_PAGE = 500  # data rows read at a time
_LINES = 1_000  # lines a file ...
_BYTES = 4 * 1024 * 1024  # ... or bytes, whichever comes first
_NDJSON = "application/x-ndjson; charset=utf-8"


class _Files:
    """The files of one export."""

    def __init__(self, store: Store, task_id: str, most_lines: int) -> None:
        self._store = store
        self._task_id = task_id
        self._most = most_lines
        self._lines: list[bytes] = []
        self._size = 0
        self._bytes_before = 0
        self._lines_before = 0
        self._number = 0

    def add(self, line: bytes) -> None:
        """One row, without its newline."""
        self._lines.append(line)
        self._size += len(line) + 1
        if len(self._lines) >= self._most or self._size >= _BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what has gathered as a file."""
        if not self._lines:
            return
        self._number += 1
        file_id, path = self._store.files.new_path()
        path.write_bytes(b"\n".join(self._lines) + b"\n")
        self._store.files.adopt(file_id, f"export-{self._number:05}.ndjson", _NDJSON)
        self._store.tasks.add_chunk(
            self._task_id, self._bytes_before, self._size, self._lines_before, len(self._lines), file_id
        )
        self._bytes_before += self._size
        self._lines_before += len(self._lines)
        self._lines, self._size = [], 0


def run(store: Store, task_id: str, payload: dict[str, Any], stopping: threading.Event) -> None:
    """Write the export of a model run or project and finish the task.

    Args:
        store: What the server keeps.
        task_id: The task.
        payload: ``modelRunId``, or ``projectId`` and ``dataRowIds`` (None: all), or ``dataRowIds`` alone; and
            ``params`` as the SDK sent them.
        stopping: Set when the server ends.

    Raises:
        InterruptedError: The server is stopping.
    """
    store.tasks.clear_chunks(task_id)
    if "projectId" in payload:
        _project(store, task_id, payload, stopping)
        return
    if "modelRunId" not in payload:
        _catalog(store, task_id, payload)
        return
    run_id: str = payload["modelRunId"]
    run_row = store.runs.get(run_id)
    model = None if run_row is None else store.runs.model(run_row["model_id"])
    if run_row is None or model is None:
        store.tasks.fail(task_id, f"Model run {run_id} does not exist any more.")
        return
    params: dict[str, Any] = payload.get("params") or {}
    datasets: dict[str, str] = {}
    settings = store.setting("settings", {})
    files = _Files(store, task_id, settings.get("export_lines_per_file") or _LINES)
    for page in store.runs.iterate(run_id, _PAGE, backwards=bool(settings.get("export_backwards"))):
        if stopping.is_set():
            raise InterruptedError
        ids = [row["id"] for row in page]
        labels: dict[str, list[Any]] = {}
        for label in store.runs.labels_of(run_id, ids):
            labels.setdefault(label["data_row_id"], []).append(_label(label["id"], label["kind"], label["annotations"]))
        predictions: dict[str, list[tuple[str, str]]] = {}
        if params.get("includePredictions"):
            for found in store.runs.predictions_of(run_id, ids):
                predictions.setdefault(found["data_row_id"], []).append((found["place"], found["annotation"]))
        for row in page:
            entry: dict[str, Any] = {
                "name": run_row["name"],
                "run_data_row_id": row["run_row_id"],
                "labels": labels.get(row["id"], []),
            }
            if params.get("includePredictions"):
                of_row = predictions.get(row["id"])
                entry["predictions"] = (
                    [] if of_row is None else [_label(row["prediction_id"], *label_form.assemble(of_row))]
                )
            if params.get("includeModelRunDetails"):
                entry["data_split"] = row["split"].lower()
            line = _data_row(store, row, params, datasets, settings.get("sign_assets_s"))
            line["experiments"] = {model["id"]: {"name": model["name"], "runs": {run_id: entry}}}
            files.add(orjson.dumps(line))
    files.flush()
    store.tasks.finish(task_id)


def _project(store: Store, task_id: str, payload: dict[str, Any], stopping: threading.Event) -> None:
    """The data rows of a project's batches with the labels they have there; pre-labels are no part of an export."""
    project = store.projects.get(payload["projectId"])
    if project is None:
        store.tasks.fail(task_id, f"Project {payload['projectId']} does not exist any more.")
        return
    datasets: dict[str, str] = {}
    settings = store.setting("settings", {})
    files = _Files(store, task_id, settings.get("export_lines_per_file") or _LINES)
    for page in store.projects.iterate(project["id"], payload["dataRowIds"], _PAGE):
        if stopping.is_set():
            raise InterruptedError
        labels: dict[str, list[Any]] = {}
        for label in store.projects.labels_of(project["id"], [row["id"] for row in page]):
            labels.setdefault(label["data_row_id"], []).append(_label(label["id"], label["kind"], label["annotations"]))
        for row in page:
            line = _data_row(store, row, payload["params"], datasets, settings.get("sign_assets_s"))
            line["projects"] = {project["id"]: {"name": project["name"], "labels": labels.get(row["id"], [])}}
            files.add(orjson.dumps(line))
    files.flush()
    store.tasks.finish(task_id)


def _catalog(store: Store, task_id: str, payload: dict[str, Any]) -> None:
    """Data rows by id, wherever they are; ids that are none are left out."""
    datasets: dict[str, str] = {}
    settings = store.setting("settings", {})
    files = _Files(store, task_id, settings.get("export_lines_per_file") or _LINES)
    for data_row_id in payload["dataRowIds"]:
        row = store.data_rows.get(data_row_id)
        if row is not None:
            files.add(orjson.dumps(_data_row(store, row, payload["params"], datasets, settings.get("sign_assets_s"))))
    files.flush()
    store.tasks.finish(task_id)


def _signed(url: str, seconds: float) -> str:
    """The address as Labelbox hands out those of files in buckets: good for a while, and another in each export."""
    if not url.startswith(("http://", "https://")):
        return url
    mark = "&" if "?" in url else "?"
    return f"{url}{mark}Expires={int(time.time() + seconds)}&Signature={secrets.token_hex(16)}"


def _label(label_id: str, kind: str, annotations: str) -> dict[str, Any]:
    return {"id": label_id, "label_kind": kind, "version": "1.0.0", "annotations": orjson.Fragment(annotations)}


def _data_row(
    store: Store, row: Row, params: dict[str, Any], datasets: dict[str, str], signed_s: float | None
) -> dict[str, Any]:
    data: dict[str, Any] = {"id": row["id"]}
    if row["global_key"] is not None:
        data["global_key"] = row["global_key"]
    if row["external_id"] is not None:
        data["external_id"] = row["external_id"]
    data["row_data"] = row["row_data"] if signed_s is None else _signed(row["row_data"], signed_s)
    if params.get("includeDataRowDetails"):
        dataset_id = row["dataset_id"]
        if dataset_id not in datasets:
            dataset = store.data_rows.dataset(dataset_id)
            datasets[dataset_id] = "" if dataset is None else dataset["name"]
        data["details"] = {
            "dataset_id": dataset_id,
            "dataset_name": datasets[dataset_id],
            "created_at": export_time(row["created_at"]),
            "updated_at": export_time(row["updated_at"]),
            "last_activity_at": export_time(row["updated_at"]),
            "created_by": "sandbox@localhost",
        }
    attributes = row["media_attributes"]
    line: dict[str, Any] = {
        "data_row": data,
        "media_attributes": {} if attributes is None else orjson.Fragment(attributes),
    }
    for name, key, column in (
        ("attachments", "includeAttachments", "attachments"),
        ("metadata_fields", "includeMetadata", "metadata"),
        ("embeddings", "includeEmbeddings", "embeddings"),
    ):
        if params.get(key):
            line[name] = [] if row[column] is None else orjson.Fragment(row[column])
    return line
