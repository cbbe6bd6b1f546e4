"""Web servers that do as they please: each path has a script that writes raw bytes to the connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

__all__ = ["Script", "Servers", "body", "head"]

Script = Callable[[asyncio.StreamWriter], Awaitable[None]]


def head(*lines: str, status: str = "200 OK") -> bytes:
    """The head of an answer."""
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *lines, "")).encode()


def body(data: bytes, *lines: str, status: str = "200 OK") -> Script:
    """An honest answer."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(head(f"Content-Length: {len(data)}", *lines, status=status))
        for start in range(0, len(data), 1 << 16):
            writer.write(data[start : start + (1 << 16)])
            await writer.drain()

    return write


class Servers:
    """One server in a thread of this process; connections are closed after each answer.

    Attributes:
        url: Of the server, no trailing slash.
        scripts: Path (without slash) -> what it does.
        asked: How often each path was asked for.
    """

    def __init__(self) -> None:
        self.url = ""
        self.scripts: dict[str, Script] = {}
        self.asked: Counter[str] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def put(self, path: str, script: Script) -> str:
        """Set a script; gives its URL."""
        self.scripts[path] = script
        return f"{self.url}/{path}"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                request = await reader.readuntil(b"\r\n\r\n")
                path = request.split(b" ", 2)[1].decode().lstrip("/").partition("?")[0]
                self.asked[path] += 1
                script = self.scripts.get(path)
                if script is None:
                    writer.write(head("Content-Length: 0", status="404 Not Found"))
                else:
                    await script(writer)
                await writer.drain()
            with contextlib.suppress(ConnectionError):
                writer.close()
                await writer.wait_closed()
        finally:
            writer.transport.abort()  # also when the server ends in the middle of a script

    async def _serve(self, sock: socket.socket, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._answer, sock=sock)
        ready.set()
        await self._stop.wait()
        server.close()
        answering = asyncio.all_tasks() - {asyncio.current_task()}
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)
        await asyncio.sleep(0)  # the connections that were broken off are closed now

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[Servers]:
        """For the time of a ``with`` block."""
        made = cls()
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        made.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        ready = threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(made._serve(sock, ready)), daemon=True)
        thread.start()
        assert ready.wait(10)
        try:
            yield made
        finally:
            assert made._loop is not None
            assert made._stop is not None
            made._loop.call_soon_threadsafe(made._stop.set)
            thread.join(10)
