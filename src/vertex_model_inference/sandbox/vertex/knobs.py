"""How the sandbox's Vertex AI behaves, set by ``PUT /_sandbox/settings``, and mischief for single jobs."""

from __future__ import annotations

import fnmatch
import random
from typing import Annotated, Literal

import msgspec

__all__ = ["JobPlan", "Mischief", "Settings"]

Naming = Literal["automl", "custom", "proto"]
EndState = Literal["SUCCEEDED", "FAILED", "PARTIALLY_SUCCEEDED", "EXPIRED"]
Lines = list[int] | float


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the whole server; they survive a restart.

    Attributes:
        queued_s: Seconds that a job stays QUEUED at least. ``pending_s``: PENDING. ``running_s``: RUNNING, at least.
        operation_s: Seconds until a long-running operation can be done.
        quota_concurrent_jobs: Jobs PENDING or RUNNING at once; more wait as QUEUED.
        quota_waiting_jobs: Jobs QUEUED at once; a create above it is 429 RESOURCE_EXHAUSTED.
        naming: Style of output file names (``automl`` predictions_00001.jsonl, ``custom``
            prediction.results-00000-of-00003, ``proto`` predictions_0001.jsonl); None: by kind of model.
        error_lines: ``instances``: error files hold one JSON line per failed instance. ``stats``: the error file of the
            ``custom`` style holds messages with counts only, so that the failed instances can be told only by what is
            missing.
        output_files: Files that predictions are spread over, at random.
        window: Lines that are held back and shuffled in memory, per job.
        seed: Of the shuffle.
        batch_size: Instances per request where the job does not say.
        batches_in_flight: Requests to a model's container at once, per job.
        max_failed: A job stops once so many instances have failed and none has succeeded; the rest is incomplete.
        predict_timeout_s: Limit of one online prediction on a shared public endpoint.
        predict_max_bytes: Largest body of one, likewise; dedicated endpoints take 10 MB.
        container_start_s: How long a container may take until its health route answers 200.
    """

    queued_s: float = 0.0
    pending_s: float = 0.2
    running_s: float = 0.0
    operation_s: float = 0.0
    quota_concurrent_jobs: Annotated[int, msgspec.Meta(ge=1)] = 8
    quota_waiting_jobs: int = 1000
    naming: Naming | None = None
    error_lines: Literal["instances", "stats"] = "instances"
    output_files: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    window: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1000
    seed: int = 1
    batch_size: Annotated[int, msgspec.Meta(ge=1)] = 64
    batches_in_flight: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    max_failed: int = 100_000
    predict_timeout_s: float = 60.0
    predict_max_bytes: int = 1_500_000
    container_start_s: float = 90.0


class Mischief(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What to do to jobs whose display name matches; counted down as jobs are created.

    Attributes:
        job_display_name: Shell-style pattern.
        times: How many jobs; 0 means all.
        drop_lines: Output lines that never appear: indexes of input lines, or a fraction of all.
        duplicate: Lines written twice. ``contradict``: written twice, the second time with another prediction.
        corrupt: Lines cut in half, no JSON any more.
        unknown_keys: How many further lines to write, for instances nobody sent.
        forget_labels: Echo Gemini's requests without their labels.
        refuse: Answer the create with 429 RESOURCE_EXHAUSTED.
        stuck: Stay in this state until cancelled.
        stop_after: Stop after so many input lines; the rest is incomplete.
        end_state: State the job ends in, whatever happened.
        message: Of the job's error, when ``end_state`` is not SUCCEEDED.
    """

    job_display_name: str = "*"
    times: int = 1
    drop_lines: Lines = 0.0
    duplicate: Lines = 0.0
    contradict: Lines = 0.0
    corrupt: Lines = 0.0
    unknown_keys: int = 0
    forget_labels: bool = False
    refuse: bool = False
    stuck: Literal["QUEUED", "PENDING", "RUNNING"] | None = None
    stop_after: int | None = None
    end_state: EndState | None = None
    message: str = "Internal error occurred. Please retry in a few minutes."
    fired: int = 0

    def take(self, display_name: str) -> bool:
        """Whether it hits a job of this name; counts it."""
        if self.times and self.fired >= self.times:
            return False
        if not fnmatch.fnmatchcase(display_name, self.job_display_name):
            return False
        self.fired += 1
        return True


class JobPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The settings and mischief that one job was created under; kept with it, so that a restart changes nothing."""

    settings: Settings
    mischief: Mischief | None = None

    def hit(self, what: Literal["drop_lines", "duplicate", "contradict", "corrupt"], index: int) -> bool:
        """Whether mischief of this kind hits the input line with this index (from 0); the same at each call."""
        if self.mischief is None:
            return False
        lines: Lines = getattr(self.mischief, what)
        if isinstance(lines, list):
            return index in lines
        return lines > 0 and random.Random(f"{self.settings.seed}/{what}/{index}").random() < lines  # noqa: S311
