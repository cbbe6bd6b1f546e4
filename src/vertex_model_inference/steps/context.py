"""What every step has at hand: settings, the three gateways, and where progress is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from vertex_model_inference.outcomes import Outcome, OutcomeStatus
from vertex_model_inference.rows import DataRow
from vertex_model_inference.spec import Answer, Decoded, Files, RunSpec, Staged
from vertex_model_inference.steps.halting import Halt, Stop
from vertex_model_inference.steps.pressure import Paces
from vertex_model_inference.steps.renewing import Renewals

if TYPE_CHECKING:
    from vertex_model_inference.labelbox.gateway import Labelbox
    from vertex_model_inference.settings import Settings
    from vertex_model_inference.storage.index import AssetIndex
    from vertex_model_inference.storage.places import Buckets
    from vertex_model_inference.storage.regions import Regions
    from vertex_model_inference.storage.store import Store
    from vertex_model_inference.vertex.gemini import Gemini
    from vertex_model_inference.vertex.jobs import BatchJobs
    from vertex_model_inference.vertex.online import Predictions

__all__ = ["Context", "Stop", "Tell", "failed", "left_out", "read_rows", "read_structs", "skipped", "write_structs"]

T = TypeVar("T")

_ENCODER = msgspec.json.Encoder()
_DECODERS: dict[type[Any], msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in (DataRow, Outcome, Staged, Answer, Decoded)
}
"""Made here and not where they are used: msgspec crashes the process (0.22.0) when several threads make the first
decoder of a type at the same time. For the same reason, whatever the threads of runs decode has its decoder made when
its module is imported.
"""


class Tell(Protocol):
    """Where a step says how far it is."""

    def __call__(self, step: str, done: int) -> None:
        """``done`` more rows have passed ``step``."""


def _silent(step: str, done: int) -> None:  # noqa: ARG001
    return


@dataclass(frozen=True, slots=True)
class Context:
    """One run's surroundings; safe to share between threads.

    Attributes:
        spec: The run.
        store: The run's files and copied assets.
        tell: Progress within a step; the sums are kept by the workflow from the steps' results.
        halt: Set when the run is cancelled or has used up a budget.
        paces: How much each service takes, as the process's runs have learnt it.
    """

    spec: RunSpec
    settings: Settings
    labelbox: Labelbox
    store: Store
    buckets: Buckets
    regions: Regions
    index: AssetIndex
    jobs: BatchJobs
    predictions: Predictions
    tell: Tell = _silent
    gemini: Gemini | None = None
    halt: Halt = field(default_factory=Halt)
    paces: Paces = field(default_factory=Paces)
    renewals: Renewals = field(default_factory=Renewals)

    def telling(self, tell: Tell) -> Context:
        """The same, telling its progress to ``tell``."""
        return replace(self, tell=tell)

    @property
    def files(self) -> Files:
        """Names of the run's files."""
        return Files(self.spec.run_id)


def read_structs(context: Context, path: str, kind: type[T]) -> list[T]:
    """All lines of a run's file as values."""
    decoder: msgspec.json.Decoder[T] = _DECODERS[kind]
    return [decoder.decode(line) for line in context.store.lines(path)]


def read_rows(context: Context, shard: int) -> list[DataRow]:
    """The shard's data rows, in the order of the export."""
    return read_structs(context, context.files.shard("rows", shard), DataRow)


def write_structs(context: Context, path: str, values: Iterable[object]) -> int:
    """Write values as lines; returns how many."""
    return context.store.put_lines(path, (_ENCODER.encode(value) for value in values))


def failed(row_id: str, global_key: str | None, step: str, code: str, message: str, *, retryable: bool) -> Outcome:
    """The outcome of a row that failed at a step."""
    return Outcome(
        data_row_id=row_id,
        global_key=global_key,
        status=OutcomeStatus.FAILED,
        step=step,
        code=code,
        message=message,
        retryable=retryable,
    )


def skipped(
    row_id: str, global_key: str | None, step: str, code: str, message: str, *, retryable: bool = False
) -> Outcome:
    """The outcome of a row that the model cannot take, or is not to be sent."""
    return Outcome(
        data_row_id=row_id,
        global_key=global_key,
        status=OutcomeStatus.SKIPPED,
        step=step,
        code=code,
        message=message,
        retryable=retryable,
    )


def left_out(context: Context, row: DataRow) -> Outcome:
    """The outcome of a row that was not sent, or whose answer was not waited for, since the run is halted.

    Raises:
        AssertionError: It is not halted.
    """
    stop = context.halt.stop
    assert stop is not None, "every row that is sent comes to something"
    return skipped(row.id, row.global_key, "predict", stop.code, stop.message, retryable=stop.retryable)
