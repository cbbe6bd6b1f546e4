"""What every Vertex AI answer is made of: errors, names, times, and requests checked against Google's own protos."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson
from google.protobuf import json_format

__all__ = [
    "Answer",
    "ApiError",
    "Call",
    "bucket_and_name",
    "decode_body",
    "error_body",
    "failed_precondition",
    "invalid",
    "new_id",
    "not_found",
    "now",
    "page_of",
    "parse",
    "text_of_number",
    "validate_labels",
]

# google.rpc.Code by status word, and the HTTP code it travels with (google/rpc/code.proto).
RPC_CODES = {
    "CANCELLED": (1, 499),
    "UNKNOWN": (2, 500),
    "INVALID_ARGUMENT": (3, 400),
    "DEADLINE_EXCEEDED": (4, 504),
    "NOT_FOUND": (5, 404),
    "ALREADY_EXISTS": (6, 409),
    "PERMISSION_DENIED": (7, 403),
    "RESOURCE_EXHAUSTED": (8, 429),
    "FAILED_PRECONDITION": (9, 400),
    "ABORTED": (10, 409),
    "OUT_OF_RANGE": (11, 400),
    "UNIMPLEMENTED": (12, 501),
    "INTERNAL": (13, 500),
    "UNAVAILABLE": (14, 503),
    "UNAUTHENTICATED": (16, 401),
}

PAGE_DEFAULT = 100
PAGE_MAX = 1000
_LABEL = re.compile(r"[a-z0-9_-]{0,63}\Z")


class ApiError(Exception):
    """An error as the service answers it.

    Args:
        status: google.rpc.Code as a word, e.g. ``INVALID_ARGUMENT``.
        message: What was wrong, with which resource or field.
        http: HTTP code, when it is not the usual one of ``status``.
        details: ``google.rpc`` detail messages as JSON.
    """

    def __init__(
        self, status: str, message: str, *, http: int | None = None, details: list[dict[str, Any]] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code, usual = RPC_CODES[status]
        self.http = http or usual
        self.details = details or []

    def rpc(self) -> dict[str, Any]:
        """As a ``google.rpc.Status``, the form inside jobs and operations."""
        return {"code": self.code, "message": self.message}


def invalid(message: str) -> ApiError:
    """400 INVALID_ARGUMENT."""
    return ApiError("INVALID_ARGUMENT", message)


def not_found(kind: str, name: str) -> ApiError:
    """404 NOT_FOUND for a resource, in the service's words."""
    return ApiError("NOT_FOUND", f"The {kind} {name} does not exist.")


def failed_precondition(message: str) -> ApiError:
    """400 FAILED_PRECONDITION."""
    return ApiError("FAILED_PRECONDITION", message)


def error_body(error: ApiError) -> dict[str, Any]:
    """The JSON body of an error answer."""
    body: dict[str, Any] = {"code": error.http, "message": error.message, "status": error.status}
    if error.details:
        body["details"] = error.details
    return {"error": body}


class Call(msgspec.Struct, frozen=True):
    """One request.

    Attributes:
        base: Base URL the client used, e.g. ``http://127.0.0.1:8702``.
        parent: ``projects/P/locations/L``; empty for publisher paths that carry no project.
        location: ``L``, or empty.
        ids: What the path named, by the route's group names.
        query: Query parameters; of a repeated one the last.
        body: Raw request body.
        headers: Lower-case names.
    """

    base: str
    parent: str
    location: str
    ids: dict[str, str]
    query: dict[str, str]
    body: bytes
    headers: dict[str, str]


class Answer(msgspec.Struct, frozen=True):
    """An answer that is not plain JSON with status 200."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = {}


def now() -> str:
    """The present as the service writes it, UTC with microseconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def new_id() -> str:
    """A resource id like the service's: 19 digits, so above 2^53 and damaged by whoever takes it for a number."""
    return str(secrets.randbelow(8 * 10**18) + 10**18)


def decode_body(body: bytes) -> dict[str, Any]:
    """The request body as a JSON object.

    Raises:
        ApiError: It is not one.
    """
    if not body.strip():
        return {}
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise invalid(f"Invalid JSON payload received. {error}") from None
    if not isinstance(value, dict):
        raise invalid("Invalid JSON payload received. The root must be an object.")
    return value


def parse(message: Any, value: Mapping[str, Any], field: str) -> dict[str, Any]:
    """Check ``value`` against a proto and give it back in the service's canonical JSON.

    Enums are accepted as names and as ints (gapic sends ints), field names in camelCase and snake_case.

    Args:
        message: A proto-plus class of ``aiplatform_v1.types``.
        value: JSON object as sent.
        field: Name of the field it came in, for the error's message.

    Raises:
        ApiError: Unknown field, or a value of the wrong type.
    """
    raw = message.pb(message())
    try:
        json_format.ParseDict(value, raw)
    except json_format.ParseError as error:
        first = str(error).partition("\n")[0]
        unknown = re.search(r'has no field named "([^"]+)"', first)
        if unknown:
            raise invalid(
                f"Invalid JSON payload received. Unknown name \"{unknown[1]}\" at '{field}': Cannot find field."
            ) from None
        raise invalid(f"Invalid value at '{field}': {first}") from None
    result: dict[str, Any] = json_format.MessageToDict(raw)
    return result


def validate_labels(labels: Mapping[str, str]) -> None:
    """Check user labels as Google Cloud does.

    Raises:
        ApiError: More than 64, or a key or value of a form that is not allowed.
    """
    if len(labels) > 64:
        raise invalid(f"There are {len(labels)} labels; at most 64 are allowed.")
    for key, value in labels.items():
        if not key or not _LABEL.match(key) or not key[0].isalpha():
            raise invalid(
                f"Invalid label key {key!r}: it must start with a lower-case letter and have at most 63 lower-case "
                "letters, digits, underscores and dashes."
            )
        if not _LABEL.match(value):
            raise invalid(
                f"Invalid value {value!r} of label {key!r}: at most 63 lower-case letters, digits, underscores and "
                "dashes."
            )


def bucket_and_name(uri: str, field: str) -> tuple[str, str]:
    """Bucket and object (or prefix, perhaps empty) of a ``gs://`` URI.

    Raises:
        ApiError: It is not one.
    """
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    if not uri.startswith("gs://") or not bucket:
        raise invalid(f"Invalid {field}: {uri!r} is not a Google Cloud Storage URI; expected gs://bucket/path.")
    return bucket, name


def text_of_number(value: int) -> str:
    """An int64 as proto JSON writes it."""
    return str(value)


def page_of(items: list[dict[str, Any]], call: Call, collection: str, *, largest: int = PAGE_MAX) -> dict[str, Any]:
    """One page of a list answer.

    A page token is the name of the last resource of the page before, so that new resources do not shift pages.

    Args:
        items: All matching resources, in order.
        call: Its query holds ``pageSize`` and ``pageToken``.
        collection: Name of the list in the answer, e.g. ``models``.
        largest: Page sizes above it are cut to it.

    Raises:
        ApiError: Bad page size or token.
    """
    size_text = call.query.get("pageSize") or call.query.get("page_size") or "0"
    if not re.fullmatch(r"-?\d+", size_text) or int(size_text) < 0:
        raise invalid(f"Invalid page_size {size_text!r}: it must be a positive number.")
    size = min(int(size_text) or PAGE_DEFAULT, largest)
    token = call.query.get("pageToken") or call.query.get("page_token") or ""
    start = 0
    if token:
        try:
            mark = orjson.loads(base64.urlsafe_b64decode(token.encode()))
            name, offset, given = mark["n"], mark["o"], mark["f"]
        except (binascii.Error, ValueError, KeyError, TypeError):
            raise invalid(f"Invalid page_token {token!r}.") from None
        if given != call.query.get("filter", ""):
            raise invalid("page_token was given for another filter; all other arguments must stay the same.")
        start = next((i + 1 for i, item in enumerate(items) if item["name"] == name), offset)
    page = items[start : start + size]
    answer: dict[str, Any] = {collection: page} if page else {}
    if start + size < len(items):
        mark = {"n": page[-1]["name"], "o": start + size, "f": call.query.get("filter", "")}
        answer["nextPageToken"] = base64.urlsafe_b64encode(orjson.dumps(mark)).decode()
    return answer
