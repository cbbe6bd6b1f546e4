"""Retries that stamina sleeps for are noted as waits of the run that they belong to."""

from __future__ import annotations

from stamina.instrumentation import RetryDetails, get_on_retry_hooks, set_on_retry_hooks

from vertex_model_inference.errors import LabelboxError, VertexError, VmiError
from vertex_model_inference.waiting import FAULT, RATE_LIMIT, note

__all__ = ["note_retries"]

_LIMITS = ("labelbox_limit", "quota")


def note_retries() -> None:
    """From now on, in this process; stamina's other hooks (the log) stay. Calling it again changes nothing."""
    hooks = get_on_retry_hooks()
    if _note not in hooks:
        set_on_retry_hooks([*hooks, _note])


def _note(details: RetryDetails) -> None:
    error: object = details.caused_by
    error = getattr(error, "error", error)  # the gateway's own signal carries the error that people see
    if isinstance(error, LabelboxError):
        service = "labelbox"
    elif isinstance(error, VertexError):
        service = "vertex"
    else:
        return
    assert isinstance(error, VmiError)
    note(service, RATE_LIMIT if error.error_code in _LIMITS else FAULT, details.wait_for)
