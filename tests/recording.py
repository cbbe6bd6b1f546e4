"""A proxy on loopback that notes what goes through it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx2

__all__ = ["Recorder", "Seen", "recorder"]

_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "host", "date", "server"}


class Seen(NamedTuple):
    """One request: method, path with query, header lines, body."""

    method: str
    path: str
    headers: str
    body: bytes


class Recorder(NamedTuple):
    """The proxy's URL and what it has seen, in the order in which the requests came."""

    url: str
    seen: list[Seen]


@contextmanager
def recorder(target: str) -> Iterator[Recorder]:
    """Pass every request on to ``target`` (a base URL without trailing slash) and note it."""
    seen: list[Seen] = []
    client = httpx2.Client(timeout=900, trust_env=False, limits=httpx2.Limits(max_connections=None))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            seen.append(Seen(self.command, self.path, str(self.headers), body))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
            try:
                answer = client.request(self.command, target + self.path, headers=headers, content=body)
            except (httpx2.HTTPError, RuntimeError):  # the target, or this proxy, is ending
                self.close_connection = True
                return
            self.send_response_only(answer.status_code)
            for name, value in answer.headers.items():
                if name.lower() not in _HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PUT = do_DELETE = _pass_on  # noqa: N815 - http.server's names

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except OSError:  # the caller was killed
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's signature
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 128

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield Recorder(f"http://127.0.0.1:{urlsplit(f'//{server.server_address[0]!s}:{server.server_port}').port}", seen)
        finally:
            server.shutdown()
            thread.join(10)
            client.close()
