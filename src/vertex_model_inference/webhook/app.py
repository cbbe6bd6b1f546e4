"""What Labelbox calls when someone presses *Train Model*: ``GET /models`` and ``POST /model_run``.

Protocol: docs.labelbox.com, "model training service API integration". Labelbox's own timeouts and retries are not
documented, so answers come in milliseconds and a call that is delivered again joins the run of the first.
Every refusal is ``{"error": {"code", "message", "hint"}}`` with one clear sentence.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import orjson
import structlog
from anyio import to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vertex_model_inference import __version__
from vertex_model_inference.errors import (
    NotFoundError,
    RequestError,
    SignatureError,
    UnknownOptionError,
    VmiError,
)
from vertex_model_inference.models import ModelOption
from vertex_model_inference.settings import Settings
from vertex_model_inference.vertex.catalog import Catalog
from vertex_model_inference.webhook.refusals import TooLargeError, refusal
from vertex_model_inference.webhook.runs import Runs
from vertex_model_inference.webhook.signature import HEADER, verify

__all__ = ["Call", "Lookup", "create_app", "parse_call", "unknown_option"]

log = structlog.get_logger("vmi.webhook")

Lookup = Callable[[str], Awaitable[bool | None]]
Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]

_BODY_TIMEOUT_S = 10.0
_START_TIMEOUT_S = 40.0  # longer than the engine is waited for when it starts
_RETRY_AFTER_S = "10"
_PATHS = re.compile(r"/+(models|model_run|healthz)/*")
# Labelbox's ids are UUIDs or 25 letters and digits; they become parts of file names and queries.
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


class Call(msgspec.Struct, frozen=True):
    """The body of ``POST /model_run``, the part that is used.

    Attributes:
        model_run_id: Labelbox's id of the model run.
        model_type: The chosen key of the ``/models`` answer.
        model_id: Labelbox's id of the model; Labelbox sends it, nothing depends on it.
    """

    model_run_id: str
    model_type: str
    model_id: str | None = None


def parse_call(body: bytes) -> Call:
    """Read a ``POST /model_run`` body; unknown keys are ignored.

    Raises:
        RequestError: Not JSON, not an object, a key missing or of the wrong type; names the key.
    """
    try:
        value: Any = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise RequestError(
            "The body is not JSON.", code="not_json", hint='Send {"modelRunId": ..., "modelType": ...}.'
        ) from None
    if not isinstance(value, dict):
        raise RequestError("The body must be a JSON object.", code="not_object")
    return Call(_text(value, "modelRunId", identity=True), _text(value, "modelType"), _optional_text(value, "modelId"))


def unknown_option(name: str, names: Sequence[str]) -> UnknownOptionError:
    """The error for a ``modelType`` that is none of the options."""
    known = ", ".join(map(repr, names[:20])) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    return UnknownOptionError(
        f"There is no model option {name[:200]!r}.",
        hint=f"The options are {known}." if names else "There are none yet: `vmi models` says why.",
        options=tuple(names),
    )


def _text(value: dict[str, Any], key: str, *, identity: bool = False) -> str:
    if key not in value:
        raise RequestError(f"The key {key} is missing from the body.", code="missing_key")
    text = value[key]
    if not isinstance(text, str):
        raise RequestError(f"The key {key} must be a string, not {_kind(text)}.", code="wrong_type")
    if not text:
        raise RequestError(f"The key {key} is empty.", code="wrong_type")
    if identity and not _ID.fullmatch(text):
        raise RequestError(f"The key {key} is not of the form of a Labelbox id.", code="wrong_type")
    return text


def _optional_text(value: dict[str, Any], key: str) -> str | None:
    if value.get(key) is None:
        return None
    return _text(value, key, identity=True)


def _kind(value: object) -> str:
    if value is None:
        return "null"
    words = {bool: "a boolean", int: "a number", float: "a number", list: "an array", dict: "an object"}
    return words.get(type(value), type(value).__name__)


def create_app(
    settings: Settings,
    catalog: Catalog,
    runs: Runs,
    lookup: Lookup,
    *,
    routes: Sequence[BaseRoute] = (),
    pages: ASGIApp | None = None,
    lifespan: Lifespan | None = None,
) -> ASGIApp:
    """The server's ASGI app.

    Args:
        settings: For the secret and the body limit.
        catalog: The menu.
        runs: Starts runs; called in a thread.
        lookup: Whether Labelbox has a model run (None: it did not say; then the run itself finds out).
        routes: More routes.
        pages: Serves every other path.
        lifespan: Of the app.
    """
    handlers = _Handlers(settings, catalog, runs, lookup)
    app = Starlette(
        routes=[
            Route("/models", handlers.models, methods=["GET"]),
            Route("/model_run", handlers.model_run, methods=["POST"]),
            Route("/healthz", handlers.healthz, methods=["GET"]),
            *routes,
        ],
        exception_handlers={
            VmiError: _explained,
            HTTPException: _http_error,
        },
        middleware=[Middleware(_Shield)],
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    if pages is not None:
        app.router.default = pages
    return _Slashes(app)


class _Slashes:
    """Takes ``//models`` and ``/models/`` for ``/models``: people enter the URL with a slash at its end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            match = _PATHS.fullmatch(scope["path"])
            if match:
                path = f"/{match[1]}"
                scope = {**scope, "path": path, "raw_path": path.encode()}
        await self._app(scope, receive, send)


class _Shield:
    """Answers what no handler expected. Starlette's own would raise it again, and the server would hang up on it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:  # the last line of defence, and the log has it all
            log.exception("a call failed unexpectedly")
            if scope["type"] != "http" or started:
                raise
            hint = "The server's log has the cause."
            await _refusal(500, "internal", "Something went wrong in this server.", hint)(scope, receive, send)


class _Handlers:
    def __init__(self, settings: Settings, catalog: Catalog, runs: Runs, lookup: Lookup) -> None:
        self._secret = settings.webhook_secret
        self._limit = settings.body_limit
        self._catalog = catalog
        self._runs = runs
        self._lookup = lookup
        self._starting: dict[Call, asyncio.Task[tuple[str, bool]]] = {}

    async def models(self, request: Request) -> Response:
        """The menu: option -> an object that Labelbox ignores."""
        await self._body(request)
        if self._catalog.filled:
            options = self._catalog.options(0.0)
        else:  # the first fill ever is waited for: in a thread
            options = await to_thread.run_sync(self._catalog.options)
        return _json({name: {} for name in options.names})

    async def model_run(self, request: Request) -> Response:
        """Start or join a run."""
        call = parse_call(await self._body(request))
        option = self._catalog.known(call.model_type)
        if option is None:
            option = await to_thread.run_sync(self._catalog.find, call.model_type)
        if option is None:
            raise unknown_option(call.model_type, self._catalog.options(0.0).names)
        if await self._lookup(call.model_run_id) is False:
            raise NotFoundError(
                f"Labelbox knows no model run {call.model_run_id}.",
                code="unknown_model_run",
                hint="Check that LABELBOX_API_KEY belongs to the organization of the model run.",
            )
        run_id, joined = await self._start(call, option)
        log.info("joined a run" if joined else "started a run", run=run_id, model_run=call.model_run_id)
        return _json({"runId": run_id, "joined": joined})

    async def healthz(self, _: Request) -> Response:
        """That the process answers; says nothing about what it is connected to, anyone may ask."""
        return _json({"status": "ok", "version": __version__})

    async def _start(self, call: Call, option: ModelOption) -> tuple[str, bool]:
        """Start or join the run. A call that comes while the same call is being served shares its answer: a burst of
        deliveries costs the engine one question.
        """
        task = self._starting.get(call)
        mine = task is None
        if task is None:
            task = asyncio.create_task(to_thread.run_sync(self._start_now, call, option))
            self._starting[call] = task
            task.add_done_callback(lambda done: self._started(call, done))
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                run_id, joined = await asyncio.shield(task)  # a caller that hangs up must not take the others along
        except TimeoutError:
            raise VmiError(
                "The engine's database does not answer.",
                code="database",
                hint="Try again: a run that was begun meanwhile is joined.",
                retryable=True,
            ) from None
        return run_id, joined or not mine

    def _started(self, call: Call, task: asyncio.Task[tuple[str, bool]]) -> None:
        del self._starting[call]
        if not task.cancelled():
            task.exception()  # seen: those who wait for it raise it

    def _start_now(self, call: Call, option: ModelOption) -> tuple[str, bool]:
        started = self._runs.start_run(call.model_run_id, option, model_id=call.model_id)
        return started.run_id, started.joined

    async def _body(self, request: Request) -> bytes:
        """The raw body, within the limit and signed.

        Raises:
            RequestError: Over the limit (413) or too slow (408).
            SignatureError: Not signed with our secret.
        """
        declared = request.headers.get("content-length", "")
        if declared.isascii() and declared.isdigit() and (len(declared) > 18 or int(declared) > self._limit):
            raise self._too_large()
        try:
            async with asyncio.timeout(_BODY_TIMEOUT_S):
                body = await self._read(request)
        except TimeoutError:
            raise HTTPException(408, "The body did not arrive within 10 s.") from None
        except ClientDisconnect:
            raise HTTPException(400, "The connection ended before the body did.") from None
        secret = self._secret.get_secret_value() if self._secret else None
        if secret is not None and not verify(secret, body, request.headers.get(HEADER)):
            given = request.headers.get(HEADER)
            raise SignatureError(
                f"The header {HEADER} is {'not the signature of this body' if given else 'missing'}.",
                hint="The secret entered in Labelbox must be the one in VMI_WEBHOOK_SECRET.",
            )
        return body

    async def _read(self, request: Request) -> bytes:
        parts = []
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > self._limit:
                raise self._too_large()
            parts.append(part)
        return b"".join(parts)

    def _too_large(self) -> TooLargeError:
        return TooLargeError(
            f"The body is larger than {self._limit} bytes.", hint="A Train Model call has a few hundred bytes."
        )


def _json(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, "application/json")


def _closing(status: int) -> dict[str, str] | None:
    # An unread rest of a body would be taken for the next request: end the connection.
    return {"Connection": "close"} if status in (408, 413) else None


def _refusal(status: int, code: str, message: str, hint: str | None = None) -> Response:
    return _json({"error": {"code": code, "message": message, "hint": hint}}, status, _closing(status))


async def _explained(_: Request, error: Exception) -> Response:
    assert isinstance(error, VmiError)
    status, body = refusal(error)
    if status >= 500:
        log.error("a call could not be served", error=error.message, code=error.error_code)
    headers = {"Retry-After": _RETRY_AFTER_S} if status == 503 else _closing(status)
    return _json(body, status, headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentences = {
        404: ("not_found", f"There is nothing at {request.url.path[:200]}."),
        405: ("method", f"{request.method} is not possible at {request.url.path[:200]}."),
    }
    code, message = sentences.get(error.status_code, ("bad_request", error.detail))
    response = _refusal(error.status_code, code, message)
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response
