"""The server: GraphQL on ``/graphql`` and ``/_gql``, REST on ``/api/v1``, ``/files``, and our own ``/_sandbox``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.faults import FaultMiddleware
from vertex_model_inference.sandbox.labelbox import control, masks, rest
from vertex_model_inference.sandbox.labelbox.fetch import Fetcher
from vertex_model_inference.sandbox.labelbox.graphql import Call, GraphqlError, name_of
from vertex_model_inference.sandbox.labelbox.jobs import Jobs
from vertex_model_inference.sandbox.labelbox.limits import RateLimit
from vertex_model_inference.sandbox.labelbox.operations import all_operations
from vertex_model_inference.sandbox.labelbox.page import page_routes
from vertex_model_inference.sandbox.labelbox.store import Store
from vertex_model_inference.sandbox.labelbox.store.files import FileEntry

__all__ = ["Server", "create_app"]

_FILE_FIELDS_MOST = 64 * 1024 * 1024  # bytes of GraphQL text in a multipart request


class Server:
    """One running Labelbox: the store, its jobs, and the answers.

    Args:
        config: Of the sandbox.
    """

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        self.store = Store(config.state / "labelbox", config.labelbox_url)
        self.fetcher = Fetcher(self.store, config.storage_url)
        self.jobs = Jobs(self.store, self.fetcher)
        self.limit = RateLimit()
        self.limit.per_minute = self.store.setting("settings", {}).get("rate_limit_per_minute")
        self.operations = all_operations()
        self._threads = ThreadPoolExecutor(16, "labelbox-request")

    def close(self) -> None:
        """Finish the requests and pieces of jobs under way, close everything."""
        self.jobs.close()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self.fetcher.close()
        self.store.close()

    async def in_thread(self, function: Any, *arguments: Any) -> Any:
        """Run blocking work off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def refuse(self, request: Request) -> Response | None:
        """The answer for a request without a good key, or over the rate limit; None: go on."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        good = scheme.lower() == "bearer" and key.strip() not in ("", "None")
        if not good or (self.config.api_key is not None and key.strip() != self.config.api_key):
            return _json(401, GraphqlError("Invalid API key", "AUTHENTICATION_ERROR").body())
        wait = self.limit.take()
        if wait is not None:
            text = f"You have exceeded the limit of {self.limit.per_minute} requests per minute. Try again in {wait} s."
            return _json(429, {"message": text}, {"Retry-After": str(wait)})
        return None

    # -- GraphQL ----------------------------------------------------------------------------------------------------
    async def graphql(self, request: Request) -> Response:
        """One operation, plain or multipart."""
        refused = self.refuse(request)
        if refused is not None:
            return refused
        try:
            if request.headers.get("content-type", "").startswith("multipart/form-data"):
                operation, upload = await self._multipart(request)
            else:
                operation, upload = _operation(await request.body()), None
            return _json(200, {"data": await self.in_thread(self._answer, operation, upload)})
        except GraphqlError as error:
            return _json(200, error.body())

    def _answer(self, operation: dict[str, Any], upload: FileEntry | None) -> dict[str, Any]:
        query = operation.get("query")
        variables = operation.get("variables") or {}
        if not isinstance(query, str) or not isinstance(variables, dict):
            raise GraphqlError("A request needs `query`, a string, and `variables`, an object.", "MALFORMED_REQUEST")
        name = name_of(query.encode())
        if name is None:
            raise GraphqlError("The query has no named operation.", "GRAPHQL_PARSE_FAILED")
        handler = self.operations.find(name)
        return handler(Call(self.store, self.jobs, query, variables, self.config.prediction_imports, upload))

    async def _multipart(self, request: Request) -> tuple[dict[str, Any], FileEntry | None]:
        try:
            async with request.form(max_part_size=_FILE_FIELDS_MOST) as form:
                text = form.get("operations")
                if not isinstance(text, str):
                    raise GraphqlError("A multipart request needs the part `operations`.", "MALFORMED_REQUEST")
                operation = _operation(text.encode())
                files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
                if len(files) != 1:
                    raise GraphqlError("A multipart request needs exactly one file.", "MALFORMED_REQUEST")
                part = files[0]
                content = await part.read()
                entry = await self.in_thread(
                    self.store.files.add, part.filename or "upload", content, part.content_type or None
                )
                return operation, entry
        except (MultiPartException, HTTPException) as error:
            raise GraphqlError(f"The multipart request cannot be read: {error}", "MALFORMED_REQUEST") from None

    # -- REST and files ---------------------------------------------------------------------------------------------
    async def rest(self, request: Request) -> Response:
        """One request under ``/api/v1``."""
        refused = self.refuse(request)
        if refused is not None:
            return refused
        parts = [part for part in request.path_params["path"].split("/") if part]
        if request.method == "GET" and len(parts) == 3 and parts[0] in ("export-results", "export-errors"):
            return await self._whole_export(parts[1], errors=parts[0] == "export-errors")
        status, value = await self.in_thread(rest.answer, self.store, request.method, parts, await request.body())
        return Response(status_code=status) if value is None else _json(status, value)

    async def _whole_export(self, task_id: str, *, errors: bool) -> Response:
        """All files of an export in one answer; exports have no errors of their own, so that one is empty."""
        if await self.in_thread(self.store.tasks.get, task_id) is None:
            return _json(404, {"message": f"Task {task_id} not found."})
        chunks = [] if errors else await self.in_thread(self.store.tasks.chunks, task_id)

        async def content() -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield await self.in_thread(self.store.files.path(chunk["file_id"]).read_bytes)

        return StreamingResponse(content(), media_type="application/x-ndjson; charset=utf-8")

    async def file(self, request: Request) -> Response:
        """The bytes behind a file URL; whoever has the URL may read."""
        file_id: str = request.path_params["file_id"]
        entry = await self.in_thread(self.store.files.get, file_id)
        if entry is None or not entry.path.exists():
            return _json(404, {"message": f"There is no file {file_id}."})
        return FileResponse(entry.path, media_type=entry.content_type, headers={"Cache-Control": "no-store"})

    async def mask(self, request: Request) -> Response:
        """An annotation's mask, drawn as a PNG."""
        found = await self.in_thread(masks.draw, self.store, self.fetcher, request.path_params["feature_id"])
        if isinstance(found, str):
            return _json(404, {"message": found})
        return Response(found, media_type="image/png")


def _operation(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise GraphqlError(f"The request is not JSON: {error}", "MALFORMED_REQUEST") from None
    if not isinstance(value, dict):
        raise GraphqlError("The request must be an object with `query` and `variables`.", "MALFORMED_REQUEST")
    return value


def _json(status: int, value: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, "application/json")


def create_app(config: SandboxConfig) -> FaultMiddleware:
    """The ASGI app of the sandbox's Labelbox.

    Args:
        config: Of the sandbox; everything is kept in ``config.state / "labelbox"``.
    """
    server = Server(config)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        server.jobs.resume()
        try:
            yield
        finally:
            await asyncio.get_running_loop().run_in_executor(None, server.close)

    app = Starlette(
        routes=[
            Route("/graphql", server.graphql, methods=["POST"]),
            Route("/_gql", server.graphql, methods=["POST"]),
            Route("/api/v1/{path:path}", server.rest, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
            Route("/files/masks/{feature_id}.png", server.mask, methods=["GET"]),
            Route("/files/{file_id}/{name}", server.file, methods=["GET"]),
            *control.routes(server),
            *page_routes(server),
        ],
        lifespan=lifespan,
    )
    app.state.server = server
    return FaultMiddleware(
        app,
        lambda scope, body: name_of(body) if scope["path"] in ("/graphql", "/_gql") else None,
        lambda path: server.store.owner_of(path.split("/")[2]) if path.startswith("/files/") else None,
    )
