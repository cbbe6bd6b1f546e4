"""One part of a shard's NDJSON to one destination; what Labelbox answers for each line is read back.

An import's name comes from run, shard and part. Before a part is sent, Labelbox is asked for an import of that name: an
upload that was cut off after it had arrived is thereby joined, not repeated. Likewise a project's batch.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from vertex_model_inference.errors import LabelboxError, NotFoundError
from vertex_model_inference.labelbox.gateway import BATCH_PRIORITY, BATCH_ROWS, ImportedRow, ImportPlace
from vertex_model_inference.steps.context import Context

__all__ = ["Statuses", "deliver"]

Statuses = dict[str, ImportedRow]
"""uuid of an annotation -> what became of it."""

IMPORT_TIMEOUT_S = 60 * 60
_ATTEMPTS = 3

_BATCH_ID = msgspec.json.Decoder(str)


def deliver(
    context: Context,
    destination: str,
    shard: int,
    part: int,
    data_row_ids: Sequence[str],
    ndjson: bytes,
    *,
    known: Collection[str] = (),
) -> Statuses | None:
    """Send one part to one destination.

    Args:
        context: The run.
        destination: ``model-run``, ``project`` or ``files``.
        shard: Number of the shard; ``part``: of the part in it.
        part: See ``shard``.
        data_row_ids: The rows that have annotations in the part.
        ndjson: The part.
        known: uuids that an earlier run sent: of these a line that is refused for nothing but its uuid is there.

    Returns:
        None for ``files``: the shard's predictions file is there already.

    Raises:
        UploadRefusedError: Labelbox takes no predictions in model runs.
        LabelboxError: The import was refused or given up.
        StorageError: The run's own files cannot be read or written.
    """
    if destination == "files":
        return None
    name = f"vmi-{context.spec.run_id}-{shard:05d}-{part:03d}"
    if destination == "project":
        project_id = context.spec.delivery.project or ""
        _put_into_project(context, project_id, shard, part, data_row_ids)
        return _import(context, ImportPlace("project", project_id), name, ndjson, known)
    return _import(context, ImportPlace("model-run", context.spec.model_run_id), name, ndjson, known)


def _import(context: Context, place: ImportPlace, name: str, ndjson: bytes, known: Collection[str]) -> Statuses:
    """Import one part, or join the import that an earlier try began; an import that FAILED as a whole is begun anew.

    What such an import has left behind makes Labelbox refuse the same lines when they come again. Their uuids are made
    of run, row and position, so a line that is refused only for its uuid, after an import of the same lines, is there.
    """
    labelbox = context.labelbox
    for attempt in range(_ATTEMPTS):
        tried = name if attempt == 0 else f"{name}-r{attempt}"
        state = labelbox.find_import(place, tried)
        if state is None:
            state = labelbox.start_import(place, tried, ndjson)
        if not state.ended:
            state = labelbox.wait_import(place, tried, IMPORT_TIMEOUT_S)
        if state.state != "FAILED":
            rows = (row for row in labelbox.import_statuses(state) if row.uuid is not None)
            return {str(row.uuid): _there(row) if attempt or row.uuid in known else row for row in rows}
    raise LabelboxError(
        f"Labelbox gave up the import {name!r} into {place} {_ATTEMPTS} times.",
        code="import_failed",
        hint="Look at the import's error file in Labelbox, then run again.",
        retryable=True,
    )


def _there(row: ImportedRow) -> ImportedRow:
    if not row.ok and row.errors and all(error.duplicate for error in row.errors):
        return msgspec.structs.replace(row, ok=True, errors=())
    return row


def _put_into_project(context: Context, project_id: str, shard: int, part: int, data_row_ids: Sequence[str]) -> None:
    """A project takes pre-labels of its own data rows only; those that it lacks go into a batch of the run."""
    have = context.labelbox.rows_in_project(project_id, data_row_ids)
    lacking = [row_id for row_id in data_row_ids if row_id not in have]
    if not lacking:
        return
    shards = BATCH_ROWS // context.spec.shard_rows
    block = f"{shard // shards:05d}" if shards else f"{shard:05d}-{part:03d}"
    for start in range(0, len(lacking), BATCH_ROWS):
        name = block if not start else f"{block}-{start // BATCH_ROWS}"
        path = f"{context.files.folder}/batches/{name}.json"
        try:
            batch_id = _BATCH_ID.decode(context.store.get(path))
        except NotFoundError:
            batch_id = context.labelbox.batch(project_id, f"vmi-{context.spec.run_id}-{name}")
            context.store.put(path, msgspec.json.encode(batch_id))
        context.labelbox.fill_batch(project_id, batch_id, lacking[start : start + BATCH_ROWS], BATCH_PRIORITY)
