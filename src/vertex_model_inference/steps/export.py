"""export: stream the model run's data rows into shards.

The export is a file that Labelbox hands out in chunks of whole lines, addressed by byte offset. One call reads as many
chunks as fill a few shards and returns the offset reached, so an export goes on where it was and later steps can begin
while it is still being read.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from vertex_model_inference.errors import RowError
from vertex_model_inference.labelbox.exports import labels_of, parse_export_row
from vertex_model_inference.outcomes import Outcome
from vertex_model_inference.rows import DataRow
from vertex_model_inference.steps.context import Context, failed, write_structs
from vertex_model_inference.steps.media import presumed

__all__ = ["ExportSlice", "begin_export", "export_slice"]

EXPORT_TIMEOUT_S = 2 * 60 * 60


class ExportSlice(NamedTuple):
    """What one call exported.

    Attributes:
        first_shard: Number of the first shard written.
        rows: Rows of each shard written, in order.
        next_offset: Byte offset of the next call; None when the export is at its end.
    """

    first_shard: int
    rows: list[int]
    next_offset: int | None


class _LabelsLine(msgspec.Struct):
    data_row_id: str
    labels: tuple[dict[str, Any], ...]


def begin_export(context: Context) -> str:
    """Ask Labelbox for the export and wait until it is written; returns the export task's id.

    Raises:
        LabelboxError: Labelbox refused, or the export failed or took longer than two hours.
    """
    spec = context.spec
    task = context.labelbox.start_export(spec.model_run_id, f"vmi-{spec.run_id}")
    context.labelbox.wait_export(task, EXPORT_TIMEOUT_S)
    return task


def export_slice(context: Context, task: str, offset: int, first_shard: int, least_rows: int) -> ExportSlice:
    """Write the next shards: at least ``least_rows`` rows (whole chunks), in shards of ``spec.shard_rows``.

    Args:
        context: The run.
        task: From ``begin_export``.
        offset: Bytes of the export that earlier calls have read.
        first_shard: Number of the next shard.
        least_rows: Stop at the end of the chunk that reaches this many.

    Raises:
        LabelboxError: The export cannot be read; ``code == "export_expired"`` when it must be asked for again.
    """
    sink = _Sink(context, first_shard)
    next_offset: int | None = None
    for chunk in context.labelbox.export_chunks(task, offset):
        if sink.total >= least_rows:
            next_offset = chunk.start
            break
        for line in context.labelbox.read_chunk(task, chunk):
            sink.add(line)
    sink.flush()
    return ExportSlice(first_shard, sink.rows, next_offset)


class _Sink:
    """Collects rows and writes a shard whenever one is full."""

    def __init__(self, context: Context, first_shard: int) -> None:
        self._context = context
        self._next = first_shard
        self._size = context.spec.shard_rows
        self._rows: list[DataRow] = []
        self._labels: list[_LabelsLine] = []
        self._ended: list[Outcome] = []
        self.rows: list[int] = []
        self.total = 0

    def add(self, line: bytes) -> None:
        model_run_id = self._context.spec.model_run_id
        try:
            row = parse_export_row(line, model_run_id)
        except RowError as error:
            row_id = str(error.context.get("data_row_id") or f"line {self.total + 1} of the export")
            self._ended.append(failed(row_id, None, "export", error.error_code, str(error), retryable=error.retryable))
        else:
            self._rows.append(presumed(row, self._context.spec.option.task))
            labels = labels_of(line, model_run_id)
            if labels:
                self._labels.append(_LabelsLine(row.id, labels))
        self.total += 1
        if len(self._rows) + len(self._ended) >= self._size:
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
