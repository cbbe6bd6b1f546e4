"""export: stream the model run's data rows into shards.

The export is a file that Labelbox hands out in chunks of whole lines, addressed by byte offset. One call reads as many
chunks as fill a few shards and returns the offset reached, so an export goes on where it was and later steps can begin
while it is still being read.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from typing import Any, NamedTuple

import msgspec
import structlog

from vertex_model_inference.errors import LabelboxError, RowError
from vertex_model_inference.labelbox.exports import labels_of, parse_export_row
from vertex_model_inference.outcomes import Outcome
from vertex_model_inference.rows import DataRow
from vertex_model_inference.steps.context import Context, failed, read_rows, read_structs, write_structs
from vertex_model_inference.steps.halting import CANCELLED
from vertex_model_inference.steps.media import presumed

__all__ = ["Export", "ExportSlice", "begin_export", "export_slice"]

log = structlog.get_logger()

EXPORT_TIMEOUT_S = 2 * 60 * 60
_NAMELESS = "line "
"""What stands for the id of a row whose line cannot be read that far; ids have no spaces."""


class Export(NamedTuple):
    """An export that is ready to be read: its task's id, and the data rows in it."""

    task: str
    rows: int


class ExportSlice(NamedTuple):
    """What one call exported.

    Attributes:
        first_shard: Number of the first shard written.
        rows: Rows of each shard written, in order.
        next_offset: Byte offset of the next call; None when the export is at its end, or ``expired``.
        expired: Labelbox gives no more of this export; another must be begun for the rows that are left.
        halted: The run was cancelled before the export's end.
    """

    first_shard: int
    rows: list[int]
    next_offset: int | None
    expired: bool = False
    halted: bool = False


class _LabelsLine(msgspec.Struct):
    data_row_id: str
    labels: tuple[dict[str, Any], ...]


def begin_export(context: Context) -> Export:
    """Ask Labelbox for the export and wait until it is written.

    Raises:
        LabelboxError: Labelbox refused, or the export failed or took longer than two hours.
        HaltedError: The run is cancelled.
    """
    spec, halt = context.spec, context.halt
    if _cancelled(context):
        halt.check()
    task = context.labelbox.start_export(spec.model_run_id, f"vmi-{spec.run_id}")
    try:
        return Export(task, context.labelbox.wait_export(task, EXPORT_TIMEOUT_S, sleep=halt.wait).total_lines)
    except LabelboxError:
        if _cancelled(context):
            halt.check()
        raise


def export_slice(
    context: Context,
    task: str,
    offset: int,
    first_shard: int,
    least_rows: int,
    *,
    canary: int = 0,
    written: int = 0,
) -> ExportSlice:
    """Write the next shards: at least ``least_rows`` rows (whole chunks), in shards of ``spec.shard_rows``.

    Args:
        context: The run.
        task: From ``begin_export``.
        offset: Bytes of the export that earlier calls have read.
        first_shard: Number of the next shard.
        least_rows: Stop at the end of the chunk that reaches this many.
        canary: Rows of the very first shard, when it is smaller than the others; 0: it is not.
        written: Shards of an earlier export that expired. Their rows are left out, by id: nothing says that two exports
            have the same order.

    Raises:
        LabelboxError: The export cannot be read.
    """
    sink = _Sink(context, first_shard, canary)
    known = _Known(context, written) if written else None
    next_offset: int | None = None
    expired = halted = False
    try:
        for chunk in context.labelbox.export_chunks(task, offset):
            halted = _cancelled(context)
            if halted or sink.total >= least_rows:
                next_offset = chunk.start
                break
            for line in context.labelbox.read_chunk(task, chunk):
                sink.add(line, known)
    except LabelboxError as error:
        if error.error_code != "export_expired":
            raise
        log.warning("the export expired", run_id=context.spec.run_id, cause=str(error))
        expired = True
    sink.flush()
    return ExportSlice(first_shard, sink.rows, None if expired or halted else next_offset, expired, halted)


def _cancelled(context: Context) -> bool:
    """Whether the rows that are left need no outcome. Those of a run that stopped at a budget do: they say so."""
    stop = context.halt.stop
    return stop is not None and stop.code == CANCELLED


class _Known:
    """The rows of the first shards, as 8 bytes each: a million take 8 MB, two of them are one by a chance of 1 in 10^7.

    Args:
        context: The run.
        shards: How many.
    """

    def __init__(self, context: Context, shards: int) -> None:
        marks = array("Q")
        self._nameless = 0
        for shard in range(shards):
            marks.extend(_mark(row.id) for row in read_rows(context, shard))
            for outcome in read_structs(context, context.files.ended("export", shard), Outcome):
                if outcome.data_row_id.startswith(_NAMELESS):
                    self._nameless += 1
                else:
                    marks.append(_mark(outcome.data_row_id))
        self._marks = array("Q", sorted(marks))

    def __contains__(self, row_id: str) -> bool:
        mark = _mark(row_id)
        place = bisect_left(self._marks, mark)
        return place < len(self._marks) and self._marks[place] == mark

    def nameless(self) -> bool:
        """Whether one more line without a readable id is among the rows; as many are as were before."""
        self._nameless -= 1
        return self._nameless >= 0


def _mark(row_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(row_id.encode(), digest_size=8).digest(), "big")


class _Sink:
    """Collects rows and writes a shard whenever one is full."""

    def __init__(self, context: Context, first_shard: int, canary: int = 0) -> None:
        self._context = context
        self._next = first_shard
        self._canary = canary
        self._size = context.spec.shard_rows
        self._rows: list[DataRow] = []
        self._labels: list[_LabelsLine] = []
        self._ended: list[Outcome] = []
        self.rows: list[int] = []
        self.total = 0

    def add(self, line: bytes, known: _Known | None = None) -> None:
        """Take one line of the export, unless its row is ``known``."""
        model_run_id = self._context.spec.model_run_id
        try:
            row = parse_export_row(line, model_run_id)
        except RowError as error:
            named = error.context.get("data_row_id")
            if known is not None and (str(named) in known if named else known.nameless()):
                return
            row_id = str(named or f"{_NAMELESS}{self.total + 1} of the export")
            self._ended.append(failed(row_id, None, "export", error.error_code, str(error), retryable=error.retryable))
        else:
            if known is not None and row.id in known:
                return
            self._rows.append(presumed(row, self._context.spec.option.task))
            labels = labels_of(line, model_run_id)
            if labels:
                self._labels.append(_LabelsLine(row.id, labels))
        self.total += 1
        full = self._canary if self._canary and self._next == 0 else self._size
        if len(self._rows) + len(self._ended) >= full:
            self.flush()

    def flush(self) -> None:
        if not self._rows and not self._ended:
            return
        files = self._context.files
        write_structs(self._context, files.ended("export", self._next), self._ended)
        if self._labels:
            write_structs(self._context, files.shard("labels", self._next), self._labels)
        write_structs(self._context, files.shard("rows", self._next), self._rows)
        n = len(self._rows) + len(self._ended)
        self.rows.append(n)
        self._context.tell("export", n)
        self._next += 1
        self._rows, self._labels, self._ended = [], [], []
