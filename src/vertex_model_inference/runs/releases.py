"""Runs that another release of ours began: refused in words, and those of older ones ended, when nobody has them.

The engine leaves workflows of other versions alone. A run of a newer release waits for that; one of an older release
that nobody works on any more would wait for ever, and whoever presses the button again would only join it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import structlog

from vertex_model_inference.errors import ConflictError, VmiError
from vertex_model_inference.runs.cancel import stop_jobs
from vertex_model_inference.runs.database import ACTIVE, WORKFLOW, WORKFLOW_VERSION
from vertex_model_inference.runs.progress import read_status, write_status
from vertex_model_inference.runs.reading import idle_seconds
from vertex_model_inference.runs.status import RunState, now

if TYPE_CHECKING:
    from vertex_model_inference.runs.surroundings import Surroundings

__all__ = ["check_release", "end_in_words", "end_older"]

log = structlog.get_logger()

_QUEUED_S = 600.0
"""So long a run of an older release may wait in the queue for a process of that release."""
_LEFT_S = 120.0
"""Whoever works on a run writes its status each second, also an older release that is still at it."""


def _order(version: str | None) -> tuple[int, ...]:
    parts = (version or "").split(".")
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()


def check_release(dbos: Any, surroundings: Surroundings, run_id: str, version: str | None) -> None:
    """Make sure that a run which nobody works on can be carried on by this release.

    Args:
        dbos: ``DBOS``.
        surroundings: Of this process.
        run_id: The run, which has not ended.
        version: Of the workflow that it is.

    Raises:
        ConflictError: ``newer_release``; or ``older_release``: then the run has ended now, and can be run again.
        StorageError: Storage did not answer.
    """
    if version == WORKFLOW_VERSION:
        return
    status = read_status(surroundings.store, run_id)
    if status is not None and idle_seconds(status) < _LEFT_S:
        return  # its own release works on it
    if _order(version) > _order(WORKFLOW_VERSION):
        raise ConflictError(
            f"Run {run_id} was begun by a newer release of vmi (its workflow has version {version}, this release's "
            f"{WORKFLOW_VERSION}) and is not finished.",
            code="newer_release",
            hint="Carry it on with the newer release.",
        )
    words = _end(dbos, surroundings, run_id, version)
    raise ConflictError(words, code="older_release")


def end_older(dbos: Any, surroundings: Surroundings) -> list[str]:
    """End the runs of older releases that nobody works on; returns their ids.

    Raises:
        StorageError: Storage did not answer.
    """
    ended = []
    for status in dbos.list_workflows(name=WORKFLOW, status=list(ACTIVE), load_input=False, load_output=False):
        version = status.app_version
        if version == WORKFLOW_VERSION or _order(version) > _order(WORKFLOW_VERSION):
            continue
        known = read_status(surroundings.store, status.workflow_id)
        queued_s = time.time() - (status.created_at or 0) / 1000
        if queued_s >= _QUEUED_S if known is None else idle_seconds(known) >= _LEFT_S:
            _end(dbos, surroundings, status.workflow_id, version)
            ended.append(status.workflow_id)
    return ended


def _end(dbos: Any, surroundings: Surroundings, run_id: str, version: str | None) -> str:
    words = (
        f"Run {run_id} was begun by an older release of vmi (its workflow has version {version or 'unknown'}), and "
        f"this release ({WORKFLOW_VERSION}) cannot carry it on. Run the model on the model run again: rows that are "
        "done are not done again."
    )
    log.warning("a run of an older release is ended", run_id=run_id, version=version)
    dbos.cancel_workflow(run_id, cancel_children=True)
    try:
        stop_jobs(surroundings.store, run_id, surroundings.jobs)
    except VmiError as error:
        log.warning("jobs of the run may go on", run_id=run_id, cause=str(error))
    end_in_words(surroundings, run_id, words)
    return words


def end_in_words(surroundings: Surroundings, run_id: str, words: str) -> None:
    """End a run that cannot be carried on: FAILED, in its status file and in Labelbox. Its outcomes stay as they are.

    Raises:
        StorageError: Its status cannot be written.
    """
    status = read_status(surroundings.store, run_id)
    if status is None:
        return  # it never began: there is nothing to read of it
    try:
        surroundings.labelbox.set_status(
            status.model_run_id, RunState.FAILED.pipeline, error_message=words, metadata={}
        )
    except VmiError as error:
        log.warning("Labelbox not told of the end", run_id=run_id, cause=str(error))
    status.state, status.message, status.ended_at = RunState.FAILED, words, now()
    write_status(surroundings.store, status)
