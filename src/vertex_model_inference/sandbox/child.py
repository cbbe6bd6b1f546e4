"""One server of the sandbox in a process of its own: ``python -m vertex_model_inference.sandbox.child NAME``.

The launcher passes the listening socket as an inherited file descriptor and the configuration as JSON on the first line
of stdin. When stdin ends (the launcher is gone, even by kill -9), the server stops by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import socket
import struct
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from vertex_model_inference.sandbox.config import SandboxConfig

__all__ = ["main", "run_in_thread"]

App = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, plus ways for the fault middleware to break a connection, or to say what is not so."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        transport = self.transport
        state = self.scope["state"]
        state["close"] = transport.close
        state["write"] = transport.write
        state["abort"] = lambda: _reset(transport)


def _reset(transport: asyncio.Transport) -> None:
    """End the connection with RST, as a crashed peer or a load balancer does."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _server(app: App) -> uvicorn.Server:
    # uvloop gathers the head and the body of an answer into one write; plain asyncio would make two.
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=_Protocol,
            loop="auto",
            lifespan="on",
            log_level="warning",
            access_log=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
            server_header=False,
        )
    )


def load(name: str, config: SandboxConfig) -> App:
    """The ASGI app of one server: ``create_app(config)`` of ``sandbox.<name>.app``."""
    module = importlib.import_module(f"vertex_model_inference.sandbox.{name}.app")
    app: App = module.create_app(config)
    return app


@contextlib.contextmanager
def run_in_thread(app: App, sock: socket.socket) -> Iterator[None]:
    """Serve ``app`` on ``sock`` from a thread of this process, for tests.

    Args:
        app: ASGI app; its lifespan is run.
        sock: Bound to 127.0.0.1; listening is done here.
    """
    server = _server(app)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    ready = threading.Event()
    original = server.startup

    async def startup(sockets: list[socket.socket] | None = None) -> None:
        await original(sockets=sockets)
        ready.set()

    server.startup = startup  # type: ignore[method-assign]
    thread = threading.Thread(target=lambda: server.run(sockets=[sock]), daemon=True)
    thread.start()
    if not ready.wait(30):
        msg = "the server did not start within 30 s"
        raise RuntimeError(msg)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(10)


def main() -> None:
    """Serve until stdin ends or a signal comes; prints ``listening`` once requests are answered."""
    name = sys.argv[1]
    descriptor = int(sys.argv[2])
    config = msgspec.json.decode(sys.stdin.readline(), type=SandboxConfig, dec_hook=lambda _, text: Path(text))
    sock = socket.socket(fileno=descriptor)
    server = _server(load(name, config))
    original = server.startup

    async def startup(sockets: list[socket.socket] | None = None) -> None:
        await original(sockets=sockets)
        sys.stdout.write("listening\n")
        sys.stdout.flush()

    server.startup = startup  # type: ignore[method-assign]

    def watch() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=watch, daemon=True).start()
    server.run(sockets=[sock])


if __name__ == "__main__":
    main()
