"""How an error of ours is told to an HTTP caller: one status, one clear sentence."""

from __future__ import annotations

from typing import Any

from vertex_model_inference.errors import (
    ConflictError,
    NotFoundError,
    RequestError,
    SignatureError,
    UnknownOptionError,
    VmiError,
)

__all__ = ["TooLargeError", "refusal"]


class TooLargeError(RequestError):
    """The request's body is over the limit."""

    code = "too_large"


_STATUS: tuple[tuple[type[VmiError], int], ...] = (
    (TooLargeError, 413),
    (SignatureError, 401),
    (UnknownOptionError, 422),
    (RequestError, 400),
    (NotFoundError, 404),
    (ConflictError, 409),
)


def refusal(error: VmiError) -> tuple[int, dict[str, Any]]:
    """HTTP status and JSON body ``{"error": {"code", "message", "hint"}}``, with ``options`` for a wrong choice."""
    status = next((number for kind, number in _STATUS if isinstance(error, kind)), 503 if error.retryable else 500)
    body: dict[str, Any] = {"code": error.error_code, "message": error.message, "hint": error.hint}
    if isinstance(error, UnknownOptionError) and "options" in error.context:
        body["options"] = error.context["options"]
    return status, {"error": body}
