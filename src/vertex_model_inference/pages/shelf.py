"""Where the runs are that the pages show: a store, and the folder in it that has a folder for each run."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from vertex_model_inference.errors import NotFoundError, VmiError
from vertex_model_inference.runs.progress import read_status
from vertex_model_inference.runs.status import RunStatus
from vertex_model_inference.spec import Files, RunSpec
from vertex_model_inference.storage.places import open_store
from vertex_model_inference.storage.store import Store

__all__ = ["Shelf", "open_shelf"]

_SPEC = msgspec.json.Decoder(RunSpec)
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
_READERS = 16
_ENDED_FOR_S = 30.0


class Shelf:
    """Finds and reads runs.

    Args:
        store: Where they are.
        folder: Path in the store of the folder that has a folder for each run; ``""``: the store's root.
        only: Names of the runs to show; None: all.
    """

    def __init__(self, store: Store, folder: str = "runs", only: tuple[str, ...] | None = None) -> None:
        self.store = store
        self._folder = folder
        self._only = only
        self._kept: dict[str, tuple[float, RunStatus]] = {}
        self._lock = threading.Lock()

    def files(self, name: str) -> Files:
        """Names of a run's files.

        Raises:
            NotFoundError: No run can have that name, or it is not among those to show.
        """
        if not _NAME.fullmatch(name) or (self._only is not None and name not in self._only):
            raise NotFoundError(f"There is no run {name[:100]!r} here.")
        return Files(name, folder=f"{self._folder}/{name}" if self._folder else name)

    def status(self, name: str) -> RunStatus:
        """How far a run is.

        Raises:
            NotFoundError: There is no such run.
            StorageError: Storage did not answer.
        """
        found = self._read(name)
        if found is None:
            raise NotFoundError(f"There is no run {name[:100]!r} here.")
        return found

    def spec(self, name: str) -> RunSpec | None:
        """What the run was asked to do; None: it has not begun, or another release wrote that file.

        Raises:
            StorageError: Storage did not answer.
        """
        try:
            return _SPEC.decode(self.store.get(self.files(name).spec))
        except (NotFoundError, msgspec.MsgspecError):
            return None

    def statuses(self) -> list[RunStatus]:
        """Every run, the newest first. Those that have ended are remembered for half a minute.

        Raises:
            StorageError: Storage did not answer.
        """
        names = self._only if self._only is not None else tuple(self.store.folders(self._folder))
        names = tuple(name for name in names if _NAME.fullmatch(name))
        now = time.monotonic()
        with self._lock:
            known = {name: kept[1] for name in names if (kept := self._kept.get(name)) and kept[0] > now}
        missing = [name for name in names if name not in known]
        if missing:
            with ThreadPoolExecutor(min(_READERS, len(missing)), thread_name_prefix="vmi-pages-status") as pool:
                read = zip(missing, pool.map(self._read, missing), strict=True)
                known |= {name: status for name, status in read if status is not None}
        return sorted(known.values(), key=lambda status: status.created_at, reverse=True)

    def _read(self, name: str) -> RunStatus | None:
        files = self.files(name)
        try:
            status = read_status(self.store, name, files)
        except msgspec.MsgspecError:
            raise VmiError(
                f"{self.store.uri(files.status)} is not a status of a run that this release can read.", code="status"
            ) from None
        if status is None:
            return None
        # The folder's name is what addresses of pages are made of, also where the folder is a renamed copy.
        status = msgspec.structs.replace(status, run_id=name)
        if status.state.ended:
            with self._lock:
                self._kept[name] = (time.monotonic() + _ENDED_FOR_S, status)
        return status


def open_shelf(folder: Path) -> Shelf:
    """The runs in a folder of this machine: a data folder, its ``files`` or ``runs``, or the folder of one run.

    Raises:
        NotFoundError: There is no such folder, or no run in it.
    """
    place = folder.resolve()
    if not place.is_dir():
        raise NotFoundError(f"There is no folder {folder}.", hint="Name a folder of runs, or of one run.")

    def none() -> tuple[str, None]:
        raise AssertionError("a folder of this machine needs no token")

    if (place / "spec.json").is_file() or (place / "status.json").is_file():
        return Shelf(open_store(str(place.parent), endpoint=None, token=none), "", (place.name,))
    for root, inner in ((place / "files", "runs"), (place, "runs"), (place, "")):
        runs = root / inner if inner else root
        if runs.is_dir() and any(runs.glob("*/status.json")):
            return Shelf(open_store(str(root), endpoint=None, token=none), inner)
    raise NotFoundError(
        f"There is no run in {folder}.", hint="Name the folder that has a folder with a status.json for each run."
    )
