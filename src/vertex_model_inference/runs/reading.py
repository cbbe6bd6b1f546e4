"""Reads runs from their files: what ran, how far it is, how each row ended. Needs no engine and no database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from vertex_model_inference.errors import NotFoundError
from vertex_model_inference.outcomes import Outcome, OutcomeStatus
from vertex_model_inference.runs.progress import read_status
from vertex_model_inference.runs.status import RunStatus
from vertex_model_inference.runs.surroundings import open_artifacts
from vertex_model_inference.settings import Settings
from vertex_model_inference.spec import Files
from vertex_model_inference.storage.places import open_store
from vertex_model_inference.storage.store import Store
from vertex_model_inference.vertex.auth import GoogleAuth

__all__ = ["all_runs", "idle_seconds", "open_run", "outcomes_of", "seconds_since", "status_of"]


def all_runs(store: Store) -> list[RunStatus]:
    """Every run, the newest first.

    Raises:
        StorageError: Storage did not answer.
    """
    found = (read_status(store, run_id) for run_id in store.folders("runs"))
    return sorted((status for status in found if status is not None), key=lambda s: s.created_at, reverse=True)


def status_of(store: Store, run: str) -> RunStatus:
    """One run's status.

    Args:
        store: The artifacts.
        run: Run id, the beginning of one that is unique, or a model run id (its newest run).

    Raises:
        NotFoundError: No run, or several, of that name.
    """
    if "/" not in run:
        exact = read_status(store, run)
        if exact is not None:
            return exact
    ids = [run_id for run_id in store.folders("runs") if run_id.startswith(run)]
    statuses = [status for status in (read_status(store, run_id) for run_id in ids) if status is not None]
    same = [status for status in statuses if status.model_run_id == run]
    if same:
        return max(same, key=lambda status: status.created_at)
    if len(statuses) == 1:
        return statuses[0]
    if statuses:
        names = ", ".join(status.run_id for status in statuses[:5])
        raise NotFoundError(f"{run!r} is the beginning of several runs: {names}.", hint="Give more of the id.")
    raise NotFoundError(f"There is no run {run!r}.", hint="`vmi status` lists the runs.")


def open_run(settings: Settings, run: str) -> tuple[Store, Files]:
    """Where a run's files are.

    Args:
        settings: What is in force.
        run: As of ``status_of``; or the folder of a run, or of a copy of one: a path, or a ``gs://`` URI.

    Raises:
        NotFoundError: No run, or several, of that name.
        StorageError: Storage did not answer.
    """
    place = run.rstrip("/")
    if run.startswith("gs://") and place.count("/") > 2:
        root, _, name = place.rpartition("/")
        store = open_store(root, endpoint=settings.storage_url, token=GoogleAuth(settings.google_token))
    elif Path(run).is_dir():
        folder = Path(run).resolve()
        store = open_store(str(folder.parent), endpoint=None, token=GoogleAuth(settings.google_token))
        name = folder.name
    else:
        store = open_artifacts(settings)
        return store, Files(status_of(store, run).run_id)
    return store, Files(name, folder=name)


def idle_seconds(status: RunStatus) -> float:
    """Seconds since a process last wrote the status; a run that goes on writes each second."""
    return seconds_since(status.updated_at)


def seconds_since(moment: str) -> float:
    """Seconds since a moment that is written as RFC 3339."""
    return (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()


def outcomes_of(store: Store, run_id: str, *, failed: bool = False) -> Iterator[Outcome]:
    """The outcomes written so far, in the order of the export.

    Args:
        store: The artifacts.
        run_id: The run.
        failed: Only rows that failed.
    """
    decoder = msgspec.json.Decoder(Outcome)
    for entry in sorted(store.entries(Files(run_id).outcomes_folder)):
        for line in store.lines(entry.path):
            outcome = decoder.decode(line)
            if not failed or outcome.status is OutcomeStatus.FAILED:
                yield outcome
