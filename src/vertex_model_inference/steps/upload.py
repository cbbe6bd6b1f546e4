"""upload: a shard's NDJSON goes to the run's destinations in bounded parts; each row's outcome is what became of it.

A row is predicted when every destination took all of its annotations.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from vertex_model_inference.errors import StorageError, UploadRefusedError, VmiError
from vertex_model_inference.labelbox.gateway import ImportedRow
from vertex_model_inference.outcomes import Counts, Outcome, OutcomeStatus
from vertex_model_inference.spec import Decoded
from vertex_model_inference.steps.context import Context, read_rows, read_structs, write_structs
from vertex_model_inference.steps.delivery import Statuses, deliver
from vertex_model_inference.steps.destinations import fall_back, in_force
from vertex_model_inference.steps.halting import Ending
from vertex_model_inference.steps.memory import place_names
from vertex_model_inference.steps.recall import earlier_of
from vertex_model_inference.steps.signatures import strip_shard

__all__ = ["PART_BYTES", "PART_LINES", "UploadDone", "close_shard", "upload_shard"]

PART_LINES = 20_000
PART_BYTES = 8_000_000


_UNACCOUNTED = Ending(
    "upload", "unaccounted", "No step of the run said how the row ended; this is a fault of ours.", retryable=True
)


class UploadDone(NamedTuple):
    """The shard's counts."""

    counts: Counts


class _Row(msgspec.Struct):
    decoded: Decoded
    lines: list[bytes]


class _Uuid(msgspec.Struct):
    uuid: str = ""


_UUID = msgspec.json.Decoder(_Uuid)
_Results = dict[str, Statuses | VmiError | None]
"""Destination -> the statuses of a part's lines, why it was not taken, or None where files are all there is."""


def upload_shard(context: Context, shard: int) -> UploadDone:
    """Upload one decoded shard and write ``ended/upload-`` and ``outcomes/``.

    An import that Labelbox refuses or gives up is the failure of the rows with annotations in it, and of no others.

    Raises:
        StorageError: The run's own files cannot be read or written.
    """
    ended: list[Outcome] = []
    refused: UploadRefusedError | None = None
    there = {_UUID.decode(each.line).uuid: each.at for row in earlier_of(context, shard).values() for each in row}
    for number, part in enumerate(_parts(context, shard)):
        results: _Results = {}
        if any(row.lines for row in part):
            results = _deliver(context, shard, number, part, refused, there)
        refused = next((found for found in results.values() if isinstance(found, UploadRefusedError)), refused)
        asked = context.spec.delivery.destinations
        tell = len(results) > 1 or tuple(results) != asked
        ended += [_outcome(row, results, tell=tell) for row in part]
        context.tell("upload", len(part))
    write_structs(context, context.files.ended("upload", shard), ended)
    return UploadDone(close_shard(context, shard))


def _send(
    context: Context,
    destination: str,
    shard: int,
    number: int,
    part: list[_Row],
    there: Mapping[str, tuple[str, ...]],
) -> Statuses | None:
    """Send what a destination does not have of a part; what earlier runs have brought there counts as taken."""
    if not there:
        ndjson = b"\n".join(line for row in part for line in row.lines) + b"\n"
        row_ids = [row.decoded.data_row_id for row in part if row.lines]
        return deliver(context, destination, shard, number, row_ids, ndjson)
    place = place_names(context.spec, (destination,))[0]
    taken: Statuses = {}
    lines: list[bytes] = []
    row_ids = []
    for row in part:
        lacking = []
        for line in row.lines:
            uuid = _UUID.decode(line).uuid
            if place in there.get(uuid, ()):
                taken[uuid] = ImportedRow(uuid=uuid, data_row_id=row.decoded.data_row_id, ok=True)
            else:
                lacking.append(line)
        if lacking:
            lines += lacking
            row_ids.append(row.decoded.data_row_id)
    if not lines:
        return taken
    found = deliver(context, destination, shard, number, row_ids, b"\n".join(lines) + b"\n", known=there.keys())
    return None if found is None else {**taken, **found}


def _deliver(
    context: Context,
    shard: int,
    number: int,
    part: list[_Row],
    refused: UploadRefusedError | None,
    there: Mapping[str, tuple[str, ...]],
) -> _Results:
    """Send a part to every destination, or to the fallback where Labelbox refuses the model run."""
    results: _Results = {}
    waiting = deque(in_force(context))
    while waiting:
        destination = waiting.popleft()
        if destination in results:
            continue
        if refused is not None and destination == "model-run":
            results[destination] = refused  # it would be refused as well
            continue
        try:
            results[destination] = _send(context, destination, shard, number, part, there)
        except StorageError:
            raise
        except UploadRefusedError as error:
            fallback = context.spec.delivery.fallback
            if fallback is None:
                results[destination] = error
                continue
            try:
                fall_back(context, error)
            except StorageError:
                raise
            except VmiError as unfit:
                results[fallback] = unfit
            else:
                waiting.extend(in_force(context))
        except VmiError as error:
            results[destination] = error
    return results


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


def _outcome(row: _Row, results: _Results, *, tell: bool) -> Outcome:
    """A row's outcome; ``tell``: which destinations took it is worth a word."""
    decoded = row.decoded
    common = Outcome(
        data_row_id=decoded.data_row_id,
        global_key=decoded.global_key,
        status=OutcomeStatus.EMPTY,
        message=" ".join(decoded.notes) or None,
        dropped=decoded.dropped,
        left=decoded.left,
    )
    if not row.lines:
        return common
    taken = {destination: _taken(row, found) for destination, found in results.items()}
    delivered = tuple(destination for destination, one in taken.items() if one.problem is None)
    common = msgspec.structs.replace(common, delivered=delivered if tell else ())
    bad = next(((destination, one.problem) for destination, one in taken.items() if one.problem is not None), None)
    accepted = max(one.accepted for one in taken.values())
    if bad is None:
        return msgspec.structs.replace(common, status=OutcomeStatus.PREDICTED, annotations=accepted)
    destination, (code, text, retryable) = bad
    return msgspec.structs.replace(
        common,
        status=OutcomeStatus.FAILED,
        annotations=accepted,
        step="upload",
        code=code,
        message=f"{destination}: {text}" if len(results) > 1 else text,
        retryable=retryable,
    )


class _Taken(NamedTuple):
    """How many of a row's annotations a destination took, and why not all: code, words, whether again can help."""

    accepted: int
    problem: tuple[str, str, bool] | None


def _taken(row: _Row, found: Statuses | VmiError | None) -> _Taken:
    if found is None:
        return _Taken(len(row.lines), None)
    if isinstance(found, VmiError):
        return _Taken(0, (found.error_code, str(found), found.retryable))
    answers = [found.get(_UUID.decode(line).uuid) for line in row.lines]
    accepted = sum(1 for answer in answers if answer is not None and answer.ok)
    refused = next((answer for answer in answers if answer is not None and not answer.ok), None)
    silent = sum(1 for answer in answers if answer is None)
    if refused is not None:
        name = refused.errors[0].name if refused.errors else "Unknown"
        words = refused.errors[0].message if refused.errors else "no reason given"
        text = f"Labelbox refused {len(answers) - accepted - silent} of {len(answers)} annotations: {name}: {words}"
        return _Taken(accepted, ("import_refused", text, False))
    if silent:
        text = f"Labelbox gave no status for {silent} of {len(answers)} annotations that were sent."
        return _Taken(accepted, ("status_missing", text, True))
    return _Taken(accepted, None)


def close_shard(context: Context, shard: int, ending: Ending | None = None) -> Counts:
    """Write the shard's outcomes: exactly one for each exported row.

    Args:
        context: The run.
        shard: Its number.
        ending: For rows that no step has ended, when the run does not go on with them.

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
    rest = ending or _UNACCOUNTED
    rows = read_rows(context, shard)
    outcomes = unexported + [
        found.get(row.id)
        or Outcome(
            data_row_id=row.id,
            global_key=row.global_key,
            status=rest.status,
            step=rest.step,
            code=rest.code,
            message=rest.message,
            retryable=rest.retryable,
        )
        for row in rows
    ]
    write_structs(context, files.shard("outcomes", shard), outcomes)
    strip_shard(context, shard, rows)
    return Counts.of(outcomes)
