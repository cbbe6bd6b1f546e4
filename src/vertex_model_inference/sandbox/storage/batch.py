"""``POST /batch/storage/v1``: up to 100 calls of the JSON API in one ``multipart/mixed`` request.

Source: https://cloud.google.com/storage/docs/batch
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from email.message import Message
from http import HTTPStatus
from typing import Any

from vertex_model_inference.sandbox.storage.wire import ApiError, Request, Response

__all__ = ["answer_batch"]

_MOST = 100


def _invalid(message: str) -> ApiError:
    return ApiError(400, message, reason="invalid", code="InvalidArgument")


async def answer_batch(request: Request, handle: Callable[[Request], Awaitable[Response]]) -> Response:
    """Run the inner requests in order through ``handle`` and answer their responses in order.

    Raises:
        ApiError: 400, the body is not a batch.
    """
    message = Message()
    message["content-type"] = request.header(b"content-type") or ""
    boundary = message.get_boundary()
    if not boundary or message.get_content_type() != "multipart/mixed":
        raise _invalid("A batch request has Content-Type multipart/mixed with a boundary.")
    raw = (await request.body(20 << 20)).replace(b"\r\n", b"\n")
    parts = (b"\n" + raw).split(b"\n--" + boundary.encode())[1:-1]
    if not 1 <= len(parts) <= _MOST:
        raise _invalid(f"A batch holds 1 to {_MOST} calls; this one has {len(parts)}.")
    mark = "batch_" + secrets.token_hex(16)
    out = []
    for part in parts:
        outer, _, inner = part.strip(b"\n").partition(b"\n\n")
        content_id = next(
            (line.split(b":", 1)[1].strip() for line in outer.split(b"\n") if line.lower().startswith(b"content-id:")),
            b"",
        )
        response = await handle(_inner(inner, request))
        phrase = HTTPStatus(response.status).phrase
        lines = [b"--" + mark.encode(), b"Content-Type: application/http"]
        if content_id:
            lines.append(b"Content-ID: <response-" + content_id.lstrip(b"<"))
        lines += [b"", f"HTTP/1.1 {response.status} {phrase}".encode()]
        lines += [name.title() + b": " + value for name, value in response.headers]
        lines += [b"Content-Length: %d" % len(response.body), b"", response.body]
        out.append(b"\r\n".join(lines))
    body = b"\r\n".join(out) + b"\r\n--" + mark.encode() + b"--\r\n"
    return Response(200, [(b"content-type", f"multipart/mixed; boundary={mark}".encode())], body)


def _inner(raw: bytes, outer: Request) -> Request:
    head, _, body = raw.partition(b"\n\n")
    first, *lines = head.strip(b"\n").split(b"\n")
    words = first.split(b" ")
    if len(words) != 3:
        raise _invalid(f"A call of the batch has no request line: {first[:80]!r}")
    target = words[1].decode("latin-1")
    if "://" in target:
        target = "/" + target.split("://", 1)[1].partition("/")[2]
    path, _, query = target.partition("?")
    headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    headers = [(b"host", outer.headers.get(b"host", b"")), *headers]
    sent = body.strip(b"\n")

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": sent, "more_body": False}

    if path.startswith(("/upload/", "/download/", "/batch")):
        raise _invalid("A batch cannot upload or download content.")
    return Request(words[0].decode("latin-1"), path, query.encode("latin-1"), headers, receive)
