"""The sandbox's Vertex AI as one ASGI app, for google-cloud-aiplatform (REST) and google-genai."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

import orjson

from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.faults import FaultMiddleware
from vertex_model_inference.sandbox.vertex.routes import route
from vertex_model_inference.sandbox.vertex.service import Service
from vertex_model_inference.sandbox.vertex.wire import Answer, ApiError, Call, error_body

__all__ = ["create_app"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_BODY = 64 * 1024 * 1024

_log = logging.getLogger(__name__)


def create_app(config: SandboxConfig) -> FaultMiddleware:
    """The server; its state is in ``config.state / "vertex"``."""
    return FaultMiddleware(_App(config), _operation)


def _operation(scope: Scope, _body: bytes) -> str | None:
    found = route(scope["method"], scope["path"])
    return found.operation if found else None


class _App:
    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        self.service: Service | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            answer = await self._answer(scope, receive)
            headers = {"Content-Type": "application/json; charset=UTF-8", **answer.headers}
            headers["Content-Length"] = str(len(answer.body))
            raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
            await send({"type": "http.response.start", "status": answer.status, "headers": raw})
            await send({"type": "http.response.body", "body": answer.body})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            self.service = Service(self.config)
            self.service.start()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.service.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        try:
            result = await self._result(scope, receive)
        except ApiError as error:
            return _json(error_body(error), error.http)
        except Exception:  # noqa: BLE001  # a client gets Google's words, never our stack trace
            _log.exception("%s %s failed", scope["method"], scope["path"])
            return _json(error_body(ApiError("INTERNAL", "Internal error encountered.")), 500)
        return result if isinstance(result, Answer) else _json(result, 200)

    async def _result(self, scope: Scope, receive: Receive) -> dict[str, Any] | Answer:
        assert self.service is not None
        body = await _body(receive)
        method, path = scope["method"], scope["path"]
        if path.startswith("/_sandbox/"):
            return await self.service.sandbox(method, path.removeprefix("/_sandbox/"), body)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if not re.match(r"Bearer\s+\S", headers.get("authorization", "")):
            raise ApiError(
                "UNAUTHENTICATED",
                "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie "
                "or other valid authentication credential.",
            )
        found = route(method, path)
        if found is None:
            raise ApiError("NOT_FOUND", f"{method} {path} is not a method of this API.")
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        parent, location = found.parent, found.location
        call = Call(self.config.vertex_url, parent, location, found.ids, query, body, headers)
        handler = self.service.handler(found.operation)
        if handler is None:
            raise ApiError("UNIMPLEMENTED", f"The sandbox does not serve {found.operation}.")
        return await handler(call)


def _json(value: Any, status: int) -> Answer:
    return Answer(orjson.dumps(value), status)


async def _body(receive: Receive) -> bytes:
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > MAX_BODY:
            raise ApiError("INVALID_ARGUMENT", f"Request payload size exceeds the limit: {MAX_BODY} bytes.", http=413)
        chunks.append(chunk)
        if not message.get("more_body"):
            break
    return b"".join(chunks)
