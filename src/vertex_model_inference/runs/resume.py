"""Carries on a run whose process died, on request; a run that a living process has is left to it."""

from __future__ import annotations

from vertex_model_inference.errors import ConflictError, NotFoundError
from vertex_model_inference.runs.reading import idle_seconds, status_of
from vertex_model_inference.runs.service import RunService
from vertex_model_inference.storage.store import Store

__all__ = ["claim"]


def claim(service: RunService, store: Store, run: str) -> str:
    """Start the engine and take the run over; the run's whole id. ``service.wait`` then waits for its end.

    Args:
        service: Not started yet, of role ``run``.
        store: The artifacts.
        run: As of ``status_of``.

    Raises:
        NotFoundError: No run, or several, of that name; or one that another engine's database has.
        ConflictError: ``ended``, it has ended; ``alive``, a living process works on it.
        SettingsError: A setting that runs need is missing.
        StorageError: Storage did not answer.
    """
    status = status_of(store, run)
    run_id = status.run_id
    if status.state.ended:
        raise ConflictError(
            f"Run {run_id} has ended ({status.state.value}): there is nothing to carry on.",
            code="ended",
            hint="To do rows again, `vmi run` the same model run and model.",
        )
    service.start()
    try:
        taken = service.take_over(run_id)
    except NotFoundError:
        raise NotFoundError(
            f"This engine's database does not have run {run_id}: it was begun with another one.",
            hint="Set VMI_DATA_DIR or VMI_DATABASE_URL as they were, on the machine where the run was begun; a run of "
            "Cloud Functions is carried on by the same request again.",
        ) from None
    if not taken:
        raise ConflictError(
            f"A living process works on run {run_id} (its last word is {idle_seconds(status):.0f} s old).",
            code="alive",
            hint="`vmi status` shows how far it is; `vmi cancel` stops it.",
        )
    return run_id
