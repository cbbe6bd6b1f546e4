"""Cuts a run's export into shards, and shards into groups that go to the model together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, ParamSpec, Protocol, TypeVar

from vertex_model_inference.errors import LabelboxError, VmiError
from vertex_model_inference.models import Predictor
from vertex_model_inference.outcomes import Counts
from vertex_model_inference.runs.progress import Progress
from vertex_model_inference.steps import canary, export, gemini_batch, memory
from vertex_model_inference.steps.choosing import Way
from vertex_model_inference.steps.context import Context
from vertex_model_inference.steps.halting import HaltedError
from vertex_model_inference.waiting import noting

__all__ = ["Group", "Runner", "groups", "timed"]

P = ParamSpec("P")
T = TypeVar("T")

_AGAIN_SHARDS = 10
"""Of which answers are read again in one group: it is only reckoning."""
_CARRIED_FROM = 1_000_000
"""Numbers of groups for which nothing is done, apart from the others': those name jobs."""
_EXPORTS_IN_VAIN = 3
"""So many exports of a run may expire one after the other without a new row."""


class Group(NamedTuple):
    """Shards that go to the model together: one batch job, or one stream of online requests.

    ``canary``: the rest of the run waits for what becomes of this one. ``way``: how far its rows go, ``carried``,
    ``again`` (from decode on) or ``work``; see ``steps/choosing.py``. ``rows``: how many it has. ``over``: the run's
    budget does not let it send them.
    """

    number: int
    shards: list[int]
    canary: bool = False
    way: str = Way.WORK.value
    rows: int = 0
    over: bool = False


class Runner(Protocol):
    """Calls steps so that they are remembered, and groups so that they run beside each other."""

    def step(self, name: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The step's result, remembered from an earlier life of the run where there was one."""

    def group(
        self, context: Context, progress: Progress, group: Group, *, staged: bool = False
    ) -> Callable[[], Counts]:
        """Start a group, from predict on when it is ``staged``; the returned function waits for it."""


def groups(runner: Runner, context: Context, progress: Progress) -> Iterator[Group]:
    """Export the run's rows and give out groups of shards as they are written.

    Raises:
        LabelboxError: The export failed.
        HaltedError: The run was cancelled before the export's end.
    """
    spec = context.spec
    batch = spec.option.predictor is Predictor.BATCH
    remembered = runner.step("remember", memory.remember, context) if spec.follows else None
    least = spec.job_rows if batch else spec.shard_rows
    if batch and spec.option.gemini is not None:
        least = min(least, gemini_batch.rows_per_job(context))
    per_group = max(1, least // spec.shard_rows)
    if remembered is not None:
        least = max(least, export.HELD_SHARDS * spec.shard_rows)
    begun = _begin_export(runner, context, progress)
    # Nothing is tried out that has been tried: then only rows are new, or failed.
    first = 0 if remembered is not None and remembered.tried else canary.canary_size(spec, begun.rows)
    offset: int | None = 0
    shard = number = written = in_vain = 0
    ready: list[int] = []
    rows: dict[int, int] = {}
    lost: VmiError | None = None  # raised once what was read has been given out
    most, sent = spec.option.budget.max_rows, 0
    try:
        while offset is not None:
            least_rows = first if first and shard == 0 else least
            with timed(progress, "export") as clock:
                part = runner.step(
                    "export",
                    export.export_slice,
                    context,
                    begun.task,
                    offset,
                    shard,
                    least_rows,
                    canary=first if number == 0 else 0,
                    written=written,
                    room=None if most is None else max(0, most - sent),
                )
                clock.rows = sum(part.rows)
            shards = [part.first_shard + i for i in range(len(part.rows))]
            shard += len(shards)
            found = len(shards)
            rows.update(zip(shards, part.rows, strict=True))
            carried = [each for each in shards if part.way(each) is Way.CARRIED]
            offset = part.next_offset
            if part.halted:
                offset = None
            elif part.expired:
                in_vain = 0 if found else in_vain + 1
                if in_vain >= _EXPORTS_IN_VAIN:
                    raise LabelboxError(
                        f"{in_vain} exports of the model run expired before they could be read.",
                        code="export_expired",
                        hint="Start the run again; if it stays so, ask Labelbox.",
                        retryable=True,
                    )
                offset, written = 0, shard
                try:
                    begun = _begin_export(runner, context, progress)
                except VmiError as caught:
                    offset, lost = None, caught
            elif part.error is not None:
                lost = part.error
            elif offset is None:
                progress.exported()
            if carried:
                yield Group(_CARRIED_FROM + carried[0], carried, way=Way.CARRIED.value)
                shards = [each for each in shards if each not in carried]
            if first and number == 0 and shards:
                way = part.way(shards[0])
                sent += rows[shards[0]] if way is Way.WORK else 0
                yield Group(number, shards[:1], canary=True, way=way.value, rows=rows[shards[0]])
                del shards[0]
                number += 1
            again = [each for each in shards if part.way(each) is Way.AGAIN]
            for start in range(0, len(again), _AGAIN_SHARDS):
                some = again[start : start + _AGAIN_SHARDS]
                yield Group(number, some, way=Way.AGAIN.value, rows=sum(rows[each] for each in some))
                number += 1
            beyond: list[int] = []
            for each in shards:
                if part.way(each) is Way.WORK:
                    over = most is not None and sent >= most
                    sent += 0 if over else rows[each]
                    (beyond if over else ready).append(each)
            while len(ready) >= per_group or (ready and (offset is None or beyond)):
                yield Group(number, ready[:per_group], rows=sum(rows[each] for each in ready[:per_group]))
                del ready[:per_group]
                number += 1
            if beyond:
                yield Group(number, beyond, rows=sum(rows[each] for each in beyond), over=True)
                number += 1
            if part.halted:
                # Remembered, so it holds also where the mark cannot be read at this moment.
                context.halt.check()
                raise HaltedError("Not done: the run was cancelled.")
            if lost is not None:
                raise lost
    except VmiError:
        if ready:  # what is exported gets its outcomes, whatever becomes of the rest
            yield Group(number, ready, rows=sum(rows[each] for each in ready))
        raise


def _begin_export(runner: Runner, context: Context, progress: Progress) -> export.Export:
    with timed(progress, "export"):
        return runner.step("export.begin", export.begin_export, context)


class timed:  # noqa: N801  # reads as a function where it is used
    """Times a step, settles its rows, notes its waits; a result that was remembered comes at once and adds no time."""

    def __init__(self, progress: Progress, step: str) -> None:
        self._progress = progress
        self._step = step
        self.rows = 0

    def __enter__(self) -> timed:
        self._noting = noting(self._progress.waits)
        self._noting.__enter__()
        self._start, self._cpu = time.monotonic(), time.thread_time()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        seconds, cpu_seconds = time.monotonic() - self._start, time.thread_time() - self._cpu
        self._noting.__exit__(None, None, None)
        if kind is None:
            self._progress.settle(self._step, self.rows, seconds, cpu_seconds)
