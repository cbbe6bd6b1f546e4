"""What both APIs do with objects: find, receive, insert, read, copy, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vertex_model_inference.sandbox.storage.bodies import BodyWriter
from vertex_model_inference.sandbox.storage.conditions import (
    Preconditions,
    byte_range,
    check_digests,
    check_entity_headers,
)
from vertex_model_inference.sandbox.storage.resources import Bucket, NewBody, StoredObject, object_headers
from vertex_model_inference.sandbox.storage.store import Store
from vertex_model_inference.sandbox.storage.wire import ApiError, Headers, Request, Response

__all__ = ["check_name", "find", "insert", "read", "receive", "require_bucket"]

_SLICE = 64 * 1024


def require_bucket(store: Store, name: str) -> Bucket:
    """The bucket.

    Raises:
        ApiError: 404.
    """
    bucket = store.bucket(name)
    if bucket is None:
        raise ApiError(404, "The specified bucket does not exist.", reason="notFound", code="NoSuchBucket")
    return bucket


def no_such_object(bucket: str, name: str) -> ApiError:
    """404 of an object."""
    return ApiError(
        404,
        f"No such object: {bucket}/{name}",
        reason="notFound",
        code="NoSuchKey",
        details=f"No such object: {bucket}/{name}",
    )


def check_name(name: str) -> None:
    """The rules for object names (https://cloud.google.com/storage/docs/objects#naming).

    Raises:
        ApiError: 400.
    """
    if not name:
        raise ApiError(400, "Required parameter: name", reason="required", code="InvalidArgument")
    size = len(name.encode("utf-8", "surrogatepass"))
    bad = None
    if size > 1024:
        bad = f"The specified object name is {size} bytes long; at most 1024 bytes of UTF-8 are allowed."
    elif "\n" in name or "\r" in name:
        bad = "Disallowed unicode characters present in object name: carriage return or line feed."
    elif name in (".", "..") or name.startswith(".well-known/acme-challenge/"):
        bad = f"The specified object name is not valid: {name}"
    elif not name.isascii() and any("\ud800" <= char <= "\udfff" or char == "\ufffd" for char in name):
        bad = "The specified object name is not valid UTF-8."
    if bad:
        raise ApiError(400, bad, reason="invalid", code="InvalidObjectName")


def find(store: Store, bucket: str, name: str, query: Mapping[str, str]) -> StoredObject:
    """The live object, of the generation that ``query`` may ask for.

    Raises:
        ApiError: 404.
    """
    require_bucket(store, bucket)
    stored = store.get(bucket, name)
    if stored is None or not _is_generation(stored, query.get("generation")):
        raise no_such_object(bucket, name)
    return stored


def _is_generation(stored: StoredObject, wanted: str | None) -> bool:
    return wanted is None or wanted == str(stored.generation)


async def receive(store: Store, request: Request, writer: BodyWriter | None = None) -> NewBody:
    """Read the rest of the request's body.

    Raises:
        Disconnected: The client left; nothing is kept.
    """
    writer = writer or BodyWriter(store.temporary_path)
    try:
        while (piece := await request.chunk()) is not None:
            writer.write(piece)
    except BaseException:
        writer.abort()
        raise
    return writer.finish()


async def insert(
    store: Store,
    bucket: str,
    name: str,
    body: NewBody,
    *,
    content_type: str | None,
    extra: dict[str, Any],
    conditions: Preconditions,
    md5: str | None = None,
    crc32c: str | None = None,
) -> StoredObject:
    """Store a received body as an object, once its digests and the preconditions hold.

    Raises:
        ApiError: 400, 404 or 412; the body is then forgotten.
    """
    try:
        require_bucket(store, bucket)
        check_name(name)
        if md5 is not None or crc32c is not None:
            check_digests(md5, crc32c, body.md5, body.crc32c)
        existing = store.get(bucket, name)
        conditions.check(existing)
        stored = store.put(bucket, name, body, content_type, extra, existing)
    except BaseException:
        if body.path is not None:
            body.path.unlink(missing_ok=True)
        raise
    await store.committed()
    return stored


def read(store: Store, request: Request, bucket: str, name: str, conditions: Preconditions, *, xml: bool) -> Response:
    """The content, or the range of it that is asked for.

    Raises:
        ApiError: 304, 404, 412 or 416.
    """
    stored, data = store.read(bucket, name)
    if stored is None:
        require_bucket(store, bucket)
        raise no_such_object(bucket, name)
    if not _is_generation(stored, request.query.get("generation")):
        raise no_such_object(bucket, name)
    conditions.check(stored, reading=True)
    check_entity_headers(request, stored)
    headers: Headers = object_headers(stored, xml=xml)
    status, offset, length = 200, 0, stored.size
    wanted = byte_range(request.header(b"range"), stored.size)
    if wanted is not None:
        status = 206
        offset, length = wanted
        headers.append((b"content-range", b"bytes %d-%d/%d" % (offset, offset + length - 1, stored.size)))
    if data is not None:
        return Response(status, headers, data if length == stored.size else data[offset : offset + length])
    if request.method == "HEAD":
        response = Response(status, headers)
        response.length = length
        return response
    return Response(status, headers, fd=store.open_body(stored), offset=offset, length=length)
