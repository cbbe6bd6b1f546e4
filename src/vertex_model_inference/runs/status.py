"""How far a run is, as a file that anyone can read."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from vertex_model_inference.outcomes import Counts

__all__ = ["STEPS", "RunState", "RunStatus", "StepProgress", "now"]

STEPS = ("export", "assets", "predict", "decode", "upload")


class RunState(StrEnum):
    """Labelbox's five pipeline states, the one before them, and two ends that Labelbox has no word for."""

    QUEUED = "QUEUED"
    EXPORTING = "EXPORTING_DATA"
    PREPARING = "PREPARING_DATA"
    PREDICTING = "TRAINING_MODEL"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    """Somebody cancelled it."""
    STOPPED = "STOPPED"
    """A budget was used up."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self in (RunState.COMPLETE, RunState.FAILED, RunState.CANCELLED, RunState.STOPPED)

    @property
    def pipeline(self) -> str:
        """What Labelbox is told: it knows five states, and a run that was stopped did not complete."""
        return RunState.FAILED.value if self in (RunState.CANCELLED, RunState.STOPPED) else self.value


class StepProgress(msgspec.Struct, kw_only=True):
    """One step, over all shards: rows that have passed it, seconds on the clock, and CPU seconds of its own threads."""

    done: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0


class RunStatus(msgspec.Struct, kw_only=True):
    """What ``status.json`` holds.

    Attributes:
        run_id: Ours. ``model_run_id``: Labelbox's. ``option``: name of the menu's entry.
        state: Where the run is.
        created_at: RFC 3339, UTC; likewise ``updated_at`` and ``ended_at``.
        rows: Data rows exported so far; final once ``export_complete``.
        steps: Progress by step.
        counts: Outcomes so far.
        jobs: Batch prediction jobs: resource name -> state.
        message: One plain sentence for people.
        waited: Seconds slept before another try, by ``"<service>: <cause>"``, summed over all requests.
        halted: Why the run is being stopped, from the moment on that its process knows of it.
    """

    run_id: str
    model_run_id: str
    option: str
    state: RunState = RunState.QUEUED
    created_at: str = ""
    updated_at: str = ""
    ended_at: str | None = None
    rows: int = 0
    export_complete: bool = False
    steps: dict[str, StepProgress] = {}
    counts: Counts = Counts()
    jobs: dict[str, str] = {}
    message: str | None = None
    waited: dict[str, float] = {}
    halted: str | None = None


def now() -> str:
    """The present moment, RFC 3339, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
