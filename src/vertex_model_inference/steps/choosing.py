"""choosing: which rows of a run that follows another are done again, and how much of the way. Pure but for the table.

Rows of one kind go into shards of their own, so that what is done is as dense as in a first run: a job of a thousand
changed rows in a million is one job.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from vertex_model_inference.errors import NotFoundError
from vertex_model_inference.rows import DataRow
from vertex_model_inference.steps import fingerprints
from vertex_model_inference.steps.context import Context
from vertex_model_inference.steps.fingerprints import mark, row_fingerprint
from vertex_model_inference.steps.memory import Entry, Known, Memory, Origin, memory_of

__all__ = ["Choice", "Chooser", "Way", "chooser_of", "way_of"]


class Way(StrEnum):
    """How far a row goes."""

    WORK = "work"  # the whole way
    AGAIN = "again"  # its kept answer is read again, and uploaded
    CARRIED = "carried"  # nothing is done: its outcome is carried over
    UNASKED = "unasked"  # nothing is known of it, and it is not among the rows that were asked for


class Choice(NamedTuple):
    """A row's way, and where what is known of it lies."""

    way: Way
    origin: Origin | None = None


def way_of(mode: str, entry: Entry | None, asked: int, judged: str, *, named: bool = False) -> Way:
    """How far a row goes. Pure.

    Args:
        mode: ``RunSpec.rerun``.
        entry: What is known of it; None: it is new.
        asked: Its fingerprint now. ``judged``: of the run now.
        judged: See ``asked``.
        named: It is among the rows that were asked for by name.
    """
    if entry is None:
        return Way.WORK if mode in ("changed", "all") else Way.UNASKED
    if mode == "all":
        return Way.WORK
    if mode == "named":
        return Way.WORK if named else Way.CARRIED
    if mode in ("failed", "retryable"):
        wanted = Known.FAILED if mode == "failed" else Known.FAILED | Known.RETRYABLE
        if entry.known & wanted != wanted:
            return Way.CARRIED
    same = entry.asked == asked and Known.ANSWERED in entry.known
    if not same:
        return Way.WORK
    if Known.GOOD in entry.known and entry.judged == judged and mode == "changed":
        return Way.CARRIED
    return Way.AGAIN


class Chooser:
    """Chooses for one run.

    Args:
        mode: ``RunSpec.rerun``.
        own: The run's fingerprints.
        memory: What earlier runs know.
        named: Marks of the ids and global keys that were asked for.
    """

    def __init__(
        self, mode: str, own: fingerprints.Fingerprints, memory: Memory, named: frozenset[int] = frozenset()
    ) -> None:
        self._mode = mode
        self._own = own
        self._memory = memory
        self._named = named

    def choose(self, row: DataRow) -> Choice:
        """A row's way."""
        entry = self._memory.find(row.id)
        asked = row_fingerprint(self._own.asked, row)
        named = bool(self._named) and (
            mark(row.id) in self._named or (row.global_key is not None and mark(row.global_key) in self._named)
        )
        way = way_of(self._mode, entry, asked, self._own.judged, named=named)
        if entry is None:
            return Choice(way)
        if way is Way.WORK and Known.SENT not in entry.known:
            return Choice(way)
        other = way is Way.CARRIED and (entry.asked != asked or entry.judged != self._own.judged)
        origin = Origin(
            row.id,
            entry.run,
            entry.shard,
            asked=entry.asked if other else None,
            judged=entry.judged if other else None,
        )
        return Choice(way, origin)

    def whole(self, origin: Origin, rows: int) -> bool:
        """Whether so many rows of one earlier shard are all of it."""
        return self._memory.size(origin.run, origin.shard) == rows


def chooser_of(context: Context) -> Chooser | None:
    """The run's chooser; None: nothing is known of any row, so that all go the whole way.

    Raises:
        StorageError: The run's own files cannot be read.
    """
    if not context.spec.follows:
        return None
    memory = memory_of(context)
    own = fingerprints.stored(context.store, context.files)
    if memory is None or own is None:
        return None
    named: frozenset[int] = frozenset()
    if context.spec.rerun == "named":
        try:
            named = frozenset(mark(line.decode()) for line in context.store.lines(context.files.named))
        except NotFoundError:
            named = frozenset()
    return Chooser(context.spec.rerun, own, memory, named)
