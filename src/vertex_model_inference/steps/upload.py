"""upload: a shard's NDJSON goes to the model run in bounded imports; what Labelbox answers for each line is read back.

An import's name comes from run, shard and part. Before a part is sent, Labelbox is asked for an import of that name: an
upload that was cut off after it had arrived is thereby joined, not repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from vertex_model_inference.errors import LabelboxError, UploadRefusedError
from vertex_model_inference.labelbox.gateway import ImportedRow, ImportState
from vertex_model_inference.outcomes import Counts, Outcome, OutcomeStatus
from vertex_model_inference.spec import Decoded
from vertex_model_inference.steps.context import Context, failed, read_rows, read_structs, write_structs

__all__ = ["PART_BYTES", "PART_LINES", "UploadDone", "close_shard", "upload_shard"]

PART_LINES = 20_000
PART_BYTES = 8_000_000
IMPORT_TIMEOUT_S = 60 * 60
_ATTEMPTS = 3


class UploadDone(NamedTuple):
    """The shard's counts, and the names of the imports that hold its annotations."""

    counts: Counts
    imports: list[str]


class _Row(msgspec.Struct):
    decoded: Decoded
    lines: list[bytes]


class _Uuid(msgspec.Struct):
    uuid: str = ""


def upload_shard(context: Context, shard: int) -> UploadDone:
    """Upload one decoded shard and write ``ended/upload-`` and ``outcomes/``.

    An import that Labelbox refuses or gives up is the failure of the rows with annotations in it, and of no others.

    Raises:
        StorageError: The run's own files cannot be read or written.
    """
    ended: list[Outcome] = []
    names: list[str] = []
    refused: UploadRefusedError | None = None
    for number, part in enumerate(_parts(context, shard)):
        ndjson = b"\n".join(line for row in part for line in row.lines)
        statuses: dict[str, ImportedRow] | LabelboxError | None = refused
        if ndjson and refused is None and "model-run" in context.settings.destination:
            try:
                name = f"vmi-{context.spec.run_id}-{shard:05d}-{number:03d}"
                state, statuses = _import(context, name, ndjson + b"\n")
                names.append(state.name)
            except UploadRefusedError as error:
                statuses = refused = error  # all others would be refused as well
            except LabelboxError as error:
                statuses = error
        ended += [_outcome(row, statuses) for row in part]
        context.tell("upload", len(part))
    write_structs(context, context.files.ended("upload", shard), ended)
    return UploadDone(close_shard(context, shard), names)


def _parts(context: Context, shard: int) -> Iterator[list[_Row]]:
    """The shard's rows with their lines, in parts of bounded size; a row's lines stay together."""
    lines = context.store.lines(context.files.shard("predictions", shard, "ndjson"))
    part: list[_Row] = []
    count = size = 0
    for decoded in read_structs(context, context.files.shard("decoded", shard), Decoded):
        row = _Row(decoded, [next(lines) for _ in range(decoded.annotations)])
        bytes_ = sum(map(len, row.lines))
        if part and (count + len(row.lines) > PART_LINES or size + bytes_ > PART_BYTES):
            yield part
            part, count, size = [], 0, 0
        part.append(row)
        count += len(row.lines)
        size += bytes_
    if part:
        yield part


def _import(context: Context, name: str, ndjson: bytes) -> tuple[ImportState, dict[str, ImportedRow]]:
    """Import one part, or join the import that an earlier try began; an import that FAILED as a whole is begun anew."""
    labelbox = context.labelbox
    model_run_id = context.spec.model_run_id
    for attempt in range(_ATTEMPTS):
        tried = name if attempt == 0 else f"{name}-r{attempt}"
        state = labelbox.find_import(model_run_id, tried)
        if state is None:
            state = labelbox.start_import(model_run_id, tried, ndjson)
        if not state.ended:
            state = labelbox.wait_import(model_run_id, tried, IMPORT_TIMEOUT_S)
        if state.state != "FAILED":
            return state, {row.uuid: row for row in labelbox.import_statuses(state) if row.uuid is not None}
    raise LabelboxError(
        f"Labelbox gave up the import {name!r} {_ATTEMPTS} times.",
        code="import_failed",
        hint="Look at the import's error file in Labelbox, then run again.",
        retryable=True,
    )


def _outcome(row: _Row, statuses: dict[str, ImportedRow] | LabelboxError | None) -> Outcome:
    decoded = row.decoded
    if not row.lines:
        note = " ".join(decoded.notes) or None
        return Outcome(
            data_row_id=decoded.data_row_id,
            global_key=decoded.global_key,
            status=OutcomeStatus.EMPTY,
            message=note,
            dropped=decoded.dropped,
        )
    if statuses is None:  # only files were asked for
        return Outcome(
            data_row_id=decoded.data_row_id,
            global_key=decoded.global_key,
            status=OutcomeStatus.PREDICTED,
            annotations=len(row.lines),
            message=" ".join(decoded.notes) or None,
            dropped=decoded.dropped,
        )
    if isinstance(statuses, LabelboxError):
        return msgspec.structs.replace(
            failed(
                decoded.data_row_id,
                decoded.global_key,
                "upload",
                statuses.error_code,
                str(statuses),
                retryable=statuses.retryable,
            ),
            dropped=decoded.dropped,
        )
    answers = [statuses.get(msgspec.json.decode(line, type=_Uuid).uuid) for line in row.lines]
    accepted = sum(1 for answer in answers if answer is not None and answer.ok)
    refused = next((answer for answer in answers if answer is not None and not answer.ok), None)
    silent = sum(1 for answer in answers if answer is None)
    if refused is not None:
        name = refused.errors[0].name if refused.errors else "Unknown"
        words = refused.errors[0].message if refused.errors else "no reason given"
        text = f"Labelbox refused {len(answers) - accepted - silent} of {len(answers)} annotations: {name}: {words}"
        code, retryable = "import_refused", False
    elif silent:
        text = f"Labelbox gave no status for {silent} of {len(answers)} annotations that were sent."
        code, retryable = "status_missing", True
    else:
        return Outcome(
            data_row_id=decoded.data_row_id,
            global_key=decoded.global_key,
            status=OutcomeStatus.PREDICTED,
            annotations=accepted,
            message=" ".join(decoded.notes) or None,
            dropped=decoded.dropped,
        )
    return Outcome(
        data_row_id=decoded.data_row_id,
        global_key=decoded.global_key,
        status=OutcomeStatus.FAILED,
        annotations=accepted,
        step="upload",
        code=code,
        message=text,
        retryable=retryable,
        dropped=decoded.dropped,
    )


def close_shard(context: Context, shard: int, error: tuple[str, str, str, bool] | None = None) -> Counts:
    """Write the shard's outcomes: exactly one for each exported row.

    Args:
        context: The run.
        shard: Its number.
        error: (step, code, message, retryable) for rows that no step has ended, when the run cannot go on with them.

    Raises:
        StorageError: The run's own files cannot be read or written.
    """
    files = context.files
    found: dict[str, Outcome] = {}
    unexported: list[Outcome] = []
    for step in ("export", "assets", "predict", "decode", "upload"):
        path = files.ended(step, shard)
        if context.store.exists(path):
            for outcome in read_structs(context, path, Outcome):
                if step == "export":
                    unexported.append(outcome)
                else:
                    found.setdefault(outcome.data_row_id, outcome)
    step, code, text, retryable = error or (
        "upload",
        "unaccounted",
        "No step of the run said how the row ended; this is a fault of ours.",
        True,
    )
    outcomes = unexported + [
        found.get(row.id) or failed(row.id, row.global_key, step, code, text, retryable=retryable)
        for row in read_rows(context, shard)
    ]
    write_structs(context, files.shard("outcomes", shard), outcomes)
    return Counts.of(outcomes)
