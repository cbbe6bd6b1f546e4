"""What no run needs any more: intermediate files of ended runs, and copied assets that no kept run refers to.

What stays of a run for ever: what it was (spec, ontology, fingerprints), how it ended (status, verdict, outcomes), and
its evaluation. The newest run of each model run and model that ended well, and those after it, also keep what the next
one needs: their rows, answers and predictions, without which it would ask the model for all rows again and send every
annotation twice. A run that has not ended loses nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice

import msgspec
import numpy as np

from vertex_model_inference.errors import NotFoundError, StorageError
from vertex_model_inference.runs.progress import read_status
from vertex_model_inference.runs.status import RunState, RunStatus
from vertex_model_inference.spec import Files
from vertex_model_inference.steps.fingerprints import mark
from vertex_model_inference.storage.store import Entry, Store
from vertex_model_inference.storage.sweeping import sweep

__all__ = ["Removable", "RunRemovable", "collect", "removable"]

_FOLDERS = frozenset(
    (
        "rows", "labels", "staged", "jobs", "answers", "predictions", "decoded", "ended", "label_masks",
        "predicted_masks", "metrics", "batches", "groups", "origins", "earlier",
    )
)  # fmt: skip
"""Not ``frames/``, which is small: later runs' ``staged/`` goes on naming the file of the run that wrote it."""
_FILES = frozenset(("before.npy", "before.json", "decoder.json"))
_NEXT = frozenset(
    (
        "rows", "labels", "staged", "answers", "predictions", "decoded", "origins", "earlier", "label_masks",
        "predicted_masks",
    )
)  # fmt: skip
"""Of a run that the next one builds on these stay."""
_NEXT_FILES = frozenset(("decoder.json",))
_ASSETS = "assets"
_AT_ONCE = 16
_PIECE = 512


class _Staged(msgspec.Struct):
    uri: str | None = None


_STAGED = msgspec.json.Decoder(_Staged)


class RunRemovable(msgspec.Struct, frozen=True):
    """What can go of a run: ``files`` and their ``bytes``; ``next``: it keeps what the next run needs."""

    run_id: str
    ended_at: str
    files: int
    bytes: int
    next: bool


class Removable(msgspec.Struct, frozen=True, kw_only=True):
    """What can go.

    Attributes:
        runs: Of which something can go.
        going_on: Runs that have not ended: nothing of theirs can go, and no asset while there is one.
        assets: How many that no kept run refers to; ``asset_bytes``: their size. None: a run goes on.
        kept_assets: How many are referred to.
        removed_files: Files of runs that were removed; ``removed_assets`` likewise. 0: nothing was done but looking.
    """

    runs: tuple[RunRemovable, ...]
    going_on: tuple[str, ...]
    assets: int | None
    asset_bytes: int
    kept_assets: int
    removed_files: int = 0
    removed_assets: int = 0


class _Chains:
    """All runs, as far as it matters what can go of them."""

    def __init__(self, store: Store, older_than: timedelta) -> None:
        self._store = store
        self._limit = datetime.now(UTC) - older_than
        self.statuses: dict[str, RunStatus] = {}
        self.going_on: list[str] = []
        for run_id in store.folders("runs"):
            status = read_status(store, run_id)
            if status is not None and status.state.ended:
                self.statuses[run_id] = status
            else:
                self.going_on.append(run_id)
        self.needed = set(self._needed())

    def _needed(self) -> Iterator[str]:
        """Runs that the next ones of their model runs and models build on."""
        chains: dict[tuple[str, str], list[RunStatus]] = {}
        for status in self.statuses.values():
            chains.setdefault((status.model_run_id, status.option), []).append(status)
        for chain in chains.values():
            for status in sorted(chain, key=lambda each: _attempt(each.run_id), reverse=True):
                yield status.run_id
                if status.state is RunState.COMPLETE and status.export_complete:
                    break

    def old(self, run_id: str) -> bool:
        """Whether a run ended before the limit."""
        status = self.statuses[run_id]
        moment = status.ended_at or status.updated_at or status.created_at
        return bool(moment) and datetime.fromisoformat(moment) < self._limit

    def files(self, run_id: str) -> Iterator[Entry]:
        """What can go of an ended run that is old enough."""
        folder = Files(run_id).folder
        needed = run_id in self.needed
        for entry in self._store.entries(folder):
            kind, _, rest = entry.path.removeprefix(f"{folder}/").partition("/")
            known = kind in _FOLDERS if rest else kind in _FILES
            wanted = needed and (kind in _NEXT if rest else kind in _NEXT_FILES)
            if known and not wanted:
                yield entry


def _attempt(run_id: str) -> int:
    number = run_id.rpartition("-")[2]
    return int(number) if number.isdigit() else -1


def removable(store: Store, older_than: timedelta) -> Removable:
    """Look what can go, and remove nothing.

    Args:
        store: The artifacts.
        older_than: Files of runs that ended less long ago stay.

    Raises:
        StorageError: Storage did not answer.
    """
    return _go_through(store, older_than, remove=False)


def collect(store: Store, older_than: timedelta) -> Removable:
    """Remove what can go. Killed in the middle, it leaves what the next call finds to remove.

    Args:
        store: The artifacts.
        older_than: Files of runs that ended less long ago stay.

    Raises:
        ConflictError: Another process removes assets.
        StorageError: Storage did not answer, or refuses to remove.
    """
    return _go_through(store, older_than, remove=True)


def _go_through(store: Store, older_than: timedelta, *, remove: bool) -> Removable:
    chains = _Chains(store, older_than)
    runs = []
    removed = 0
    gone: set[str] = set()
    for run_id in chains.statuses:
        if not chains.old(run_id):
            continue
        entries = list(chains.files(run_id))
        if not entries:
            continue
        if run_id not in chains.needed:
            gone.add(run_id)
        status = chains.statuses[run_id]
        runs.append(
            RunRemovable(
                run_id,
                status.ended_at or "",
                len(entries),
                sum(entry.size for entry in entries),
                run_id in chains.needed,
            )
        )
        if remove:
            removed += _remove(store, iter(entries))
    found = Removable(
        runs=tuple(runs),
        going_on=tuple(chains.going_on),
        assets=None,
        asset_bytes=0,
        kept_assets=0,
        removed_files=removed,
    )
    if chains.going_on:
        return found
    if not remove:
        wanted, unwanted, size, _ = _assets(store, gone)
        return msgspec.structs.replace(found, assets=unwanted, asset_bytes=size, kept_assets=wanted)
    with sweep(store) as going:
        # A run that began since then is seen now; one that begins from now on waits.
        chains = _Chains(store, older_than)
        if chains.going_on:
            return msgspec.structs.replace(found, going_on=tuple(chains.going_on))
        wanted, unwanted, size, assets = _assets(store, gone)
        taken = 0
        while piece := list(islice(assets, _PIECE)):
            going.go_on()
            taken += _remove(store, iter(piece))
    return msgspec.structs.replace(found, assets=unwanted, asset_bytes=size, kept_assets=wanted, removed_assets=taken)


def _remove(store: Store, entries: Iterator[Entry]) -> int:
    removed = 0
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="gc") as pool:
        for _ in pool.map(store.delete, [entry.path for entry in entries]):
            removed += 1
    return removed


def _assets(store: Store, gone: set[str]) -> tuple[int, int, int, Iterator[Entry]]:
    """How many assets are referred to, how many are not, bytes of these, and these.

    What is held of a million references are 8 bytes each.
    """
    marks: list[np.ndarray[tuple[int], np.dtype[np.uint64]]] = []
    prefix = f"{store.root}/{_ASSETS}/"
    for run_id in store.folders("runs"):
        if run_id in gone:
            continue
        for entry in store.entries(f"{Files(run_id).folder}/staged"):
            if not re.search(r"/\d+\.jsonl$", entry.path):
                continue
            try:
                uris = [_STAGED.decode(line).uri or "" for line in store.lines(entry.path)]
            except NotFoundError:
                continue
            except msgspec.MsgspecError as error:
                # What cannot be read may refer to anything.
                raise StorageError(
                    f"{store.uri(entry.path)} cannot be read ({error}), so what it refers to is unknown; no asset was "
                    "removed.",
                    hint="Remove that run's folder if it is not needed, then run `vmi gc` again.",
                ) from None
            mine = [mark(uri.removeprefix(f"{store.root}/")) for uri in uris if uri.startswith(prefix)]
            if mine:
                marks.append(np.unique(np.array(mine, np.uint64)))
    wanted = np.unique(np.concatenate(marks)) if marks else np.zeros(0, np.uint64)

    def unwanted() -> Iterator[Entry]:
        for entry in store.entries(_ASSETS):
            own = np.uint64(mark(entry.path))
            place = int(wanted.searchsorted(own))
            if place >= len(wanted) or wanted[place] != own:
                yield entry

    count = size = 0
    for entry in unwanted():
        count += 1
        size += entry.size
    return len(wanted), count, size, unwanted()
