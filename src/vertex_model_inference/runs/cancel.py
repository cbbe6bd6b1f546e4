"""Cancels a run: a small file beside the run's others, which the process that works on it sees within a second.

So a run can be cancelled from any process and machine that shares its store, whatever engine works on it, and a run
that is carried on after a crash is still cancelled. Where nobody works on the run, its jobs at Vertex are stopped here.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import structlog

from vertex_model_inference.errors import NotFoundError, VmiError
from vertex_model_inference.runs.database import queued
from vertex_model_inference.runs.marks import CancelMark, write_mark
from vertex_model_inference.runs.progress import read_status
from vertex_model_inference.runs.reading import idle_seconds, status_of
from vertex_model_inference.runs.status import RunState, RunStatus, now
from vertex_model_inference.runs.surroundings import open_artifacts, open_jobs
from vertex_model_inference.settings import Settings
from vertex_model_inference.spec import Files
from vertex_model_inference.storage.store import Store
from vertex_model_inference.vertex.jobs import BatchJobs, display_name_of

__all__ = ["ABANDONED_S", "Cancelling", "abandoned", "cancel_run", "stop_jobs"]

log = structlog.get_logger()

ABANDONED_S = 10.0
"""Whoever works on a run writes its status each second; after so many without, nobody is taken to."""


class Cancelling(NamedTuple):
    """What became of the request to cancel a run.

    Attributes:
        run_id: The run's whole id.
        asked: This request stops the run; False: it has ended, or somebody stopped it before.
        state: Of the run at this moment; None: it waits in the queue.
        abandoned: Nobody works on the run now: it ends once it is carried on.
        words: All that in plain sentences.
    """

    run_id: str
    asked: bool
    state: RunState | None
    abandoned: bool
    words: str


def abandoned(status: RunStatus) -> bool:
    """Whether nobody works on the run now, though it has not ended."""
    return not status.state.ended and idle_seconds(status) >= ABANDONED_S


def cancel_run(
    settings: Settings, run: str, *, by: str, why: str = "", store: Store | None = None, jobs: BatchJobs | None = None
) -> Cancelling:
    """Stop a run: nothing more is sent to its model, and its jobs at Vertex are cancelled.

    Returns within seconds; the run itself ends a little later, when the rows that have an answer are uploaded and
    Labelbox is told. Blocks: not for an event loop's own thread. A second call does no harm.

    Args:
        settings: What is in force.
        run: As of ``status_of``; of a run that still waits in the queue, its whole id.
        by: Who asks, for people.
        why: In their words, if they gave any.
        store: The artifacts, where the caller has them open.
        jobs: Vertex's jobs, likewise.

    Raises:
        NotFoundError: No run, or several, of that name.
        StorageError: Storage did not answer.
        VertexError: Nobody works on the run, and Vertex would not stop a job of it; the run is marked all the same.
    """
    store = store or open_artifacts(settings)
    try:
        status = status_of(store, run)
        run_id = status.run_id
    except NotFoundError:
        if not queued(settings.database_url, run):
            raise
        status, run_id = None, run
    if status is not None and status.state.ended:
        words = f"Run {run_id} has ended already ({status.state.value}): there is nothing to cancel."
        return Cancelling(run_id, asked=False, state=status.state, abandoned=False, words=words)
    before = write_mark(store, run_id, CancelMark(by=by, at=now(), why=why))
    said = f"Run {run_id} is being cancelled"
    if before is not None:
        reason = "by a budget of its model" if before.code == "budget" else f"by {before.by} since {before.at}"
        said = f"Run {run_id} is being stopped already, {reason}"
    if status is None:
        words = f"{said}: it waits in the queue and will end as soon as its turn comes, with nothing done."
        return Cancelling(run_id, asked=before is None, state=None, abandoned=False, words=words)
    # It may have been carried on in this moment: look again.
    status = read_status(store, run_id) or status
    if not abandoned(status):
        words = f"{said}: nothing more is sent to the model, and what is answered is uploaded."
        return Cancelling(run_id, asked=before is None, state=status.state, abandoned=False, words=words)
    stopped = stop_jobs(store, run_id, jobs or open_jobs(settings))
    jobs_said = f" {stopped} of its jobs at Vertex {'were' if stopped > 1 else 'was'} stopped." if stopped else ""
    words = f"{said}. No process works on it.{jobs_said} It ends when it is carried on: vmi resume {run_id}"
    return Cancelling(run_id, asked=before is None, state=status.state, abandoned=True, words=words)


def stop_jobs(store: Store, run_id: str, jobs: BatchJobs) -> int:
    """Cancel the run's jobs that go on; returns how many.

    Raises:
        VertexError: Vertex would not, or did not answer.
    """
    stopped = 0
    paths = (entry.path for entry in store.entries(Files(run_id).jobs_folder))
    groups = (re.search(r"/(\d+)\.instances\.jsonl$", path) for path in paths)
    for number in sorted(int(found[1]) for found in groups if found):
        job = jobs.find(display_name_of(run_id, number))
        if job is None or job.ended:
            continue
        log.info("cancelling a job", run_id=run_id, job=job.name, state=job.state)
        try:
            jobs.cancel(job.name)
        except VmiError:
            if not jobs.get(job.name).ended:
                raise
        else:
            stopped += 1
    return stopped
