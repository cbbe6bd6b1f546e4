"""Builds what a run's steps have at hand from the settings: the gateways of one process, shared by its runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from vertex_model_inference.labelbox.gateway import Labelbox
from vertex_model_inference.runs.ending import run_url
from vertex_model_inference.runs.progress import Progress
from vertex_model_inference.runs.retries import note_retries
from vertex_model_inference.runs.status import RunStatus
from vertex_model_inference.runs.watching import Watcher
from vertex_model_inference.settings import Settings
from vertex_model_inference.spec import RunSpec
from vertex_model_inference.steps.context import Context
from vertex_model_inference.steps.pressure import Paces
from vertex_model_inference.storage.index import AssetIndex
from vertex_model_inference.storage.places import Buckets, open_bucket, open_store
from vertex_model_inference.storage.regions import Regions
from vertex_model_inference.storage.store import Store
from vertex_model_inference.vertex.auth import GoogleAuth
from vertex_model_inference.vertex.gemini import Gemini
from vertex_model_inference.vertex.jobs import BatchJobs
from vertex_model_inference.vertex.online import Predictions

__all__ = ["Surroundings", "artifacts_root", "open_artifacts", "open_jobs", "open_labelbox"]


def artifacts_root(settings: Settings) -> str:
    """Where runs' files and copied assets are: the bucket, or a folder of the data directory where there is none."""
    return f"gs://{settings.bucket}" if settings.bucket else str(settings.data_dir.absolute() / "files")


def open_artifacts(settings: Settings) -> Store:
    """The store of runs' files.

    Raises:
        SettingsError: No credentials for the bucket.
    """
    return open_store(artifacts_root(settings), endpoint=settings.storage_url, token=GoogleAuth(settings.google_token))


def open_labelbox(settings: Settings) -> Labelbox:
    """The gateway to Labelbox.

    Raises:
        SettingsError: No API key is set.
    """
    from vertex_model_inference.labelbox.client import LabelboxClient

    return LabelboxClient(settings)


def open_jobs(settings: Settings) -> BatchJobs:
    """The gateway to Vertex's batch prediction jobs; asks for credentials when first used."""
    return BatchJobs(
        project=settings.project or "",
        location=settings.region,
        endpoint=settings.vertex_url,
        credentials=GoogleAuth(settings.google_token).credentials,
    )


class Surroundings:
    """The gateways of one process, and the context and progress of each run that it works on.

    Args:
        settings: What is in force.
        labelbox: The gateway; made from the settings when None.

    Attributes:
        fresh: Whether this process may tell of its runs: nobody takes it for dead (``Presence.fresh``).
    """

    def __init__(self, settings: Settings, labelbox: Labelbox | None = None) -> None:
        note_retries()
        self.settings = settings
        auth = GoogleAuth(settings.google_token)
        self.store = open_artifacts(settings)
        if labelbox is None:
            labelbox = open_labelbox(settings)
        self.labelbox: Labelbox = labelbox
        endpoint = settings.storage_url
        self._buckets = Buckets(lambda name: open_bucket(name, endpoint=endpoint, token=auth))
        self._regions = Regions(endpoint=endpoint, token=auth)
        self._index = AssetIndex(settings.data_dir / "assets.sqlite", self.store.root)
        self.jobs = BatchJobs(
            project=settings.project or "",
            location=settings.region,
            endpoint=settings.vertex_url,
            credentials=auth.credentials,
        )
        self.predictions = Predictions(endpoint=settings.vertex_url, token=lambda: auth()[0])
        self._gemini = Gemini(
            project=settings.project or "",
            location=settings.region,
            endpoint=settings.vertex_url,
            credentials=auth.credentials,
        )
        self._paces = Paces()
        self._lock = threading.Lock()
        self._runs: dict[str, _Run] = {}
        self.fresh: Callable[[], bool] = lambda: True

    def of(
        self, spec: RunSpec, watch: Callable[[RunStatus], None] | None = None, *, lead: bool = True
    ) -> tuple[Context, Progress]:
        """The run's context and progress; the same ones for the run and its groups, until each has called ``forget``.

        Args:
            spec: The run.
            watch: Called with every new status.
            lead: The caller has the run itself, not only a group of it, and so tells how far it is.

        Raises:
            StorageError: Storage did not answer.
        """
        with self._lock:
            found = self._runs.get(spec.run_id)
            if found is None:
                found = self._runs[spec.run_id] = self._make(spec, watch)
            found.users += 1
        if lead:
            try:
                found.progress.lead()
            except BaseException:
                self.forget(spec.run_id)
                raise
        return found.context, found.progress

    def looking(self, spec: RunSpec) -> Context:
        """The context of a run that is only looked at: nothing watches it, and it tells nobody how far it is."""
        return Context(
            spec=spec,
            settings=self.settings,
            labelbox=self.labelbox,
            store=self.store,
            buckets=self._buckets,
            regions=self._regions,
            index=self._index,
            jobs=self.jobs,
            predictions=self.predictions,
            gemini=self._gemini,
            paces=self._paces,
        )

    def _make(self, spec: RunSpec, watch: Callable[[RunStatus], None] | None) -> _Run:
        bare = self.looking(spec)
        progress = Progress(spec, self.store, self.labelbox, run_url(bare), watch, self.fresh)
        watcher = Watcher(self.store, spec.run_id, bare.halt, progress.halted)
        watcher.begin()
        return _Run(bare.telling(progress.tell), progress, watcher)

    def forget(self, run_id: str, *, lead: bool = True) -> None:
        """The run, or a group of it (not ``lead``), has ended here."""
        with self._lock:
            found = self._runs.get(run_id)
            if found is None:
                return
            found.users -= 1
            if found.users <= 0:
                del self._runs[run_id]
                found.watcher.shut()
        if lead:
            found.progress.close()

    def hush(self) -> None:
        """Stop telling of every run: this process gives them up."""
        with self._lock:
            runs = list(self._runs.values())
        for run in runs:
            run.progress.close()

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            left = list(self._runs.values())
            self._runs.clear()
        for run in left:
            run.watcher.close()
            run.progress.close()
        self._index.close()
        self.labelbox.close()


@dataclass(slots=True)
class _Run:
    """What one run has here, and how many workflows of it use that."""

    context: Context
    progress: Progress
    watcher: Watcher
    users: int = 0
