"""The life of a run, as plain code: which step follows which, and what becomes of rows when a step cannot go on.

How steps are made durable is the runner's business (``workflow.py``: DBOS; ``inline.py``: not at all, for hosts that
keep no state), so this file reads as the design tells the story.
"""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar

import msgspec
import stamina
import structlog

from vertex_model_inference.errors import StorageError, UploadRefusedError, VmiError
from vertex_model_inference.models import Predictor
from vertex_model_inference.outcomes import Counts, Outcome, OutcomeStatus
from vertex_model_inference.runs.progress import Progress, progress_metadata
from vertex_model_inference.runs.status import RunState
from vertex_model_inference.spec import ARTIFACTS_VERSION
from vertex_model_inference.steps import assets, decode, evaluate, export, predict_batch, predict_online, upload
from vertex_model_inference.steps.context import Context
from vertex_model_inference.vertex.jobs import BatchJob

__all__ = ["Finished", "Group", "Runner", "end", "group_flow", "groups", "run_flow", "stage_group"]

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger()

GROUPS_IN_FLIGHT = 4
POLL_S = 20.0
_OUTCOME = msgspec.json.Decoder(Outcome)


class Group(NamedTuple):
    """Shards that go to the model together: one batch job, or one stream of online requests."""

    number: int
    shards: list[int]


class Finished(NamedTuple):
    """How the run ended."""

    state: str
    counts: Counts
    message: str


class Runner(Protocol):
    """Calls steps so that they are remembered, and groups so that they run beside each other."""

    def step(self, name: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The step's result, remembered from an earlier life of the run where there was one."""

    def group(self, context: Context, progress: Progress, group: Group) -> Callable[[], Counts]:
        """Start a group; the returned function waits for it."""


def prepare(context: Context) -> str:
    """Check that the run can begin and write its spec and ontology; returns the ontology's id.

    Raises:
        NotFoundError: The model run or its model does not exist.
        LabelboxError: Labelbox did not answer.
    """
    info = context.labelbox.model_run(context.spec.model_run_id)
    ontology = context.labelbox.ontology(info.ontology_id)
    context.store.put(context.files.ontology, msgspec.json.encode(ontology))
    context.store.put(context.files.spec, msgspec.json.encode(context.spec))
    return ontology.id


def run_flow(runner: Runner, context: Context, progress: Progress) -> Finished:
    """The whole run; always ends with a status in Labelbox and an outcome for each row that was exported."""
    error: VmiError | None = None
    counts = Counts()
    waiting: deque[Callable[[], Counts]] = deque()
    try:
        runner.step("prepare", prepare, context)
        progress.stage(RunState.EXPORTING)
        for group in groups(runner, context, progress):
            if len(waiting) >= GROUPS_IN_FLIGHT:
                counts += waiting.popleft()()
            waiting.append(runner.group(context, progress, group))
    except Exception as caught:  # noqa: BLE001  # see _ours
        error = _ours(caught, context.spec.run_id)
    while waiting:
        try:
            counts += waiting.popleft()()
        except Exception as caught:  # noqa: BLE001  # see _ours
            error = error or _ours(caught, context.spec.run_id)
    return end(runner, context, progress, counts, error)


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
    per_group = max(1, least // spec.shard_rows)
    with _timed(progress, "export") as clock:
        task = runner.step("export.begin", export.begin_export, context)
        clock.rows = 0
    offset: int | None = 0
    shard = number = 0
    while offset is not None:
        with _timed(progress, "export") as clock:
            part = runner.step("export", export.export_slice, context, task, offset, shard, least)
            clock.rows = sum(part.rows)
        offset = part.next_offset
        if offset is None:
            progress.exported()
        shards = [part.first_shard + i for i in range(len(part.rows))]
        shard += len(shards)
        for start in range(0, len(shards), per_group):
            yield Group(number, shards[start : start + per_group])
            number += 1


def group_flow(runner: Runner, context: Context, progress: Progress, group: Group, *, staged: bool = False) -> Counts:
    """One group from its assets (or from predict, when ``staged``) to its outcomes.

    An error that stops the group becomes its rows' outcome.

    Raises:
        StorageError: Outcomes cannot be written.
    """
    at = "assets"
    counts = Counts()
    open_shards = deque(group.shards)
    try:
        if not staged:
            stage_group(runner, context, progress, group)
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
    """Times a step and settles its rows; a result that was remembered comes back at once and adds no time."""

    def __init__(self, progress: Progress, step: str) -> None:
        self._progress = progress
        self._step = step
        self.rows = 0

    def __enter__(self) -> _timed:
        self._start = time.monotonic()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._progress.settle(self._step, self.rows, time.monotonic() - self._start)


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


def finish(context: Context, expected: Counts, error: tuple[str, str] | None) -> Finished:
    """Add up the outcomes and tell Labelbox how the run ended.

    Args:
        context: The run.
        expected: What the groups reported; the files are what counts.
        error: (code, sentence) of what stopped the run before its export was done.

    Raises:
        StorageError: The outcomes cannot be read.
    """
    counts = Counts()
    causes: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for entry in context.store.entries(context.files.outcomes_folder):
        shard: list[Outcome] = [_OUTCOME.decode(line) for line in context.store.lines(entry.path)]
        counts += Counts.of(shard)
        for item in shard:
            if item.status is OutcomeStatus.FAILED:
                code = item.code or "unknown"
                causes[code] += 1
                examples.setdefault(code, item.message or "")
    if counts != expected:
        log.warning("outcome files and groups differ", run_id=context.spec.run_id, files=counts, groups=expected)
    state, message = _verdict(counts, causes, examples, error)
    status = Progress.last_status(context.spec, counts)
    metadata = {
        **progress_metadata(status, run_url(context)),
        "vmi_message": message,
        "vmi_artifacts_version": ARTIFACTS_VERSION,
    }
    context.store.put(context.files.verdict, msgspec.json.encode(Finished(state.value, counts, message)))
    trouble = state is RunState.FAILED or counts.failed or counts.skipped
    try:
        _last_word(context, state, message if trouble else "", metadata)
    except VmiError as untold:
        # The run has ended all the same; its own files say how.
        log.warning("Labelbox not told of the end", run_id=context.spec.run_id, cause=str(untold))
        if error is None or untold.error_code != error[0]:  # else it would be said twice
            message = f"{message} Labelbox could not be told: {untold.message}"
    return Finished(state.value, counts, message)


def fail(context: Context, counts: Counts, message: str) -> Finished:
    """The last step of a run whose files cannot be read any more: tell Labelbox that it failed, and why.

    Args:
        context: The run.
        counts: What the groups reported.
        message: What is wrong.
    """
    metadata = {"vmi_run": context.spec.run_id, "vmi_run_url": run_url(context), "vmi_message": message}
    try:
        _last_word(context, RunState.FAILED, message, metadata)
    except VmiError as untold:
        log.warning("Labelbox not told of the end", run_id=context.spec.run_id, cause=str(untold))
    return Finished(RunState.FAILED.value, counts, message)


def _last_word(context: Context, state: RunState, trouble: str, metadata: dict[str, Any]) -> None:
    """Set the final status; worth more patience than any other call, since nothing comes after it to correct it."""

    def again(error: Exception) -> bool:
        return isinstance(error, VmiError) and error.retryable

    for attempt in stamina.retry_context(on=again, attempts=10, timeout=600, wait_initial=1, wait_max=60):
        with attempt:
            context.labelbox.set_status(
                context.spec.model_run_id, state.value, error_message=trouble, metadata=metadata
            )


def _verdict(
    counts: Counts, causes: Counter[str], examples: dict[str, str], error: tuple[str, str] | None
) -> tuple[RunState, str]:
    listed = ", ".join(f"{code} {n:,}" for code, n in causes.most_common(5))
    if error is not None:
        return RunState.FAILED, error[1]
    if counts.exported == 0:
        return RunState.FAILED, "The model run has no data rows. Add data rows to it, then run again."
    refused = UploadRefusedError.code in causes
    if counts.failed and not counts.predicted and (refused or not counts.empty):
        # What stopped all of them is worth more than its code: it says what to do.
        worst = UploadRefusedError.code if refused else causes.most_common(1)[0][0]
        return (
            RunState.FAILED,
            f"None of the {counts.exported:,} data rows could be predicted ({listed}). {examples[worst]}".rstrip(),
        )
    parts = [f"{counts.predicted:,} of {counts.exported:,} data rows predicted"]
    if counts.empty:
        parts.append(f"{counts.empty:,} empty")
    if counts.skipped:
        parts.append(f"{counts.skipped:,} skipped")
    if counts.failed:
        parts.append(f"{counts.failed:,} failed ({listed})")
    return RunState.COMPLETE, ", ".join(parts) + "."


def run_url(context: Context) -> str:
    """Where people can look at the run: the Cloud console for a bucket (which asks who they are), or the folder.

    In a sandbox, the status file's own address.
    """
    store, folder = context.store, context.files.folder
    if not store.root.startswith("gs://"):
        return store.uri(folder)
    place = f"{store.root.removeprefix('gs://')}/{folder}"
    if context.settings.storage_url:
        return f"{context.settings.storage_url}/{place}/status.json"
    return f"https://console.cloud.google.com/storage/browser/{place}"
