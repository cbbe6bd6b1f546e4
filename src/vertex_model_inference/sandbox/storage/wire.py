"""A request, a response and an error of Cloud Storage, between raw ASGI and the handlers.

No routing framework on purpose: thousands of small objects a second leave no room for one.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

import msgspec
import orjson

__all__ = ["ApiError", "Disconnected", "Request", "Response", "json_response", "send_response", "xml_response"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_STREAM_CHUNK = 512 * 1024


class Disconnected(Exception):  # noqa: N818  # it is no error: the client hung up
    """The client went away before its request was complete; nothing of it may be kept."""


class ApiError(Exception):
    """An answer that is an error, in the words of Cloud Storage.

    Args:
        status: HTTP status.
        message: For people.
        reason: The JSON API's reason, e.g. ``notFound``.
        code: The XML API's code, e.g. ``NoSuchKey``.
        details: The XML API's Details.
        headers: More headers, e.g. Content-Range of a 416.
    """

    def __init__(
        self, status: int, message: str, *, reason: str, code: str, details: str = "", headers: Headers | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.reason = reason
        self.code = code
        self.details = details
        self.headers = headers or []

    def json(self) -> Response:
        """The JSON API's form."""
        if self.status == 304:
            return Response(304, self.headers)
        entry: dict[str, str] = {"message": self.message, "domain": "global", "reason": self.reason}
        if self.reason == "conditionNotMet":
            entry |= {"locationType": "header", "location": "If-Match"}
        value = {"error": {"code": self.status, "message": self.message, "errors": [entry]}}
        return json_response(value, self.status, self.headers)

    def text(self) -> Response:
        """The form of the JSON API's media downloads: the bare message."""
        if self.status == 304:
            return Response(304, self.headers)
        return Response(
            self.status, [(b"content-type", b"text/html; charset=UTF-8"), *self.headers], self.message.encode()
        )

    def xml(self) -> Response:
        """The XML API's form."""
        if self.status == 304:
            return Response(304, self.headers)
        details = f"<Details>{escape(self.details)}</Details>" if self.details else ""
        text = f"<Error><Code>{self.code}</Code><Message>{escape(self.message)}</Message>{details}</Error>"
        return xml_response(text, self.status, self.headers)


class Response:
    """What to answer: ``body``, or ``length`` bytes of the open file ``fd`` from ``offset`` (closed when sent)."""

    __slots__ = ("body", "fd", "headers", "length", "offset", "status")

    def __init__(
        self,
        status: int,
        headers: Headers | None = None,
        body: bytes = b"",
        *,
        fd: int | None = None,
        offset: int = 0,
        length: int = 0,
    ) -> None:
        self.status = status
        self.headers = headers if headers is not None else []
        self.body = body
        self.fd = fd
        self.offset = offset
        self.length = length if fd is not None else len(body)


def json_response(value: Any, status: int = 200, headers: Headers | None = None) -> Response:
    """A JSON body."""
    head = [(b"content-type", b"application/json; charset=UTF-8"), *(headers or [])]
    return Response(status, head, orjson.dumps(value))


def xml_response(text: str, status: int = 200, headers: Headers | None = None) -> Response:
    """An XML body, without its declaration in ``text``."""
    head = [(b"content-type", b"application/xml; charset=UTF-8"), *(headers or [])]
    return Response(status, head, b"<?xml version='1.0' encoding='UTF-8'?>" + text.encode())


class Request:
    """One request; the body is read by who wants it, in pieces.

    Args:
        method: Upper case.
        raw_path: Percent-encoded path, as sent.
        query_string: As sent, without the question mark.
        headers: Names in lower case.
        receive: ASGI's.
    """

    __slots__ = ("_done", "_receive", "headers", "method", "query", "query_string", "raw_path")

    def __init__(self, method: str, raw_path: str, query_string: bytes, headers: Any, receive: Receive) -> None:
        self.method = method
        self.raw_path = raw_path
        self.query_string = query_string
        self.query: dict[str, str] = (
            dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)) if query_string else {}
        )
        self.headers: dict[bytes, bytes] = dict(headers)
        self._receive = receive
        self._done = False

    def header(self, name: bytes) -> str | None:
        """One header as text."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def segments(self) -> list[str]:
        """The path's segments, decoded after splitting, so that %2F stays inside a name."""
        return [unquote(part) for part in self.raw_path.lstrip("/").split("/")]

    @property
    def base_url(self) -> str:
        """How the client calls this server."""
        return f"http://{self.header(b'host') or '127.0.0.1'}"

    async def chunk(self) -> bytes | None:
        """The next piece of the body; None at its end.

        Raises:
            Disconnected: The client left in the middle.
        """
        if self._done:
            return None
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        self._done = not message.get("more_body")
        data: bytes = message.get("body", b"")
        return data

    async def body(self, limit: int) -> bytes:
        """The whole body, for the small documents of the API.

        Raises:
            ApiError: It is longer than ``limit`` bytes.
        """
        pieces: list[bytes] = []
        size = 0
        while (piece := await self.chunk()) is not None:
            size += len(piece)
            if size > limit:
                raise ApiError(
                    413,
                    f"The request's document is larger than {limit} bytes.",
                    reason="uploadTooLarge",
                    code="EntityTooLarge",
                )
            pieces.append(piece)
        return b"".join(pieces)

    async def json(self, limit: int = 1 << 20) -> dict[str, Any]:
        """The body as a JSON object; empty counts as ``{}``.

        Raises:
            ApiError: It is something else.
        """
        return parse_json(await self.body(limit))


def parse_json(raw: bytes) -> dict[str, Any]:
    """A JSON object from ``raw``; empty counts as ``{}``.

    Raises:
        ApiError: It is something else.
    """
    if not raw.strip():
        return {}
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.DecodeError:
        raise ApiError(400, "Parse Error", reason="parseError", code="InvalidArgument") from None


async def send_response(response: Response, send: Send, *, head: bool) -> None:
    """Send ``response``; a HEAD gets everything but the body."""
    headers = response.headers
    if response.status not in (204, 304):
        headers = [*headers, (b"content-length", b"%d" % response.length)]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    if response.fd is None:
        await send({"type": "http.response.body", "body": b"" if head else response.body})
        return
    try:
        if head:
            await send({"type": "http.response.body", "body": b""})
            return
        offset, left = response.offset, response.length
        while left:
            # Bytes of a file that was just written or read come from the page cache: no thread is worth its cost here.
            piece = os.pread(response.fd, min(left, _STREAM_CHUNK), offset)
            offset += len(piece)
            left -= len(piece)
            if not piece:  # cannot happen while the file is ours; a short answer must not look whole
                raise OSError(f"the stored content ended {left} bytes early")
            await send({"type": "http.response.body", "body": piece, "more_body": left > 0})
        if not response.length:
            await send({"type": "http.response.body", "body": b""})
    finally:
        os.close(response.fd)
