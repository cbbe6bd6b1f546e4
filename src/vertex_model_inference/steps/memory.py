"""memory: what earlier runs of the same model run and option know of each row, as one table of 28 bytes a row.

Made once, when a run begins, from the files of the runs before it, and written to the run's own folder, so that
whatever process works on the run looks rows up in the same table. It holds no outcome and no answer, only where they
lie: a million rows take 28 MB, in numpy arrays and not in Python objects.

A row's entry comes from the newest run that has an answer of it; where there is none, from the newest that has the row.
"""

from __future__ import annotations

import io
import re
import threading
from collections import OrderedDict
from enum import IntFlag
from typing import Any, NamedTuple

import msgspec
import numpy as np

from vertex_model_inference.errors import ConflictError, NotFoundError
from vertex_model_inference.outcomes import Outcome, OutcomeStatus
from vertex_model_inference.rows import DataRow
from vertex_model_inference.spec import Files, RunSpec, read_spec, run_id_of
from vertex_model_inference.steps import fingerprints
from vertex_model_inference.steps.context import Context
from vertex_model_inference.steps.destinations import in_force
from vertex_model_inference.steps.fingerprints import mark, row_fingerprint
from vertex_model_inference.storage.store import Store

__all__ = ["Entry", "Known", "Memory", "Origin", "Remembered", "build", "memory_of", "place_names", "remember"]

_MOST_RUNS = 20
"""So many earlier runs are looked at; each is read whole only until one is found that ended well."""


class Known(IntFlag):
    """What is known of a row."""

    GOOD = 1  # it ended predicted or empty, and what was sent is where this run's predictions go
    ANSWERED = 2  # the model's answer is in the run's files
    FAILED = 4  # so it ended in the newest run that had it
    RETRYABLE = 8  # and running it again can help
    SENT = 16  # annotations of it may be in Labelbox


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where what is known of a row lies: ``run``, an index of ``Remembered.runs``' names, and ``shard``.

    ``asked`` and ``judged`` stand there where they are not those of the run that the line is in.
    """

    data_row_id: str
    run: str
    shard: int
    asked: int | None = None
    judged: str | None = None


class Entry(NamedTuple):
    """A row's entry. ``asked``: its fingerprint; ``judged``: of the run that read its answer."""

    asked: int
    judged: str
    run: str
    shard: int
    known: Known


class Remembered(msgspec.Struct, frozen=True):
    """What is known on the whole; the content of ``before.json``.

    Attributes:
        rows: Rows in the table.
        runs: Runs that entries lie in, the newest first.
        judged: Fingerprints that entries refer to by index.
        sizes: Of each run's shards that entries lie in: ``"<run index>/<shard>"`` -> rows.
        tried: This run asks and reads as an earlier one did that has good rows: no canary is needed.
    """

    rows: int
    runs: tuple[str, ...]
    judged: tuple[str, ...]
    sizes: dict[str, int]
    tried: bool


_REMEMBERED = msgspec.json.Decoder(Remembered)
_ROW = msgspec.json.Decoder(DataRow)
_OUTCOME = msgspec.json.Decoder(Outcome)
_ORIGIN = msgspec.json.Decoder(Origin)
_TYPE = np.dtype(
    [("mark", "<u8"), ("asked", "<u8"), ("shard", "<u4"), ("run", "<u2"), ("judged", "<u2"), ("known", "<u4")]
)
_ANSWERED_AT = ("decode", "match", "upload")
_NO_ANSWER = "unaccounted"


class _Head(msgspec.Struct):
    """Of a status file: how the run ended."""

    state: str = ""
    export_complete: bool = False


_HEAD = msgspec.json.Decoder(_Head)


def remember(context: Context) -> Remembered | None:
    """Make the run's table; None: nothing is known of any row. Called again, it finds the table made.

    Raises:
        NotFoundError: The run is to do some rows of an earlier one again, and nothing is known of any.
        StorageError: Storage did not answer.
    """
    path = context.files.before
    try:
        return _REMEMBERED.decode(context.store.get(f"{path}.json"))
    except NotFoundError:
        pass
    own = fingerprints.stored(context.store, context.files)
    made = None if own is None else build(context.store, context.spec, in_force(context), own)
    if own is None or made is None:
        if context.spec.rerun in ("failed", "retryable", "named"):
            raise NotFoundError(
                "Nothing is known any more of the rows of the run that is to be tried again: its files are gone.",
                code="nothing_known",
                hint="Run the model on all rows again: vmi run ... --again.",
            )
        return None
    table, remembered = made
    out = io.BytesIO()
    np.save(out, table, allow_pickle=False)
    context.store.put(f"{path}.npy", out.getvalue())
    _same_decoder(context, remembered, own)
    context.store.put(f"{path}.json", msgspec.json.encode(remembered))
    return remembered


def _same_decoder(context: Context, remembered: Remembered, own: fingerprints.Fingerprints) -> None:
    """The decoder that was found by the first answers of the newest run is this run's too: a few new answers may be too
    few to tell."""
    if context.spec.option.decoder is not None or not remembered.runs:
        return
    try:
        before = read_spec(context.store.get(Files(remembered.runs[0]).spec))
    except (NotFoundError, ConflictError):
        return
    then = fingerprints.stored(context.store, Files(before.run_id))
    asked = then is not None and then.asked == own.asked
    if asked and before.option.decoder is None and before.option.mapping == context.spec.option.mapping:
        context.store.copy(f"{Files(before.run_id).folder}/decoder.json", f"{context.files.folder}/decoder.json")


def place_names(spec: RunSpec, destinations: tuple[str, ...]) -> tuple[str, ...]:
    """Destinations so that two of one name are one place: a project with its id."""
    return tuple(f"project:{spec.delivery.project}" if name == "project" else name for name in destinations)


def build(
    store: Store, spec: RunSpec, destinations: tuple[str, ...], own: fingerprints.Fingerprints
) -> tuple[np.ndarray[Any, Any], Remembered] | None:
    """The table of what runs before ``spec``'s know; None: nothing.

    Args:
        store: The runs' files.
        spec: The run that is about to begin.
        destinations: In force for it.
        own: Its fingerprints.

    Raises:
        StorageError: Storage did not answer.
    """
    wanted = frozenset(place_names(spec, destinations))
    builder = _Builder(store, wanted)
    for attempt in range(spec.attempt - 1, max(-1, spec.attempt - 1 - _MOST_RUNS), -1):
        if builder.read(run_id_of(spec.model_run_id, spec.option.name, attempt)):
            break
    return builder.table(own)


class _Builder:
    def __init__(self, store: Store, wanted: frozenset[str]) -> None:
        self._store = store
        self._wanted = wanted
        self._parts: list[np.ndarray[Any, Any]] = []
        self._runs: list[str] = []
        self._judged: dict[str, int] = {}
        self._sizes: dict[str, int] = {}
        self._asked: list[str] = []

    def read(self, run_id: str) -> bool:
        """Take a run's rows; whether runs before it can be left alone."""
        files = Files(run_id)
        prints = fingerprints.stored(self._store, files)
        if prints is None:
            return False
        try:
            spec = read_spec(self._store.get(files.spec))
            head = _HEAD.decode(self._store.get(files.status))
        except (NotFoundError, ConflictError, msgspec.MsgspecError):
            return False  # nothing is known of what another release wrote in its own way
        there = {kind: self._shards(files, kind) for kind in ("rows", "staged", "answers", "decoded", "predictions")}
        origins, earlier = self._shards(files, "origins"), self._shards(files, "earlier")
        number = len(self._runs)
        self._runs.append(run_id)
        self._asked.append(prints.asked)
        for shard in sorted(self._shards(files, "outcomes")):
            if shard not in there["rows"]:
                continue
            before = {}
            if shard in origins:
                lines = self._store.lines(files.shard("origins", shard))
                before = {origin.data_row_id: origin for origin in map(_ORIGIN.decode, lines)}
            rows = {row.id: row for row in map(_ROW.decode, self._store.lines(files.shard("rows", shard)))}
            kept = Known(0)
            if shard in there["staged"] and shard in there["answers"]:
                kept |= Known.ANSWERED
            if shard in there["decoded"] and shard in there["predictions"]:
                kept |= Known.GOOD | Known.SENT
            if shard in earlier:
                kept |= Known.SENT
            self._shard(number, spec, prints, shard, rows, before, kept)
        return head.state == "COMPLETE" and head.export_complete

    def _shards(self, files: Files, kind: str) -> set[int]:
        names = (entry.path.rsplit("/", 1)[-1] for entry in self._store.entries(f"{files.folder}/{kind}"))
        return {int(found.group(1)) for found in (re.fullmatch(r"(\d+)\.(?:nd)?jsonl?", n) for n in names) if found}

    def _shard(
        self,
        number: int,
        spec: RunSpec,
        prints: fingerprints.Fingerprints,
        shard: int,
        rows: dict[str, DataRow],
        before: dict[str, Origin],
        kept: Known,
    ) -> None:
        outcomes = list(map(_OUTCOME.decode, self._store.lines(Files(spec.run_id).shard("outcomes", shard))))
        table = np.zeros(len(outcomes), _TYPE)
        usual = frozenset(place_names(spec, spec.delivery.destinations or ("model-run",)))
        count = 0
        for outcome in outcomes:
            row = rows.get(outcome.data_row_id)
            if row is None:
                continue  # its line could not be read; it is new each time
            origin = before.get(row.id)
            asked = row_fingerprint(prints.asked, row) if origin is None or origin.asked is None else origin.asked
            judged = prints.judged if origin is None or origin.judged is None else origin.judged
            known = self._known(outcome, spec, usual, kept)
            judged_at = self._judged.setdefault(judged, len(self._judged))
            table[count] = (mark(row.id), asked, shard, number, judged_at, int(known))
            count += 1
        self._sizes[f"{number}/{shard}"] = len(outcomes)
        self._parts.append(table[:count])

    def _known(self, outcome: Outcome, spec: RunSpec, usual: frozenset[str], kept: Known) -> Known:
        known = Known(0)
        if outcome.status in (OutcomeStatus.PREDICTED, OutcomeStatus.EMPTY):
            known = Known.ANSWERED
            places = frozenset(place_names(spec, outcome.delivered)) or usual
            if outcome.status is OutcomeStatus.EMPTY or places >= self._wanted:
                known |= Known.GOOD
        elif outcome.status is OutcomeStatus.FAILED:
            known = Known.FAILED | (Known.RETRYABLE if outcome.retryable else Known(0))
            if outcome.step in _ANSWERED_AT and outcome.code != _NO_ANSWER:
                known |= Known.ANSWERED
        known |= Known.SENT
        lost = (Known.ANSWERED | Known.GOOD | Known.SENT) & ~kept
        if Known.GOOD in known and Known.ANSWERED in lost:
            known &= ~Known.GOOD  # it could not be carried over whole
        return known & ~lost

    def table(self, own: fingerprints.Fingerprints) -> tuple[np.ndarray[Any, Any], Remembered] | None:
        """All that was read as one table, a row once."""
        if not any(len(part) for part in self._parts):
            return None
        every = np.concatenate(self._parts)
        newest = every[np.unique(every["mark"], return_index=True)[1]]  # runs were read from the newest on
        answered = every[(every["known"] & int(Known.ANSWERED)) != 0]
        best = answered[np.unique(answered["mark"], return_index=True)[1]]
        # How a row ended is told by the newest run that had it, where its answer lies by the newest that has one.
        place = np.searchsorted(newest["mark"], best["mark"])
        how = int(Known.FAILED | Known.RETRYABLE)
        ended = newest["known"][place] & how
        newest[place] = best
        newest["known"][place] = (best["known"] & ~np.uint32(how)) | ended
        good = newest[(newest["known"] & int(Known.GOOD)) != 0]
        judged = self._judged.get(own.judged, -1)
        same = [number for number, asked in enumerate(self._asked) if asked == own.asked]
        tried = bool(np.any(np.isin(good["run"], same) & (good["judged"] == judged)))
        remembered = Remembered(len(newest), tuple(self._runs), tuple(self._judged), self._sizes, tried)
        return newest, remembered


class Memory:
    """A run's table, looked up row by row; safe to share between threads.

    Args:
        table: As ``build`` makes it, rising by ``mark``.
        remembered: What goes with it.
    """

    def __init__(self, table: np.ndarray[Any, Any], remembered: Remembered) -> None:
        self.remembered = remembered
        self._marks = np.ascontiguousarray(table["mark"])
        self._table = table

    def find(self, row_id: str) -> Entry | None:
        """What is known of a row; None: it is new."""
        wanted = np.uint64(mark(row_id))
        place = int(self._marks.searchsorted(wanted))
        if place >= len(self._marks) or self._marks[place] != wanted:
            return None
        _, asked, shard, run, judged, known = self._table[place].item()
        about = self.remembered
        return Entry(asked, about.judged[judged], about.runs[run], shard, Known(known))

    def size(self, run: str, shard: int) -> int:
        """Rows of an earlier run's shard."""
        return self.remembered.sizes.get(f"{self.remembered.runs.index(run)}/{shard}", -1)


_LOADED: OrderedDict[str, Memory] = OrderedDict()
_LOCK = threading.Lock()
_MOST_LOADED = 4


def memory_of(context: Context) -> Memory | None:
    """The run's table as ``remember`` wrote it, kept in this process; None: it wrote none.

    Raises:
        StorageError: Storage did not answer.
    """
    key = context.store.uri(context.files.before)
    with _LOCK:
        found = _LOADED.get(key)
        if found is not None:
            _LOADED.move_to_end(key)
            return found
        try:
            remembered = _REMEMBERED.decode(context.store.get(f"{context.files.before}.json"))
        except NotFoundError:
            return None
        raw = context.store.get(f"{context.files.before}.npy")
        found = _LOADED[key] = Memory(np.load(io.BytesIO(raw), allow_pickle=False), remembered)
        while len(_LOADED) > _MOST_LOADED:
            _LOADED.popitem(last=False)
        return found
