"""Builds what a run's steps have at hand from the settings: the gateways of one process, shared by its runs."""

from __future__ import annotations

import threading
from collections.abc import Callable

from vertex_model_inference.labelbox.gateway import Labelbox
from vertex_model_inference.runs.flow import run_url
from vertex_model_inference.runs.progress import Progress
from vertex_model_inference.runs.status import RunStatus
from vertex_model_inference.settings import Settings
from vertex_model_inference.spec import RunSpec
from vertex_model_inference.steps.context import Context
from vertex_model_inference.storage.index import AssetIndex
from vertex_model_inference.storage.regions import Regions
from vertex_model_inference.storage.store import Buckets, Store, open_bucket, open_store
from vertex_model_inference.vertex.auth import GoogleAuth
from vertex_model_inference.vertex.jobs import BatchJobs
from vertex_model_inference.vertex.online import Predictions

__all__ = ["Surroundings", "artifacts_root", "open_artifacts", "open_labelbox"]


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


class Surroundings:
    """The gateways of one process, and the context and progress of each run that it works on.

    Args:
        settings: What is in force.
        labelbox: The gateway; made from the settings when None.
    """

    def __init__(self, settings: Settings, labelbox: Labelbox | None = None) -> None:
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
        self._jobs = BatchJobs(
            project=settings.project or "",
            location=settings.region,
            endpoint=settings.vertex_url,
            credentials=auth.credentials,
        )
        self._predictions = Predictions(endpoint=settings.vertex_url, token=lambda: auth()[0])
        self._lock = threading.Lock()
        self._runs: dict[str, tuple[Context, Progress]] = {}

    def of(self, spec: RunSpec, watch: Callable[[RunStatus], None] | None = None) -> tuple[Context, Progress]:
        """The run's context and progress; the same ones for the run and its groups."""
        with self._lock:
            found = self._runs.get(spec.run_id)
            if found is None:
                bare = Context(
                    spec=spec,
                    settings=self.settings,
                    labelbox=self.labelbox,
                    store=self.store,
                    buckets=self._buckets,
                    regions=self._regions,
                    index=self._index,
                    jobs=self._jobs,
                    predictions=self._predictions,
                )
                progress = Progress(spec, self.store, self.labelbox, run_url(bare), watch)
                found = self._runs[spec.run_id] = (bare.telling(progress.tell), progress)
            return found

    def forget(self, run_id: str) -> None:
        """The run has ended here."""
        with self._lock:
            found = self._runs.pop(run_id, None)
        if found is not None:
            found[1].close()

    def close(self) -> None:
        """Close every connection."""
        for run_id in list(self._runs):
            self.forget(run_id)
        self._index.close()
        self.labelbox.close()
