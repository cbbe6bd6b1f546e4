"""How a run ends: its outcomes added up, one sentence for people, and Labelbox told."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, NamedTuple

import msgspec
import stamina
import structlog

from vertex_model_inference.errors import StorageError, UploadRefusedError, VmiError
from vertex_model_inference.outcomes import Counts, Outcome, OutcomeStatus
from vertex_model_inference.runs.progress import Progress, progress_metadata
from vertex_model_inference.runs.status import RunState
from vertex_model_inference.spec import ARTIFACTS_VERSION
from vertex_model_inference.steps import destinations
from vertex_model_inference.steps.context import Context
from vertex_model_inference.steps.halting import BUDGET, CANCELLED
from vertex_model_inference.steps.signatures import strip_open_shards
from vertex_model_inference.storage.store import Entry

__all__ = ["Finished", "fail", "finish", "run_url"]

log = structlog.get_logger()

_LISTINGS = 4
PATIENCE_S = 600.0
"""So long the last status is tried to be told."""

_OUTCOME = msgspec.json.Decoder(Outcome)


class Finished(NamedTuple):
    """How the run ended."""

    state: str
    counts: Counts
    message: str


def finish(context: Context, expected: Counts, error: tuple[str, str] | None, *, whole: bool = True) -> Finished:
    """Add up the outcomes and tell Labelbox how the run ended.

    Args:
        context: The run.
        expected: What the groups reported; the files are what counts.
        error: (code, sentence) of what stopped the run before its export was done.
        whole: The export was read to its end.

    Raises:
        StorageError: The outcomes cannot be read.
    """
    counts = Counts()
    stale = undone = 0
    causes: Counter[str] = Counter()
    delivered: Counter[str] = Counter()
    examples: dict[str, str] = {}
    usual = context.spec.delivery.destinations or ()
    for entry in _listed(context, expected):
        shard: list[Outcome] = [_OUTCOME.decode(line) for line in context.store.lines(entry.path)]
        counts += Counts.of(shard)
        for item in shard:
            stale += item.left
            delivered.update(item.delivered or (usual if item.status is OutcomeStatus.PREDICTED else ()))
            if item.status is OutcomeStatus.FAILED:
                code = item.code or "unknown"
                causes[code] += 1
                examples.setdefault(code, item.message or "")
            undone += item.code in (CANCELLED, BUDGET) and item.status is OutcomeStatus.SKIPPED and not item.reused
    if error is not None:
        strip_open_shards(context)
    if counts != expected:
        log.warning("outcome files and groups differ", run_id=context.spec.run_id, files=counts, groups=expected)
    stop = _stop(context, error, undone, whole=whole)
    if stop is not None:
        state, message = _stopped(counts, causes, stop, undone, whole=whole)
    else:
        state, message = _verdict(counts, causes, examples, error)
    elsewhere = _elsewhere(context) if state is RunState.COMPLETE else ""
    if stop is None and context.halt.stop is not None and state is RunState.COMPLETE:
        message = f"{message} {context.halt.stop.words} Nothing was left to do."
    message = " ".join(filter(None, (message, _whereabouts(context, delivered), elsewhere, _stale(stale))))
    status = Progress.last_status(context.spec, counts, undone)
    metadata = {
        **progress_metadata(status, run_url(context)),
        "vmi_delivered": dict(delivered),
        "vmi_message": message,
        "vmi_artifacts_version": ARTIFACTS_VERSION,
    }
    context.store.put(context.files.verdict, msgspec.json.encode(Finished(state.value, counts, message)))
    trouble = state is not RunState.COMPLETE or counts.failed or counts.skipped or elsewhere
    try:
        _last_word(context, state, message if trouble else "", metadata)
    except VmiError as untold:
        # The run has ended all the same; its own files say how.
        log.warning("Labelbox not told of the end", run_id=context.spec.run_id, cause=str(untold))
        if error is None or untold.error_code != error[0]:  # else it would be said twice
            message = f"{message} Labelbox could not be told: {untold.message}"
    return Finished(state.value, counts, message)


def _listed(context: Context, expected: Counts) -> list[Entry]:
    """The files of outcomes; what reads as none is made sure of where the groups have told of some.

    Raises:
        StorageError: They cannot be listed.
    """
    for attempt in range(_LISTINGS):
        if attempt:
            time.sleep(0.5 * attempt)
        found = list(context.store.entries(context.files.outcomes_folder))
        if found or not expected.exported:
            return found
    raise StorageError(
        f"The groups of the run have told of {expected.exported:,} outcomes, and Storage lists no file in "
        f"{context.store.uri(context.files.outcomes_folder)}: is there a proxy in between that answers for it?",
        code="outcomes_missing",
        retryable=True,
    )


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

    for attempt in stamina.retry_context(on=again, attempts=10, timeout=PATIENCE_S, wait_initial=1, wait_max=60):
        with attempt:
            context.labelbox.set_status(
                context.spec.model_run_id, state.pipeline, error_message=trouble, metadata=metadata
            )


def _stop(context: Context, error: tuple[str, str] | None, undone: int, *, whole: bool) -> tuple[str, str] | None:
    """(code, sentence) of what stopped the run, if it was cancelled or a budget was used up before its work was done.

    A run that was cancelled when nothing was left to do has completed all the same.
    """
    if error is not None and error[0] == BUDGET:
        return error
    stop = context.halt.stop
    if stop is not None and (undone or not whole):
        return stop.code, stop.words
    return None


def _stopped(
    counts: Counts, causes: Counter[str], stop: tuple[str, str], undone: int, *, whole: bool
) -> tuple[RunState, str]:
    parts = [f"{counts.predicted:,} predicted"]
    if counts.empty:
        parts.append(f"{counts.empty:,} empty")
    if undone:
        parts.append(f"{undone:,} not done")
    if counts.skipped > undone:
        parts.append(f"{counts.skipped - undone:,} skipped")
    if counts.failed:
        listed = ", ".join(f"{code} {n:,}" for code, n in causes.most_common(5))
        parts.append(f"{counts.failed:,} failed ({listed})")
    which, rest = ("", "") if whole else (" that were exported by then", " Others were not read, and have no outcome.")
    state = RunState.CANCELLED if stop[0] == CANCELLED else RunState.STOPPED
    return state, f"{stop[1]} Of {counts.exported:,} data rows{which}: {', '.join(parts)}.{rest}"


def _verdict(
    counts: Counts, causes: Counter[str], examples: dict[str, str], error: tuple[str, str] | None
) -> tuple[RunState, str]:
    listed = ", ".join(f"{code} {n:,}" for code, n in causes.most_common(5))
    if error is not None:
        left = f" {causes['canary']:,} data rows were not sent to the model." if causes["canary"] else ""
        return RunState.FAILED, f"{error[1]}{left}"
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
    if counts.reused == counts.exported and not counts.failed:
        skipped = f", {counts.skipped:,} of them skipped" if counts.skipped else ""
        return RunState.COMPLETE, f"Nothing to do: {counts.exported:,} data rows are as they were{skipped}."
    parts = [f"{counts.predicted:,} of {counts.exported:,} data rows predicted"]
    if counts.reused:
        parts.append(f"{counts.reused:,} as they were (nothing was done for these)")
    if counts.empty:
        parts.append(f"{counts.empty:,} empty")
    if counts.skipped:
        parts.append(f"{counts.skipped:,} skipped")
    if counts.failed:
        parts.append(f"{counts.failed:,} failed ({listed})")
    return RunState.COMPLETE, ", ".join(parts) + "."


def _stale(stale: int) -> str:
    """What earlier runs sent and this one would not."""
    if not stale:
        return ""
    return (
        f"{stale:,} annotations of earlier runs are still in Labelbox, which has no call to take predictions back; for "
        "a picture without them, run on a new model run."
    )


def _whereabouts(context: Context, delivered: Counter[str]) -> str:
    """How many rows went where, for runs with several destinations, and where the files are."""
    asked = context.spec.delivery.destinations or ()
    if not delivered or (tuple(delivered) == asked and asked in (("model-run",), ("files",))):
        return ""
    project = context.spec.delivery.project
    files = context.store.uri(context.files.predictions_folder)
    names = {"model-run": "in the model run", "project": f"in project {project}", "files": f"as NDJSON in {files}"}
    return f"Predictions of {', '.join(f'{n:,} rows {names[name]}' for name, n in delivered.items())}."


def _elsewhere(context: Context) -> str:
    """Why predictions are not in the model run, where Labelbox refused them there."""
    said = destinations.refusal(context)
    return "" if said is None else f"They are not in the model run: {said}"


def run_url(context: Context) -> str:
    """Where people can look at the run: its page where ``VMI_PAGES_URL`` is set (which asks them to sign in).

    Else the Cloud console for a bucket (which asks who they are), or the folder; in a sandbox, the status file's own
    address.
    """
    store, folder = context.store, context.files.folder
    if context.settings.pages_url:
        return f"{context.settings.pages_url}/runs/{context.spec.run_id}"
    if not store.root.startswith("gs://"):
        return store.uri(folder)
    place = f"{store.root.removeprefix('gs://')}/{folder}"
    if context.settings.storage_url:
        return f"{context.settings.storage_url}/{place}/status.json"
    return f"https://console.cloud.google.com/storage/browser/{place}"
