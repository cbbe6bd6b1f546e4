"""The one error tree.

Every error says what happened, to which row or object, what was expected and what to do about it. ``retryable`` tells
the engine whether trying again can help; ``code`` is the stable word that outcomes, pages and tests group by.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AssetError",
    "ConflictError",
    "DatabaseError",
    "DecodeError",
    "LabelboxError",
    "MatchError",
    "NotFoundError",
    "PredictError",
    "RequestError",
    "RowError",
    "SettingsError",
    "SignatureError",
    "StorageError",
    "UnknownOptionError",
    "UnknownOutputError",
    "UploadRefusedError",
    "VertexError",
    "VmiError",
]


class VmiError(Exception):
    """Something that this program can explain.

    Args:
        message: One plain sentence: what happened, to what, and what was expected. Never a secret.
        code: Stable snake_case word for grouping; defaults to the class's own.
        hint: What the reader can do about it, one sentence.
        retryable: Whether the same call can succeed later; defaults to the class's own.
        **context: Public facts (ids, URIs, counts) for logs and pages.
    """

    code: ClassVar[str] = "error"
    retryable_by_default: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        retryable: bool | None = None,
        **context: object,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.error_code = code or self.code
        self.hint = hint
        self.retryable = self.retryable_by_default if retryable is None else retryable
        self.context = context

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # DBOS pickles errors of steps; keyword-only arguments need help to come back whole.
        state = {"code": self.error_code, "hint": self.hint, "retryable": self.retryable, **self.context}
        return (_rebuild, (type(self), self.message, state))


def _rebuild(cls: type[VmiError], message: str, state: dict[str, object]) -> VmiError:
    return cls(message, **state)  # type: ignore[arg-type]  # the state is what __reduce__ above took apart


class SettingsError(VmiError):
    """A setting is missing, unknown, contradictory or of the wrong form."""

    code = "settings"


class RequestError(VmiError):
    """A request to us is malformed."""

    code = "bad_request"


class SignatureError(RequestError):
    """A webhook call is not signed with our secret."""

    code = "signature"


class UnknownOptionError(RequestError):
    """The chosen model option does not exist (any more)."""

    code = "unknown_option"


class NotFoundError(VmiError):
    """A named thing (model run, model, job, file) does not exist."""

    code = "not_found"


class ConflictError(VmiError):
    """A thing exists already, or another process holds it."""

    code = "conflict"


class DatabaseError(VmiError):
    """The engine's database refused or did not answer."""

    code = "database"
    retryable_by_default = True


class LabelboxError(VmiError):
    """Labelbox refused or did not answer."""

    code = "labelbox"


class UploadRefusedError(LabelboxError):
    """Labelbox refuses prediction imports into model runs altogether (its deprecation)."""

    code = "upload_refused"


class VertexError(VmiError):
    """Vertex AI refused or did not answer."""

    code = "vertex"


class StorageError(VmiError):
    """Object storage refused or did not answer."""

    code = "storage"


class UnknownOutputError(VmiError):
    """No decoder recognises what the model answers."""

    code = "unknown_output"


class RowError(VmiError):
    """One data row cannot go on; its neighbours can. Becomes that row's outcome."""

    code = "row"


class AssetError(RowError):
    """The row's asset cannot be read, or is not what the model can take."""

    code = "asset"


class PredictError(RowError):
    """The model answered an error for the row, or nothing at all."""

    code = "predict"


class DecodeError(RowError):
    """The model's answer for the row is not of the decoder's form."""

    code = "decode"


class MatchError(RowError):
    """The model's answer for the row does not fit the ontology."""

    code = "match"
