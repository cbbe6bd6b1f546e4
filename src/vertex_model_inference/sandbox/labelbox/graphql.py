"""GraphQL without an engine: the SDK's queries are fixed strings, so the operation's name says everything.

Handlers give whole objects; the SDK looks fields up by name and ignores what it did not ask for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from vertex_model_inference.sandbox.labelbox.jobs import Jobs
    from vertex_model_inference.sandbox.labelbox.store import Store
    from vertex_model_inference.sandbox.labelbox.store.files import FileEntry

__all__ = ["Call", "GraphqlError", "Operations", "conflict", "invalid", "name_of", "not_found", "page_of"]

_NAME = re.compile(rb"\b(?:query|mutation)(?:\s|\\[nrt])+(\w+)")
_SKIP = re.compile(r"skip:\s*(\d+),?\s*first:\s*(\d+)")


class GraphqlError(Exception):
    """An error as Labelbox puts it into ``errors[]``.

    Args:
        message: For people.
        code: ``extensions.code``: one of the words that the SDK knows.
        status: ``extensions.exception.status``, which the SDK reads for INTERNAL_SERVER_ERROR.
    """

    def __init__(self, message: str, code: str = "INTERNAL_SERVER_ERROR", status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status

    def body(self) -> dict[str, Any]:
        """The whole answer."""
        extensions: dict[str, Any] = {"code": self.code}
        if self.status is not None:
            extensions["exception"] = {"status": self.status}
        return {"errors": [{"message": self.message, "extensions": extensions}], "data": None}


def not_found(what: str, key: object) -> GraphqlError:
    """There is no such thing; the SDK makes ResourceNotFoundError of it."""
    return GraphqlError(f"{what} {key!r} not found.", "RESOURCE_NOT_FOUND")


def conflict(message: str) -> GraphqlError:
    """It exists already; the SDK makes ResourceConflict of it."""
    return GraphqlError(message, "RESOURCE_CONFLICT")


def invalid(message: str) -> GraphqlError:
    """The input is wrong; the SDK makes InvalidQueryError of it."""
    return GraphqlError(message, "INTERNAL_SERVER_ERROR", 400)


class Call(msgspec.Struct):
    """One operation to answer.

    Attributes:
        store: What the server keeps.
        jobs: Background work.
        query: GraphQL text; ids and page bounds are inlined there by some of the SDK's queries.
        variables: As sent.
        prediction_imports: ``accept`` or ``deprecated``.
        upload: The uploaded file of a multipart request.
    """

    store: Store
    jobs: Jobs
    query: str
    variables: dict[str, Any]
    prediction_imports: str
    upload: FileEntry | None = None

    def text(self, *path: str) -> str:
        """A variable that must be a non-empty string.

        Raises:
            GraphqlError: It is not there or not a string.
        """
        value: Any = self.variables
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if not isinstance(value, str) or not value:
            raise GraphqlError(f"Variable ${'.'.join(path)} must be a non-empty string.", "GRAPHQL_VALIDATION_FAILED")
        return value

    def texts(self, *path: str) -> list[str]:
        """A variable that is a list of strings, or null (gives an empty list).

        Raises:
            GraphqlError: It is anything else.
        """
        value: Any = self.variables
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise GraphqlError(f"Variable ${'.'.join(path)} must be a list of strings.", "GRAPHQL_VALIDATION_FAILED")
        return value

    def param(self) -> str:
        """The id in ``$param_0``, where the ORM's queries put it."""
        return self.text("param_0")


Handler = Callable[[Call], dict[str, Any]]


class Operations:
    """A table of handlers by operation name; one for each area, added together in ``app``."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}

    def __call__(self, *names: str) -> Callable[[Handler], Handler]:
        """Decorator: the function answers these operations (named without the ``PyApi`` at their end)."""

        def register(handler: Handler) -> Handler:
            for name in names:
                self.handlers[name] = handler
            return handler

        return register

    def add(self, other: Operations) -> None:
        """Take over another area's handlers."""
        self.handlers.update(other.handlers)

    def find(self, name: str) -> Handler:
        """The handler for an operation as named on the wire.

        Raises:
            GraphqlError: The sandbox does not know it.
        """
        handler = self.handlers.get(name.removesuffix("PyApi"))
        if handler is None:
            raise GraphqlError(f"The sandbox does not know the operation {name!r}.", "GRAPHQL_VALIDATION_FAILED")
        return handler


def name_of(body: bytes) -> str | None:
    """The operation's name in a GraphQL request: plain JSON or the ``operations`` part of a multipart body."""
    found = _NAME.search(body, 0, 65536)
    return found.group(1).decode() if found else None


def page_of(query: str) -> tuple[int, int]:
    """``skip`` and ``first`` that the SDK writes into its query texts; (0, 100) when there are none."""
    found = _SKIP.search(query)
    return (int(found.group(1)), int(found.group(2))) if found else (0, 100)
