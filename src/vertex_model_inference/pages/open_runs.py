"""The runs that are looked at: the index of each one's rows, and how its ontology names things."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import msgspec

from vertex_model_inference.errors import NotFoundError, StorageError
from vertex_model_inference.labelbox.vocabulary import Vocabulary
from vertex_model_inference.pages.row_files import RowFacts, read_rows, vocabulary_of
from vertex_model_inference.pages.row_index import RowIndex
from vertex_model_inference.pages.row_query import IndexedRow, find
from vertex_model_inference.pages.shelf import Shelf
from vertex_model_inference.runs.status import RunStatus

__all__ = ["OpenRun", "OpenRuns"]

_MOST = 64
_AGAIN_S = 5.0
_RUNNING_S, _ENDED_S = 1.0, 10.0
"""How old an index may be."""


class OpenRun(NamedTuple):
    """A run that is looked at; ``fresh``: ``rows`` holds all that its files do."""

    status: RunStatus
    rows: RowIndex
    fresh: bool


class OpenRuns:
    """Opens runs.

    Args:
        shelf: Where they are.
        folder: For the indexes; files of runs that were not looked at for long go when there are many.
    """

    def __init__(self, shelf: Shelf, folder: Path) -> None:
        self._shelf = shelf
        self._folder = folder
        self._indexes: OrderedDict[str, RowIndex] = OrderedDict()
        self._names: dict[str, tuple[bool, Vocabulary]] = {}
        self._ended: dict[str, float] = {}
        self._lock = threading.Lock()

    def open(self, name: str, *, wait_s: float = 1.5) -> OpenRun:
        """The run with an index that is brought up to date meanwhile, and waited for a moment.

        Raises:
            NotFoundError: There is no such run.
            StorageError: Storage did not answer.
        """
        status = self._shelf.status(name)
        index = self._index(name)
        every_s = _RUNNING_S
        if status.state.ended:
            # What was read before the end was seen does not count: the last rows came with it.
            seen = self._ended.setdefault(name, time.monotonic())
            every_s = min(_ENDED_S, time.monotonic() - seen)
        else:
            self._ended.pop(name, None)
        fresh = index.keep_up(every_s=every_s, wait_s=wait_s)
        return OpenRun(status, index, fresh)

    def names(self, run: OpenRun) -> Vocabulary:
        """How its ontology names things."""
        key = run.rows.files.folder
        known = self._names.get(key)
        if known is None or not known[0]:
            known = run.rows.done > 0, vocabulary_of(self._shelf.store, run.rows.files)
            self._names[key] = known
        return known[1]

    def row(self, run: OpenRun, row_id: str) -> IndexedRow:
        """A row by its id.

        Raises:
            NotFoundError: The run has no such row, as far as is known.
        """
        with run.rows.reading() as db:
            found = find(db, row_id)
        if found is None:
            raise NotFoundError(f"The run has no data row {row_id[:100]!r}.")
        return found

    def facts(self, run: OpenRun, rows: list[IndexedRow]) -> list[RowFacts]:
        """Everything that the run knows of some rows.

        Files that have changed since the index was made (``vmi evaluate`` writes some anew) are indexed once more.

        Raises:
            NotFoundError: Rows are gone, or the files change all the time.
            StorageError: Storage did not answer.
        """
        store, index = self._shelf.store, run.rows
        try:
            return read_rows(store, index.files, rows, self.names(run))
        except (NotFoundError, StorageError, msgspec.MsgspecError):
            index.keep_up(every_s=0.0, wait_s=_AGAIN_S)
        try:
            return read_rows(store, index.files, [self.row(run, row.id) for row in rows], self.names(run))
        except msgspec.MsgspecError:
            raise NotFoundError(
                "The run's files are being written while they are read.", hint="Load the page again."
            ) from None

    def _index(self, name: str) -> RowIndex:
        with self._lock:
            found = self._indexes.get(name)
            if found is None:
                files = self._shelf.files(name)
                place = hashlib.blake2b(self._shelf.store.uri(files.folder).encode(), digest_size=12).hexdigest()
                found = self._indexes[name] = RowIndex(self._folder / f"{place}.sqlite", self._shelf.store, files)
                self._tidy(keep=place)
            self._indexes.move_to_end(name)
            while len(self._indexes) > _MOST:
                self._indexes.popitem(last=False)
            return found

    def _tidy(self, keep: str) -> None:
        try:
            files = sorted(self._folder.glob("*.sqlite"), key=lambda path: path.stat().st_mtime)
        except OSError:
            return
        for path in files[: max(0, len(files) - 2 * _MOST)]:
            if path.stem != keep:
                for suffix in ("", "-wal", "-shm"):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
