"""The pages in a server that must answer within a second of its start: made when the first of them is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from vertex_model_inference.errors import VmiError

__all__ = ["LazyPages"]

log = structlog.get_logger("vmi.pages")


class LazyPages:
    """An app that is made by its first request; one that cannot be made says so, and is tried again.

    Args:
        make: Makes it; called in a thread.
    """

    def __init__(self, make: Callable[[], ASGIApp]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        app = self._app
        if app is None:
            try:
                app = await run_in_threadpool(self._made)
            except VmiError as error:
                log.warning("the pages cannot be served", error=error.message, hint=error.hint)
                await PlainTextResponse("The pages cannot be served now: the server's log has the cause.\n", 503)(
                    scope, receive, send
                )
                return
        await app(scope, receive, send)

    def _made(self) -> ASGIApp:
        with self._lock:
            if self._app is None:
                self._app = self._make()
            return self._app
