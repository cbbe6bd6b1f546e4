"""Makes a run's spec from what was asked for and what is in force at that moment."""

from __future__ import annotations

from vertex_model_inference.models import ModelOption
from vertex_model_inference.runs.status import now
from vertex_model_inference.settings import Settings
from vertex_model_inference.spec import ARTIFACTS_VERSION, RunSpec

__all__ = ["spec_of"]


def spec_of(
    settings: Settings,
    run_id: str,
    model_run_id: str,
    option: ModelOption,
    model_id: str | None = None,
    *,
    rerun: str | None = None,
) -> RunSpec:
    """The spec of a new run, with everything frozen that its steps are cut by.

    ``rerun``: as of ``RunSpec``; None: as the model's section has it.
    """
    return RunSpec(
        run_id=run_id,
        model_run_id=model_run_id,
        option=option,
        created_at=now(),
        model_id=model_id,
        shard_rows=settings.shard_rows,
        job_rows=settings.job_rows,
        artifacts_version=ARTIFACTS_VERSION,
        delivery=option.delivery.over(settings.delivery),
        run_groups=settings.run_groups,
        rerun=rerun or option.rerun,
    )
