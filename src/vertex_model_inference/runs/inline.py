"""A run without an engine, for hosts that keep no state between calls (Cloud Functions): its files are its memory.

The same flow and the same steps; a call that is repeated finds the files and goes on from them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import msgspec

from vertex_model_inference.errors import ConflictError, NotFoundError, VmiError
from vertex_model_inference.models import ModelOption
from vertex_model_inference.outcomes import Counts, OutcomeStatus
from vertex_model_inference.runs import flow
from vertex_model_inference.runs.asking import spec_of
from vertex_model_inference.runs.budgets import Spending
from vertex_model_inference.runs.flow import Finished, Group
from vertex_model_inference.runs.progress import Progress, read_status
from vertex_model_inference.runs.reading import idle_seconds, seconds_since
from vertex_model_inference.runs.releases import end_in_words
from vertex_model_inference.runs.started import Started
from vertex_model_inference.runs.status import RunState, RunStatus
from vertex_model_inference.runs.surroundings import Surroundings
from vertex_model_inference.spec import Files, RunSpec, read_spec, run_id_of
from vertex_model_inference.steps import canary
from vertex_model_inference.steps.choosing import Way
from vertex_model_inference.steps.context import Context, Stop
from vertex_model_inference.steps.halting import BUDGET, HaltedError

__all__ = ["begin", "extract", "infer"]

P = ParamSpec("P")
T = TypeVar("T")

_GROUP = msgspec.json.Decoder(Group)

ABANDONED_S = 120.0
"""A run whose status was not written for so long has lost its function; a new call carries it on."""


class _Direct:
    """Calls steps and remembers nothing but their files."""

    def step(self, name: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:  # noqa: ARG002
        return function(*args, **kwargs)

    def group(
        self, context: Context, progress: Progress, group: Group, *, staged: bool = False
    ) -> Callable[[], Counts]:
        counts = flow.group_flow(self, context, progress, group, staged=staged)
        return lambda: counts


def begin(surroundings: Surroundings, model_run_id: str, option: ModelOption, model_id: str | None) -> Started:
    """The run to do: a new one, or the one under way (``joined``) or abandoned for this model run and option.

    Raises:
        StorageError: Storage did not answer.
        ConflictError: A newer release of ours began the run and left it.
    """
    store = surroundings.store
    attempt = 0
    while True:
        run_id = run_id_of(model_run_id, option.name, attempt)
        status = read_status(store, run_id)
        if status is None:
            spec = spec_of(surroundings.settings, run_id, model_run_id, option, model_id)
            # Of calls that come at once, storage lets one write it.
            if asyncio.run(store.aput_new(Files(run_id).spec, msgspec.json.encode(spec))):
                return Started(run_id, joined=False)
            return Started(run_id, joined=seconds_since(_spec(surroundings, run_id).created_at) < ABANDONED_S)
        if not status.state.ended and not _outdated(surroundings, status):
            return Started(run_id, joined=idle_seconds(status) < ABANDONED_S)
        attempt += 1


def _outdated(surroundings: Surroundings, status: RunStatus) -> bool:
    """Whether the run is one that an older release began and left; it has ended then, in words."""
    if idle_seconds(status) < ABANDONED_S:
        return False
    try:
        _spec(surroundings, status.run_id)
    except ConflictError as error:
        if error.error_code == "newer_release":
            raise
        end_in_words(surroundings, status.run_id, str(error))
        return True
    return False


def _spec(surroundings: Surroundings, run_id: str) -> RunSpec:
    try:
        return read_spec(surroundings.store.get(Files(run_id).spec))
    except NotFoundError:
        raise NotFoundError(f"There is no run {run_id}.", hint="`vmi status` lists the runs.") from None


def extract(surroundings: Surroundings, run_id: str) -> int:
    """Export and assets: the first half of a run. Returns the number of groups.

    Raises:
        VmiError: The run cannot go on; Labelbox shows it as FAILED.
    """
    context, progress = surroundings.of(_spec(surroundings, run_id))
    runner = _Direct()
    staged: list[Group] = []
    try:
        runner.step("prepare", flow.prepare, context)
        progress.stage(RunState.EXPORTING)
        for group in flow.groups(runner, context, progress):
            if group.way != Way.CARRIED and not group.over:
                flow.stage_group(runner, context, progress, group)
            context.store.put(_group_file(context, group.number), msgspec.json.encode(group))
            staged.append(group)
    except VmiError as error:
        flow.end(runner, context, progress, _left(runner, context, progress, staged, error), error)
        raise
    finally:
        surroundings.forget(run_id)
    return len(staged)


def _left(runner: flow.Runner, context: Context, progress: Progress, staged: list[Group], error: VmiError) -> Counts:
    """Every row that was exported before the run ended in its first half gets its outcome."""
    status = OutcomeStatus.SKIPPED if isinstance(error, HaltedError) else OutcomeStatus.FAILED
    stop = Stop("assets", error.error_code, str(error), str(error), error.retryable, status)
    counts = Counts()
    shards = {int(entry.path[-11:-6]) for entry in context.store.entries(context.files.rows_folder)}
    for group in staged:
        if group.way == Way.CARRIED:
            counts += flow.carry(runner, context, progress, group)
            shards -= set(group.shards)
    return counts + flow.leave(runner, context, progress, Group(0, sorted(shards)), stop)


def infer(surroundings: Surroundings, run_id: str) -> Finished:
    """Predict, decode, match and upload what ``extract`` staged, and end the run.

    Raises:
        NotFoundError: No such run.
        StorageError: The run's files cannot be read or written.
    """
    context, progress = surroundings.of(_spec(surroundings, run_id))
    runner = _Direct()
    counts = Counts()
    error: VmiError | None = None
    stop: Stop | None = None
    spending = Spending(runner, context)
    try:
        for entry in sorted(context.store.entries(f"{context.files.folder}/groups")):
            group = _GROUP.decode(context.store.get(entry.path))
            if group.way == Way.CARRIED:
                carried = flow.carry(runner, context, progress, group)
                counts += carried
                spending.carried(carried)
                continue
            stop = stop or spending.stop(group)
            if stop is not None and not (stop.code == BUDGET and group.way == Way.AGAIN):
                counts += flow.leave(runner, context, progress, group, stop)
                continue
            spending.launched(group)
            ended = flow.group_flow(runner, context, progress, group, staged=True)
            counts += ended
            spending.ended(group, ended)
            if group.canary:
                stop = runner.step("canary", canary.judge, context, group.shards[0])
    except VmiError as caught:
        error = caught
    try:
        return flow.end(runner, context, progress, counts, flow.stopped(stop or spending.stopped) or error)
    finally:
        surroundings.forget(run_id)


def _group_file(context: Context, number: int) -> str:
    return f"{context.files.folder}/groups/{number:05d}.json"
