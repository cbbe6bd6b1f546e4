"""The sandbox's Cloud Storage: the JSON API for google-cloud-storage and the XML API for obstore, on one state.

No credentials are asked for (the SDKs come with anonymous ones); signed URLs are checked for form and time. Objects
with ``Content-Encoding: gzip`` are answered as they are stored, never unpacked.
"""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from vertex_model_inference.sandbox.config import LOCATION, PROJECT, SandboxConfig
from vertex_model_inference.sandbox.faults import FaultMiddleware
from vertex_model_inference.sandbox.storage.batch import answer_batch
from vertex_model_inference.sandbox.storage.json_buckets import create_bucket
from vertex_model_inference.sandbox.storage.routes import form_of, operation, route
from vertex_model_inference.sandbox.storage.signing import check_signed_url
from vertex_model_inference.sandbox.storage.store import Store
from vertex_model_inference.sandbox.storage.wire import (
    ApiError,
    Disconnected,
    Receive,
    Request,
    Response,
    Scope,
    Send,
    json_response,
    send_response,
)

__all__ = ["StorageApp", "create_app"]

_log = logging.getLogger(__name__)


class StorageApp:
    """The ASGI application.

    Args:
        folder: Everything is kept here.
        bucket: Made at the first start, in us-central1.
    """

    def __init__(self, folder: Path, bucket: str) -> None:
        self._folder = folder
        self._bucket = bucket
        self._store: Store | None = None

    @property
    def store(self) -> Store:
        """The open state.

        Raises:
            RuntimeError: The lifespan has not started.
        """
        if self._store is None:
            msg = "the application is not started: run its ASGI lifespan"
            raise RuntimeError(msg)
        return self._store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or run the lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        request = Request(
            scope["method"], scope["raw_path"].decode("latin-1"), scope["query_string"], scope["headers"], receive
        )
        try:
            response = await self.handle(request)
        except Disconnected:
            return
        await send_response(response, send, head=request.method == "HEAD")

    async def handle(self, request: Request) -> Response:
        """The response to one request; errors included."""
        path = request.raw_path
        try:
            if path.startswith("/_sandbox/"):
                if path == "/_sandbox/health":
                    return json_response({"status": "ok", "server": "storage"})
                raise ApiError(404, "Not Found", reason="notFound", code="NotFound")
            if path.startswith("/batch"):
                if request.method != "POST":
                    raise ApiError(405, "A batch is a POST.", reason="methodNotAllowed", code="MethodNotAllowed")
                return await answer_batch(request, self.handle)
            if request.query:
                check_signed_url(request)
            _, handler, args = route(request)
            return await handler(self.store, request, *args)
        except ApiError as error:
            form = form_of(path, request.query)
            return error.json() if form == "json" else error.text() if form == "text" else error.xml()
        except (OSError, sqlite3.Error) as error:
            # The disk is full or the folder is gone: say so to whoever runs the sandbox, and let the client try again.
            _log.exception("storage sandbox: %s %s", request.method, path)
            return ApiError(
                503, f"The sandbox's storage failed: {error}", reason="backendError", code="ServiceUnavailable"
            ).json()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._store = Store(self._folder)
                if self._store.bucket(self._bucket) is None:
                    create_bucket(
                        self._store, self._bucket, LOCATION, project=PROJECT, storage_class="STANDARD", settings={}
                    )
                    self._store.flush()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                if self._store is not None:
                    self._store.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


def create_app(config: SandboxConfig) -> FaultMiddleware:
    """The server's ASGI app; its state is opened when its lifespan starts."""
    app = StorageApp(config.state / "storage", config.environment()["VMI_BUCKET"])
    return FaultMiddleware(app, operation)
