"""The life of a run, as plain code: which step follows which, and what becomes of rows when a step cannot go on.

How steps are made durable is the runner's business (``workflow.py``: DBOS; ``inline.py``: not at all, for hosts that
keep no state), so this file reads as the design tells the story.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import msgspec
import structlog

from vertex_model_inference.errors import StorageError, VmiError
from vertex_model_inference.models import Predictor
from vertex_model_inference.outcomes import Counts, OutcomeStatus
from vertex_model_inference.runs.budgets import Spending, check_price
from vertex_model_inference.runs.ending import Finished, fail, finish
from vertex_model_inference.runs.grouping import Group, Runner, groups, timed
from vertex_model_inference.runs.progress import Progress
from vertex_model_inference.runs.status import STEPS, RunState
from vertex_model_inference.steps import (
    assets,
    canary,
    decode,
    destinations,
    evaluate,
    fingerprints,
    predict_batch,
    predict_online,
    recall,
    upload,
)
from vertex_model_inference.steps.choosing import Way
from vertex_model_inference.steps.context import Context, Stop
from vertex_model_inference.steps.halting import BUDGET, Ending, HaltedError
from vertex_model_inference.storage.sweeping import wait_while_swept
from vertex_model_inference.vertex.jobs import BatchJob

__all__ = ["Finished", "Group", "Runner", "end", "group_flow", "groups", "leave", "run_flow", "stage_group", "stopped"]

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger()

POLL_S = 20.0
_CANCELLING_POLLS = 30
"""So many looks, of ``POLL_S`` each, a job may take to be cancelled; then its run ends without what it wrote."""


def prepare(context: Context) -> str:
    """Check that the run can begin and its predictions can go where they are to; returns the ontology's id.

    Writes the run's spec and ontology.

    Raises:
        NotFoundError: The model run, its model or the project does not exist.
        UploadRefusedError: Labelbox takes no predictions in model runs, and there is no fallback.
        SettingsError: The project cannot take the predictions, or a budget cannot be kept.
        LabelboxError: Labelbox did not answer.
        ConflictError: Assets are being removed, and that takes longer than a run waits.
    """
    info = context.labelbox.model_run(context.spec.model_run_id)
    ontology = context.labelbox.ontology(info.ontology_id)
    context.store.put(context.files.ontology, msgspec.json.encode(ontology))
    context.store.put(context.files.spec, msgspec.json.encode(context.spec))
    wait_while_swept(context.store)
    prints = fingerprints.fingerprints(context.spec, msgspec.json.encode(ontology))
    context.store.put(context.files.fingerprints, msgspec.json.encode(prints))
    check_price(context.spec.option)
    destinations.check_destinations(context, ontology)
    return ontology.id


def run_flow(runner: Runner, context: Context, progress: Progress) -> Finished:
    """The whole run; always ends with a status in Labelbox and an outcome for each row that was exported."""
    error: VmiError | None = None
    stop: Stop | None = None
    counts = Counts()
    spending = Spending(runner, context)
    waiting: deque[tuple[Group, Callable[[], Counts]]] = deque()
    tried: tuple[Group, Callable[[], Counts]] | None = None

    def settle(group: Group, wait: Callable[[], Counts]) -> None:
        nonlocal counts
        ended = wait()
        counts += ended
        spending.ended(group, ended)

    try:
        runner.step("prepare", prepare, context)
        progress.stage(RunState.EXPORTING)
        for group in groups(runner, context, progress):
            if group.way == Way.CARRIED:
                carried = carry(runner, context, progress, group)
                counts += carried
                spending.carried(carried)
                continue
            if group.canary:
                spending.launched(group)
                tried = (group, runner.group(context, progress, group))
                continue
            staged = False
            if tried is not None:
                # Assets cost no model: those of the first group are made ready while the canary is away.
                staged = not group.over and _staged(runner, context, progress, group)
                settle(*tried)
                stop = runner.step("canary", canary.judge, context, tried[0].shards[0])
                tried = None
            while waiting and (len(waiting) >= context.spec.run_groups or spending.blind):
                settle(*waiting.popleft())
            stop = stop or spending.stop(group)
            if stop is not None and not (stop.code == BUDGET and group.way == Way.AGAIN):
                counts += leave(runner, context, progress, group, stop)
                continue
            spending.launched(group)
            waiting.append((group, runner.group(context, progress, group, staged=staged)))
    except Exception as caught:  # noqa: BLE001  # see _ours
        error = _ours(caught, context.spec.run_id)
    if tried is not None:
        waiting.append(tried)
    while waiting:
        try:
            settle(*waiting.popleft())
        except Exception as caught:  # noqa: BLE001  # see _ours
            error = error or _ours(caught, context.spec.run_id)
    return end(runner, context, progress, counts, stopped(stop or spending.stopped) or error)


def _staged(runner: Runner, context: Context, progress: Progress, group: Group) -> bool:
    """Stage a group; False when that fails: then the group itself will do it again, and its rows be told why."""
    try:
        stage_group(runner, context, progress, group)
    except Exception as caught:  # noqa: BLE001  # see _ours
        log.warning("not staged", run_id=context.spec.run_id, cause=str(_ours(caught, context.spec.run_id)))
        return False
    return True


def carry(runner: Runner, context: Context, progress: Progress, group: Group) -> Counts:
    """Give a group for which nothing is done the outcomes that its rows have.

    Raises:
        StorageError: Files cannot be read or written.
    """
    carried = runner.step("carry", recall.carry_shards, context, group.shards)
    for step in STEPS:
        if step != "export":
            progress.settle(step, carried.exported, 0.0)
    progress.ended(carried)
    return carried


def leave(runner: Runner, context: Context, progress: Progress, group: Group, stop: Stop) -> Counts:
    """Give a group that is not launched its outcomes.

    Raises:
        StorageError: Outcomes cannot be written.
    """
    counts = Counts()
    for shard in group.shards:
        closed = runner.step("close", upload.close_shard, context, shard, stop.ending())
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
        runner.step("evaluate", _evaluate, context)
    try:
        finished = runner.step("finish", finish, context, counts, _words(error), whole=progress.status.export_complete)
    except Exception as unread:  # noqa: BLE001  # see _ours
        # The outcomes cannot be read, so none may be claimed; but Labelbox must not show a run that goes on for ever.
        trouble = error or _ours(unread, context.spec.run_id)
        finished = runner.step("fail", fail, context, counts, str(trouble))
    else:
        if progress.carried_on:
            try:
                for job in _jobs(context):
                    progress.job(job.name, job.state)
            except VmiError as unread:
                log.warning("jobs not read", run_id=context.spec.run_id, cause=str(unread))
    progress.finish(RunState(finished.state), finished.counts, finished.message)
    return finished


def _evaluate(context: Context) -> int:
    """Figures of a run that was stopped would tell little, and whoever stopped it wants an end."""
    return 0 if context.halt.stop is not None else evaluate.evaluate_run(context)


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
        if not staged and group.way == Way.WORK:
            stage_group(runner, asked, progress, group)
        at = "predict"
        progress.stage(RunState.PREDICTING)
        if context.spec.follows:
            runner.step("recall", recall.recall_shards, context, group.shards, group.way)
        if group.way == Way.AGAIN:
            pass
        elif context.spec.option.predictor is Predictor.BATCH:
            _batch(runner, context, progress, group)
        else:
            _online(runner, context, progress, group)
        while open_shards:
            shard = open_shards[0]
            at = "decode"
            with timed(progress, "decode") as clock:
                decoded = runner.step("decode", decode.decode_shard, context, shard)
                clock.rows = decoded.annotated + decoded.empty + decoded.ended
            at = "upload"
            with timed(progress, "upload") as clock:
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
        status = OutcomeStatus.SKIPPED if isinstance(error, HaltedError) else OutcomeStatus.FAILED
        ending = Ending(at, error.error_code, str(error), error.retryable, status)
        for shard in open_shards:
            closed = runner.step("close", upload.close_shard, context, shard, ending)
            counts += closed
            progress.ended(closed)
    return counts


def stage_group(runner: Runner, context: Context, progress: Progress, group: Group) -> None:
    """Assets of the group's shards; none are needed where answers are read again."""
    if group.way == Way.AGAIN:
        return
    context = canary.canary_context(context) if group.canary else context
    progress.stage(RunState.PREPARING)
    for shard in group.shards:
        with timed(progress, "assets") as clock:
            staged = runner.step("assets", assets.stage_shard, context, shard)
            clock.rows = staged.staged + staged.ended


def _batch(runner: Runner, context: Context, progress: Progress, group: Group) -> None:
    with timed(progress, "predict") as clock:
        instances = runner.step("instances", predict_batch.write_instances, context, group.number, group.shards)
        if not instances:
            job = predict_batch.NO_JOB
        else:
            job = runner.step("submit", predict_batch.submit, context, group.number)
            progress.job(job.name, job.state)
        cancelling = 0
        while not job.ended and cancelling < _CANCELLING_POLLS:
            job = runner.step("poll", predict_batch.poll, context, job.name, POLL_S)
            cancelling += job.state == predict_batch.CANCELLING
            progress.job(job.name, job.state)
        collected = runner.step("collect", predict_batch.collect, context, group.number, group.shards, job)
        clock.rows = collected.answered + collected.ended


def _online(runner: Runner, context: Context, progress: Progress, group: Group) -> None:
    for shard in group.shards:
        with timed(progress, "predict") as clock:
            predicted = runner.step("predict", predict_online.predict_shard, context, shard)
            clock.rows = predicted.answered + predicted.ended


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
