"""export: stream the model run's data rows into shards.

The export is a file that Labelbox hands out in chunks of whole lines, addressed by byte offset. One call reads as many
chunks as fill a few shards and returns the offset reached, so an export goes on where it was and later steps can begin
while it is still being read.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import Any, NamedTuple

import msgspec
import structlog

from vertex_model_inference.errors import LabelboxError, RowError
from vertex_model_inference.labelbox.exports import labels_of, parse_export_row
from vertex_model_inference.outcomes import Outcome
from vertex_model_inference.rows import DataRow
from vertex_model_inference.steps.choosing import Choice, Chooser, Way, chooser_of
from vertex_model_inference.steps.context import Context, failed, read_rows, read_structs, skipped, write_structs
from vertex_model_inference.steps.fingerprints import mark
from vertex_model_inference.steps.halting import CANCELLED
from vertex_model_inference.steps.media import presumed
from vertex_model_inference.steps.memory import Origin

__all__ = ["HELD_SHARDS", "Export", "ExportSlice", "begin_export", "export_slice"]

log = structlog.get_logger()

EXPORT_TIMEOUT_S = 2 * 60 * 60
_BEGINNINGS = 3
HELD_SHARDS = 20
"""So many shards' rows of earlier runs are held back at most, to be put together by where they come from."""
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
        ways: How far the rows of each shard go (``choosing.Way``); empty: all go the whole way.
        error: Why no more can be read; the shards are whole all the same, and their rows must get an outcome.
    """

    first_shard: int
    rows: list[int]
    next_offset: int | None
    expired: bool = False
    halted: bool = False
    ways: list[str] = []  # noqa: RUF012  # a NamedTuple's, replaced and never appended to
    error: LabelboxError | None = None

    def way(self, shard: int) -> Way:
        """How far the rows of a shard go."""
        return Way(self.ways[shard - self.first_shard]) if self.ways else Way.WORK


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
    left = _BEGINNINGS
    while True:
        left -= 1
        task = context.labelbox.start_export(spec.model_run_id, f"vmi-{spec.run_id}")
        try:
            return Export(task, context.labelbox.wait_export(task, EXPORT_TIMEOUT_S, sleep=halt.wait).total_lines)
        except LabelboxError as error:
            if _cancelled(context):
                halt.check()
            if error.error_code != "export_expired" or not left:
                raise
            # What answers may be behind what was asked; nothing has been read, so another export is as good.
            log.warning("the export is not known", run_id=spec.run_id, cause=str(error))


def export_slice(
    context: Context,
    task: str,
    offset: int,
    first_shard: int,
    least_rows: int,
    *,
    canary: int = 0,
    written: int = 0,
    room: int | None = None,
) -> ExportSlice:
    """Write the next shards: at least ``least_rows`` rows (whole chunks), in shards of ``spec.shard_rows``.

    Args:
        context: The run.
        task: From ``begin_export``.
        offset: Bytes of the export that earlier calls have read.
        first_shard: Number of the next shard.
        least_rows: Stop at the end of the chunk that reaches this many.
        canary: Rows of the next shard with anything to do, when it is to be smaller than the others; 0: it is not.
        written: Shards of an earlier export that expired. Their rows are left out, by id: nothing says that two exports
            have the same order.
        room: So many more rows may be sent to the model: a shard ends with the last of them. None: any number.

    Raises:
        StorageError: The run's own files cannot be read or written.
    """
    sink = _Sink(context, first_shard, canary, chooser_of(context), room)
    known = _Known(context, written) if written else None
    next_offset: int | None = None
    expired = halted = False
    broken: LabelboxError | None = None
    try:
        for chunk in context.labelbox.export_chunks(task, offset):
            halted = _cancelled(context)
            if halted or sink.total >= least_rows:
                next_offset = chunk.start
                break
            for line in context.labelbox.read_chunk(task, chunk):
                sink.add(line, known)
    except LabelboxError as error:
        next_offset = None
        expired = error.error_code == "export_expired"
        broken = None if expired else error
        log.warning("the export cannot be read on", run_id=context.spec.run_id, cause=str(error))
    sink.flush()
    ways = [way.value for way in sink.ways] if context.spec.follows else []
    offset_then = None if expired or halted else next_offset
    return ExportSlice(first_shard, sink.rows, offset_then, expired, halted, ways, broken)


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
            marks.extend(mark(row.id) for row in read_rows(context, shard))
            for outcome in read_structs(context, context.files.ended("export", shard), Outcome):
                if outcome.data_row_id.startswith(_NAMELESS):
                    self._nameless += 1
                else:
                    marks.append(mark(outcome.data_row_id))
        self._marks = array("Q", sorted(marks))

    def __contains__(self, row_id: str) -> bool:
        wanted = mark(row_id)
        place = bisect_left(self._marks, wanted)
        return place < len(self._marks) and self._marks[place] == wanted

    def nameless(self) -> bool:
        """Whether one more line without a readable id is among the rows; as many are as were before."""
        self._nameless -= 1
        return self._nameless >= 0


class _Shard:
    """Rows that go equally far, until there are enough for a shard."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self.rows: list[DataRow] = []
        self.labels: list[_LabelsLine] = []
        self.ended: list[Outcome] = []
        self.origins: list[Origin] = []
        self.mixed = False  # rows come from several earlier shards

    def __len__(self) -> int:
        return len(self.rows) + len(self.ended)

    def other(self, origin: Origin) -> bool:
        """Whether a row comes from another earlier shard than the first one here."""
        first = self.origins[0] if self.origins else origin
        return (first.run, first.shard) != (origin.run, origin.shard)


class _Sink:
    """Collects rows and writes a shard whenever one is full."""

    def __init__(
        self,
        context: Context,
        first_shard: int,
        canary: int = 0,
        chooser: Chooser | None = None,
        room: int | None = None,
    ) -> None:
        self._context = context
        self._next = first_shard
        self._canary = canary
        self._size = context.spec.shard_rows
        self._chooser = chooser
        self._room = room
        self._shards = {way: _Shard(way) for way in (Way.WORK, Way.AGAIN, Way.CARRIED)}
        self._held: list[tuple[Way, DataRow, tuple[dict[str, Any], ...], Origin]] = []
        self.rows: list[int] = []
        self.ways: list[Way] = []
        self.total = 0

    def add(self, line: bytes, known: _Known | None = None) -> None:
        """Take one line of the export, unless its row is ``known``."""
        model_run_id = self._context.spec.model_run_id
        shard = self._shards[Way.WORK]
        try:
            row = parse_export_row(line, model_run_id)
        except RowError as error:
            named = error.context.get("data_row_id")
            if known is not None and (str(named) in known if named else known.nameless()):
                return
            row_id = str(named or f"{_NAMELESS}{self.total + 1} of the export")
            shard.ended.append(failed(row_id, None, "export", error.error_code, str(error), retryable=error.retryable))
        else:
            if known is not None and row.id in known:
                return
            shard = self._take(presumed(row, self._context.spec.option.task), labels_of(line, model_run_id))
        self.total += 1
        if len(shard) >= self._full(shard):
            self._flush(shard)

    def _take(self, row: DataRow, labels: tuple[dict[str, Any], ...]) -> _Shard:
        way, origin = Choice(Way.WORK) if self._chooser is None else self._chooser.choose(row)
        if way is Way.UNASKED:
            # Its outcome is written with those that are carried over, since nothing is done for it either.
            shard = self._shards[Way.CARRIED]
            shard.ended.append(
                skipped(
                    row.id,
                    row.global_key,
                    "export",
                    "not_asked",
                    "The row is new and not among those that were to be tried again. Run the model on the model run "
                    "again to include it.",
                )
            )
            if labels:
                shard.labels.append(_LabelsLine(row.id, labels))
            return shard
        if way is Way.WORK or origin is None:
            return self._put(way, row, labels, origin)
        self._held.append((way, row, labels, origin))
        if len(self._held) >= HELD_SHARDS * self._size:
            self._spread()
        return self._shards[way]

    def _spread(self) -> None:
        """Put the rows that were held back into shards, those of one earlier shard together, whatever the export's
        order: each earlier shard is then read a few times, not once for every new one."""
        held, self._held = self._held, []
        for way, row, labels, origin in sorted(held, key=lambda each: (each[3].run, each[3].shard)):
            shard = self._put(way, row, labels, origin)
            if len(shard) >= self._full(shard):
                self._flush(shard)

    def _put(self, way: Way, row: DataRow, labels: tuple[dict[str, Any], ...], origin: Origin | None) -> _Shard:
        shard = self._shards[way]
        if way is not Way.WORK and origin is not None and self._chooser is not None and shard.other(origin):
            # All of an earlier shard is a shard again, where it can be: then its files are copied as they are.
            if not shard.mixed and self._chooser.whole(shard.origins[0], len(shard)):
                self._flush(shard)
                shard = self._shards[way]
            else:
                shard.mixed = True
        shard.rows.append(row)
        if labels:
            shard.labels.append(_LabelsLine(row.id, labels))
        if origin is not None:
            shard.origins.append(origin)
        return shard

    def _full(self, shard: _Shard) -> int:
        full = self._canary if self._canary and shard.way is not Way.CARRIED else self._size
        return min(full, self._room) if self._room and shard.way is Way.WORK else full

    def flush(self) -> None:
        """Write what is left."""
        self._spread()
        for shard in list(self._shards.values()):
            self._flush(shard)

    def _flush(self, shard: _Shard) -> None:
        self._shards[shard.way] = _Shard(shard.way)
        if not shard:
            return
        context, files = self._context, self._context.files
        write_structs(context, files.ended("export", self._next), shard.ended)
        if shard.labels:
            write_structs(context, files.shard("labels", self._next), shard.labels)
        if shard.origins:
            write_structs(context, files.shard("origins", self._next), shard.origins)
        write_structs(context, files.shard("rows", self._next), shard.rows)
        self.rows.append(len(shard))
        self.ways.append(shard.way)
        context.tell("export", len(shard))
        self._next += 1
        if self._room and shard.way is Way.WORK:
            self._room -= len(shard)
        if shard.way is not Way.CARRIED:
            self._canary = 0  # only the first
