"""The options at hand, so that Labelbox's ``GET /models`` never waits for Google.

The registry is read by a background thread and kept on disk; a restart has the last known menu at once. Only the first
fill ever is waited for, and that for a bounded time.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from vertex_model_inference.errors import VmiError
from vertex_model_inference.models import ModelOption
from vertex_model_inference.settings import Settings
from vertex_model_inference.vertex.auth import GoogleAuth
from vertex_model_inference.vertex.options import Options, build_options
from vertex_model_inference.vertex.registry import Registry, Snapshot, VertexRegistry

__all__ = ["Catalog"]

log = structlog.get_logger("vmi.catalog")

FIRST_FILL_S = 3.0
FRESH_S = 60.0
RECHECK_S = 2.0
_EVERY_S = 300.0
_NO_BUCKET = "Batch jobs need a bucket: set VMI_BUCKET."


class _Kept(msgspec.Struct, frozen=True):
    """The file: what the registry had, when (seconds since the epoch), and which service said so."""

    at: float
    url: str
    snapshot: Snapshot


class Catalog:
    """Options from the registry and ``vmi.toml``. Thread-safe.

    Args:
        settings: In force.
        registry: Where models come from; None: the settings' project has none (no project set).
        batch_problem: Says why no batch job can run at all, e.g. the bucket's region; called in the background thread.
    """

    def __init__(
        self, settings: Settings, registry: Registry | None, batch_problem: Callable[[], str | None] | None = None
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._batch_problem = batch_problem
        self._path = settings.data_dir / "catalog.json"
        self._changed = threading.Condition()
        self._kept: _Kept | None = self._read()
        self._why_no_batch: str | None = None if settings.bucket else _NO_BUCKET
        self._options = self._build()
        self._tried = 0  # fetches that have ended, well or not
        self._wanted = False
        self._stopping = False
        self._thread: threading.Thread | None = None
        self.problem: VmiError | None = None

    @classmethod
    def of(cls, settings: Settings, batch_problem: Callable[[], str | None] | None = None) -> Catalog:
        """The catalog that the settings describe."""
        registry = None
        if settings.project:
            registry = VertexRegistry(
                project=settings.project,
                region=settings.region,
                endpoint=settings.vertex_url,
                headers=GoogleAuth(settings.google_token).headers,
            )
        return cls(settings, registry, batch_problem)

    def start(self) -> None:
        """Begin to keep the options fresh in a background thread; a second call does nothing."""
        with self._changed:
            if self._thread is not None or self._registry is None:
                return
            self._wanted = True
            self._stopping = False
            self._thread = threading.Thread(target=self._keep_fresh, name="vmi-catalog", daemon=True)
            self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End the background thread; a fetch under way is waited for at most ``timeout_s``."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(timeout_s)

    @property
    def age_s(self) -> float | None:
        """Seconds since the registry was last read; None: never."""
        kept = self._kept
        return None if kept is None else max(0.0, time.time() - kept.at)

    @property
    def filled(self) -> bool:
        """Whether ``options`` answers at once: the registry has been read, now or earlier, or there is none."""
        return self._kept is not None or self._registry is None

    def options(self, wait_s: float = FIRST_FILL_S) -> Options:
        """The options now. Waits only when the registry has never been read, at most ``wait_s``.

        Asking also makes the background thread look again when what is known is over a minute old; two seconds where
        there was nothing to choose: whoever sees an empty menu is about to add a model and look again.
        """
        with self._changed:
            fresh_s = FRESH_S if self._options.names else RECHECK_S
            if self._registry is not None and (self.age_s or fresh_s) >= fresh_s:
                self._want()
                if self._kept is None:
                    self._changed.wait_for(lambda: self._tried > 0 or self._stopping, wait_s)
            return self._options

    def known(self, name: str) -> ModelOption | None:
        """The option of that name among those at hand; never waits, never asks."""
        return self._options.find(name)

    def find(self, name: str, wait_s: float = RECHECK_S) -> ModelOption | None:
        """The option of that name; a name that is not known is looked for once more in the registry, if that was not
        read in the last two seconds, at most ``wait_s``.
        """
        found = self.options().find(name)
        if found is None and self._registry is not None and self._thread is not None:
            with self._changed:
                if (self.age_s or RECHECK_S) >= RECHECK_S:
                    tried = self._tried
                    self._want()
                    self._changed.wait_for(lambda: self._tried > tried or self._stopping, wait_s)
                found = self._options.find(name)
        return found

    def refresh(self) -> Options:
        """Read the registry now and wait for it, for the command line.

        Raises:
            VmiError: It could not be read.
        """
        self._fetch()
        if self.problem is not None:
            raise self.problem
        return self._options

    # -- inside -------------------------------------------------------------------------------------------------

    def _want(self) -> None:
        self._wanted = True
        self._changed.notify_all()

    def _keep_fresh(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted or self._stopping, _EVERY_S)
                if self._stopping:
                    return
                self._wanted = False
            self._fetch()
            if self.problem is not None:  # who calls refresh() is told; here nobody else would say it
                log.warning("the models could not be listed", error=self.problem.message, hint=self.problem.hint)

    def _fetch(self) -> None:
        problem: VmiError | None = None
        kept = None
        why_no_batch = self._why_no_batch
        try:
            if self._registry is not None:
                kept = _Kept(time.time(), self._settings.vertex_url, self._registry.fetch())
            if self._settings.bucket and self._batch_problem is not None:
                why_no_batch = self._batch_problem()
        except VmiError as error:
            problem = error
        except Exception as error:  # a thread that dies silently would freeze the menu
            problem = VmiError(f"The models could not be listed: {type(error).__name__}.", code="catalog")
            log.warning("the models could not be listed", exc_info=True)
        if kept is not None:
            self._write(kept)
        with self._changed:
            self.problem = problem
            self._kept = kept or self._kept
            self._why_no_batch = why_no_batch
            self._options = self._build()
            self._tried += 1
            self._changed.notify_all()

    def _build(self) -> Options:
        return build_options(
            self._kept.snapshot if self._kept else None,
            self._settings.models,
            only=self._settings.model_name,
            batch_problem=self._why_no_batch,
        )

    def _read(self) -> _Kept | None:
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        except (OSError, msgspec.MsgspecError):
            return None  # never written, or by another version: the registry has it all
        settings = self._settings
        same = (kept.url, kept.snapshot.project, kept.snapshot.region) == (
            settings.vertex_url,
            settings.project,
            settings.region,
        )
        return kept if same and self._registry is not None else None

    def _write(self, kept: _Kept) -> None:
        part = self._path.with_name(f"catalog.{os.getpid()}.{threading.get_ident()}.part")
        try:
            Path(self._path.parent).mkdir(parents=True, exist_ok=True)
            part.write_bytes(msgspec.json.encode(kept))
            part.replace(self._path)
        except OSError as error:
            # The menu works without the file; only the next start will have to ask Google first.
            log.warning("the model list could not be kept", path=str(self._path), error=error.strerror)
