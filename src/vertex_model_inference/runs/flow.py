"""The life of a run, as plain code: which step follows which, and what becomes of rows when a step cannot go on.

How steps are made durable is the runner's business (``workflow.py``: DBOS; ``inline.py``: not at all, for hosts that
keep no state), so this file reads as the design tells the story.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple, ParamSpec, Protocol, TypeVar

import msgspec
import structlog

from vertex_model_inference.errors import LabelboxError, StorageError, VmiError
from vertex_model_inference.models import Predictor
from vertex_model_inference.outcomes import Counts
from vertex_model_inference.runs.ending import Finished, fail, finish
from vertex_model_inference.runs.progress import Progress
from vertex_model_inference.runs.status import RunState
from vertex_model_inference.steps import (
    assets,
    canary,
    decode,
    destinations,
    evaluate,
    export,
    gemini_batch,
    predict_batch,
    predict_online,
    upload,
)
from vertex_model_inference.steps.context import Context, Stop
from vertex_model_inference.vertex.jobs import BatchJob
from vertex_model_inference.waiting import noting

__all__ = ["Finished", "Group", "Runner", "end", "group_flow", "groups", "leave", "run_flow", "stage_group", "stopped"]

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger()

POLL_S = 20.0
_EXPORTS_IN_VAIN = 3
"""So many exports of a run may expire one after the other without a new row."""


class Group(NamedTuple):
    """Shards that go to the model together: one batch job, or one stream of online requests.

    ``canary``: the rest of the run waits for what becomes of this one.
    """

    number: int
    shards: list[int]
    canary: bool = False


class Runner(Protocol):
    """Calls steps so that they are remembered, and groups so that they run beside each other."""

    def step(self, name: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The step's result, remembered from an earlier life of the run where there was one."""

    def group(
        self, context: Context, progress: Progress, group: Group, *, staged: bool = False
    ) -> Callable[[], Counts]:
        """Start a group, from predict on when it is ``staged``; the returned function waits for it."""


def prepare(context: Context) -> str:
    """Check that the run can begin and its predictions can go where they are to; returns the ontology's id.

    Writes the run's spec and ontology.

    Raises:
        NotFoundError: The model run, its model or the project does not exist.
        UploadRefusedError: Labelbox takes no predictions in model runs, and there is no fallback.
        SettingsError: The project cannot take the predictions.
        LabelboxError: Labelbox did not answer.
    """
    info = context.labelbox.model_run(context.spec.model_run_id)
    ontology = context.labelbox.ontology(info.ontology_id)
    context.store.put(context.files.ontology, msgspec.json.encode(ontology))
    context.store.put(context.files.spec, msgspec.json.encode(context.spec))
    destinations.check_destinations(context, ontology)
    return ontology.id


def run_flow(runner: Runner, context: Context, progress: Progress) -> Finished:
    """The whole run; always ends with a status in Labelbox and an outcome for each row that was exported."""
    error: VmiError | None = None
    stop: Stop | None = None
    counts = Counts()
    waiting: deque[Callable[[], Counts]] = deque()
    tried: Callable[[], Counts] | None = None
    try:
        runner.step("prepare", prepare, context)
        progress.stage(RunState.EXPORTING)
        for group in groups(runner, context, progress):
            if group.canary:
                tried = runner.group(context, progress, group)
                continue
            staged = False
            if tried is not None:
                # Assets cost no model: those of the first group are made ready while the canary is away.
                staged = _staged(runner, context, progress, group)
                counts += tried()
                tried = None
                stop = runner.step("canary", canary.judge, context, 0)
            if stop is not None:
                counts += leave(runner, context, progress, group, stop)
                continue
            if len(waiting) >= context.spec.run_groups:
                counts += waiting.popleft()()
            waiting.append(runner.group(context, progress, group, staged=staged))
    except Exception as caught:  # noqa: BLE001  # see _ours
        error = _ours(caught, context.spec.run_id)
    if tried is not None:
        waiting.append(tried)
    while waiting:
        try:
            counts += waiting.popleft()()
        except Exception as caught:  # noqa: BLE001  # see _ours
            error = error or _ours(caught, context.spec.run_id)
    return end(runner, context, progress, counts, stopped(stop) or error)


def _staged(runner: Runner, context: Context, progress: Progress, group: Group) -> bool:
    """Stage a group; False when that fails: then the group itself will do it again, and its rows be told why."""
    try:
        stage_group(runner, context, progress, group)
    except Exception as caught:  # noqa: BLE001  # see _ours
        log.warning("not staged", run_id=context.spec.run_id, cause=str(_ours(caught, context.spec.run_id)))
        return False
    return True


def leave(runner: Runner, context: Context, progress: Progress, group: Group, stop: Stop) -> Counts:
    """Give a group that is not launched its outcomes.

    Raises:
        StorageError: Outcomes cannot be written.
    """
    counts = Counts()
    ending = (stop.step, stop.code, stop.message, stop.retryable)
    for shard in group.shards:
        closed = runner.step("close", upload.close_shard, context, shard, ending)
        counts += closed
        progress.ended(closed)
    return counts


def stopped(stop: Stop | None) -> VmiError | None:
    """What stopped a run, as the run's error."""
    return None if stop is None else VmiError(stop.words, code=stop.code, retryable=stop.retryable)


def end(runner: Runner, context: Context, progress: Progress, counts: Counts, error: VmiError | None) -> Finished:
    """The run's last step: outcomes added up, Labelbox told, the status file closed."""
    progress.hush()
    if error is None:
        runner.step("evaluate", evaluate.evaluate_run, context)
    try:
        finished = runner.step("finish", finish, context, counts, _words(error))
    except StorageError as unread:
        # The outcomes cannot be read, so none may be claimed; but Labelbox must not show a run that goes on for ever.
        finished = runner.step("fail", fail, context, counts, str(error or unread))
    else:
        if progress.carried_on:
            try:
                for job in _jobs(context):
                    progress.job(job.name, job.state)
            except VmiError as unread:
                log.warning("jobs not read", run_id=context.spec.run_id, cause=str(unread))
    progress.finish(RunState(finished.state), finished.counts, finished.message)
    return finished


class _JobFile(msgspec.Struct):
    """What is read of a job's file."""

    job: BatchJob


def _jobs(context: Context) -> Iterator[BatchJob]:
    """The run's jobs as they ended, also those of groups that ended in another process."""
    for entry in context.store.entries(f"{context.files.folder}/jobs"):
        if re.fullmatch(r"\d+\.json", entry.path.rsplit("/", 1)[-1]):
            job = msgspec.json.decode(context.store.get(entry.path), type=_JobFile).job
            if job.name:
                yield job


def groups(runner: Runner, context: Context, progress: Progress) -> Iterator[Group]:
    """Export the run's rows and give out groups of shards as they are written.

    Raises:
        LabelboxError: The export failed.
    """
    spec = context.spec
    batch = spec.option.predictor is Predictor.BATCH
    least = spec.job_rows if batch else spec.shard_rows
    if batch and spec.option.gemini is not None:
        least = min(least, gemini_batch.rows_per_job(context))
    per_group = max(1, least // spec.shard_rows)
    begun = _begin_export(runner, context, progress)
    first = canary.canary_size(spec, begun.rows)
    offset: int | None = 0
    shard = number = written = in_vain = 0
    ready: list[int] = []
    while offset is not None:
        least_rows = first if first and shard == 0 else least
        with _timed(progress, "export") as clock:
            part = runner.step(
                "export",
                export.export_slice,
                context,
                begun.task,
                offset,
                shard,
                least_rows,
                canary=first,
                written=written,
            )
            clock.rows = sum(part.rows)
        shards = [part.first_shard + i for i in range(len(part.rows))]
        shard += len(shards)
        offset = part.next_offset
        if part.expired:
            in_vain = 0 if shards else in_vain + 1
            if in_vain >= _EXPORTS_IN_VAIN:
                raise LabelboxError(
                    f"{in_vain} exports of the model run expired before they could be read.",
                    code="export_expired",
                    hint="Start the run again; if it stays so, ask Labelbox.",
                    retryable=True,
                )
            begun = _begin_export(runner, context, progress)
            offset, written = 0, shard
        elif offset is None:
            progress.exported()
        if first and number == 0 and shards:
            yield Group(number, [shards.pop(0)], canary=True)
            number += 1
        ready += shards
        while len(ready) >= per_group or (ready and offset is None):
            yield Group(number, ready[:per_group])
            del ready[:per_group]
            number += 1


def _begin_export(runner: Runner, context: Context, progress: Progress) -> export.Export:
    with _timed(progress, "export"):
        return runner.step("export.begin", export.begin_export, context)


def group_flow(runner: Runner, context: Context, progress: Progress, group: Group, *, staged: bool = False) -> Counts:
    """One group from its assets (or from predict, when ``staged``) to its outcomes.

    An error that stops the group becomes its rows' outcome.

    Raises:
        StorageError: Outcomes cannot be written.
    """
    at = "assets"
    asked, context = context, canary.canary_context(context) if group.canary else context
    counts = Counts()
    open_shards = deque(group.shards)
    try:
        if not staged:
            stage_group(runner, asked, progress, group)
        at = "predict"
        progress.stage(RunState.PREDICTING)
        if context.spec.option.predictor is Predictor.BATCH:
            _batch(runner, context, progress, group)
        else:
            _online(runner, context, progress, group)
        while open_shards:
            shard = open_shards[0]
            at = "decode"
            with _timed(progress, "decode") as clock:
                decoded = runner.step("decode", decode.decode_shard, context, shard)
                clock.rows = decoded.annotated + decoded.empty + decoded.ended
            at = "upload"
            with _timed(progress, "upload") as clock:
                uploaded = runner.step("upload", upload.upload_shard, context, shard)
                clock.rows = decoded.annotated + decoded.empty
            counts += uploaded.counts
            progress.ended(uploaded.counts)
            open_shards.popleft()
    except StorageError:
        # Where outcomes cannot be written, none may be claimed: the run fails and says so.
        raise
    except Exception as caught:  # noqa: BLE001  # see _ours
        error = _ours(caught, context.spec.run_id)
        log.warning("group stopped", run_id=context.spec.run_id, group=group.number, at=at, cause=str(error))
        ending = (at, error.error_code, str(error), error.retryable)
        for shard in open_shards:
            closed = runner.step("close", upload.close_shard, context, shard, ending)
            counts += closed
            progress.ended(closed)
    return counts


def stage_group(runner: Runner, context: Context, progress: Progress, group: Group) -> None:
    """Assets of the group's shards."""
    context = canary.canary_context(context) if group.canary else context
    progress.stage(RunState.PREPARING)
    for shard in group.shards:
        with _timed(progress, "assets") as clock:
            staged = runner.step("assets", assets.stage_shard, context, shard)
            clock.rows = staged.staged + staged.ended


def _batch(runner: Runner, context: Context, progress: Progress, group: Group) -> None:
    with _timed(progress, "predict") as clock:
        instances = runner.step("instances", predict_batch.write_instances, context, group.number, group.shards)
        if not instances:
            job = predict_batch.NO_JOB
        else:
            job = runner.step("submit", predict_batch.submit, context, group.number)
            progress.job(job.name, job.state)
        while not job.ended:
            job = runner.step("poll", predict_batch.poll, context, job.name, POLL_S)
            progress.job(job.name, job.state)
        collected = runner.step("collect", predict_batch.collect, context, group.number, group.shards, job)
        clock.rows = collected.answered + collected.ended


def _online(runner: Runner, context: Context, progress: Progress, group: Group) -> None:
    for shard in group.shards:
        with _timed(progress, "predict") as clock:
            predicted = runner.step("predict", predict_online.predict_shard, context, shard)
            clock.rows = predicted.answered + predicted.ended


class _timed:  # noqa: N801  # reads as a function where it is used
    """Times a step, settles its rows, notes its waits; a result that was remembered comes at once and adds no time."""

    def __init__(self, progress: Progress, step: str) -> None:
        self._progress = progress
        self._step = step
        self.rows = 0

    def __enter__(self) -> _timed:
        self._noting = noting(self._progress.waits)
        self._noting.__enter__()
        self._start, self._cpu = time.monotonic(), time.thread_time()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        seconds, cpu_seconds = time.monotonic() - self._start, time.thread_time() - self._cpu
        self._noting.__exit__(None, None, None)
        if kind is None:
            self._progress.settle(self._step, self.rows, seconds, cpu_seconds)


def _ours(caught: Exception, run_id: str) -> VmiError:
    """An error that can be told to people; what nobody foresaw is logged whole and told by its type."""
    if isinstance(caught, VmiError):
        return caught
    if type(caught).__module__.partition(".")[0] == "dbos":
        raise caught  # the engine's own signals
    log.error("a step failed unexpectedly", run_id=run_id, exc_info=caught)
    return VmiError(
        f"A step failed unexpectedly ({type(caught).__name__}); this is a fault of ours.",
        code="internal",
        hint="The log of the process has the details.",
        retryable=True,
    )


def _words(error: VmiError | None) -> tuple[str, str] | None:
    return None if error is None else (error.error_code, str(error))
