"""Imports of data rows: the manifest and descriptor files that the SDK uploads."""

from __future__ import annotations

import threading
from typing import Any

import orjson

from vertex_model_inference.sandbox.labelbox.row_specs import new_row
from vertex_model_inference.sandbox.labelbox.store import Store

__all__ = ["run"]

_PIECE = 2_000  # rows a transaction


def run(store: Store, task_id: str, manifest_id: str, stopping: threading.Event) -> None:
    """Take the rows of every chunk that a manifest names, and finish the task.

    Interrupted, it goes on behind the last piece that was stored.

    Raises:
        InterruptedError: The server is stopping.
    """
    manifest = _json(store, manifest_id)
    uris = manifest.get("chunk_uris") if isinstance(manifest, dict) else None
    if not isinstance(uris, list):
        store.tasks.fail(task_id, "The manifest has no list chunk_uris.")
        return
    done = store.tasks.rows_noted(task_id)
    n = 0
    for uri in uris:
        entry = store.files.from_url(str(uri))
        items = None if entry is None else _json(store, entry.id)
        if not isinstance(items, list):
            store.tasks.fail(task_id, f"The chunk {uri} is not a JSON list that was uploaded here.")
            return
        for start in range(0, len(items), _PIECE):
            if stopping.is_set():
                raise InterruptedError
            piece = items[start : start + _PIECE]
            if n + len(piece) > done:  # each piece is one transaction, so a noted one is stored whole
                dataset_id = _dataset(piece)
                rows = [new_row(item) for item in piece]
                if dataset_id is None or store.data_rows.dataset(dataset_id) is None:
                    for row in rows:
                        row.failure = row.failure or f"Dataset {dataset_id!r} not found."
                store.data_rows.take(task_id, dataset_id or "", rows, n + 1)
            n += len(piece)
    store.tasks.finish(task_id)


def _json(store: Store, file_id: str) -> Any:
    entry = store.files.get(file_id)
    try:
        return None if entry is None else orjson.loads(entry.path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None


def _dataset(items: list[Any]) -> str | None:
    for item in items:
        if isinstance(item, dict) and isinstance(item.get("payload"), dict):
            found = item["payload"].get("dataset_id")
            if isinstance(found, str):
                return found
    return None
