"""Uploads of the JSON API: media, multipart and resumable (https://cloud.google.com/storage/docs/uploads-downloads).

A resumable session is a row and a file that grows; both survive ``kill -9``. The number of bytes that the server has is
the size of the file, rounded down to 256 KiB as Cloud Storage does.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from email.message import Message
from typing import Any

import msgspec

from vertex_model_inference.sandbox.storage.bodies import BodyWriter, digest_of_file
from vertex_model_inference.sandbox.storage.conditions import Preconditions, expected_digests
from vertex_model_inference.sandbox.storage.json_objects import writable
from vertex_model_inference.sandbox.storage.objects import check_name, insert, receive, require_bucket
from vertex_model_inference.sandbox.storage.resources import NewBody, object_headers, object_resource
from vertex_model_inference.sandbox.storage.store import Store
from vertex_model_inference.sandbox.storage.wire import (
    ApiError,
    Disconnected,
    Request,
    Response,
    json_response,
    parse_json,
)

__all__ = ["Session", "cancel", "continue_session", "start", "start_session", "upload"]

_QUANTUM = 256 * 1024
_MOST_METADATA = 1 << 20
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """An upload that takes several requests; ``resource`` is the finished object's JSON for late status queries."""

    bucket: str
    name: str
    content_type: str | None
    extra: dict[str, Any] = {}
    conditions: Preconditions = Preconditions()
    md5: str | None = None
    crc32c: str | None = None
    total: int | None = None
    xml: bool = False
    generation: int | None = None


def _invalid(message: str) -> ApiError:
    return ApiError(400, message, reason="invalid", code="InvalidArgument")


async def upload(store: Store, request: Request, bucket: str) -> Response:
    """``POST /upload/storage/v1/b/BUCKET/o``: one request, or the first of a resumable upload."""
    require_bucket(store, bucket)
    kind = request.query.get("uploadType")
    conditions = Preconditions.from_query(request.query)
    if kind == "media":
        body = await receive(store, request)
        md5, crc = expected_digests(request)
        resource: dict[str, Any] = {"contentType": request.header(b"content-type")}
        if "contentEncoding" in request.query:
            resource["contentEncoding"] = request.query["contentEncoding"]
    elif kind == "multipart":
        resource, body = await _multipart(store, request)
        md5, crc = resource.get("md5Hash"), resource.get("crc32c")
    elif kind == "resumable":
        return await start(store, request, bucket)
    else:
        raise _invalid(f"Invalid value for uploadType: {kind}; media, multipart or resumable is expected.")
    stored = await insert(
        store,
        bucket,
        request.query.get("name") or str(resource.get("name") or ""),
        body,
        content_type=resource.get("contentType") or "application/octet-stream",
        extra=writable(resource),
        conditions=conditions,
        md5=md5,
        crc32c=crc,
    )
    return json_response(object_resource(stored, request.base_url))


async def _multipart(store: Store, request: Request) -> tuple[dict[str, Any], NewBody]:
    """The metadata and the media of ``multipart/related``; the media is never held whole."""
    message = Message()
    message["content-type"] = request.header(b"content-type") or ""
    boundary = message.get_boundary()
    if not boundary or message.get_content_type() != "multipart/related":
        raise _invalid("A multipart upload has Content-Type multipart/related with a boundary.")
    mark = b"--" + boundary.encode()
    head = bytearray()
    while (found := _heads(bytes(head), mark)) is None:
        piece = await request.chunk()
        if piece is None or len(head) > _MOST_METADATA:
            raise _invalid("The multipart body has no metadata part followed by a media part.")
        head += piece
    metadata, media_type, start_of_media = found
    resource = parse_json(metadata)
    resource.setdefault("contentType", media_type)
    closing = b"\r\n" + mark + b"--"
    writer = BodyWriter(store.temporary_path)
    tail = bytes(head[start_of_media:])
    keep = len(closing) + 2
    try:
        while True:
            if len(tail) > keep:
                writer.write(tail[:-keep])
                tail = tail[-keep:]
            piece = await request.chunk()
            if piece is None:
                break
            tail += piece
        body_end, found_closing, rest = tail.rpartition(closing)
        if not found_closing or rest.strip():
            raise _invalid("The multipart body does not end with its boundary.")
        if body_end:
            writer.write(body_end)
    except BaseException:
        writer.abort()
        raise
    return resource, writer.finish()


def _heads(data: bytes, mark: bytes) -> tuple[bytes, str, int] | None:
    """Metadata document, the media part's type, and where the media starts; None while there is too little."""
    first = data.find(mark)
    metadata_at = data.find(b"\r\n\r\n", first)
    if first < 0 or metadata_at < 0:
        return None
    second = data.find(b"\r\n" + mark, metadata_at + 2)
    media_at = data.find(b"\r\n\r\n", second + 2)
    if second < 0 or media_at < 0:
        return None
    media_type = "application/octet-stream"
    for line in data[second:media_at].split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-type":
            media_type = value.strip().decode("latin-1")
    return data[metadata_at + 4 : second], media_type, media_at + 4


# ---- resumable -------------------------------------------------------------------------------------------------------


async def start(store: Store, request: Request, bucket: str) -> Response:
    """Open a resumable session of the JSON API."""
    resource = await request.json()
    name = request.query.get("name") or str(resource.get("name") or "")
    kind = request.header(b"x-upload-content-type") or resource.get("contentType") or "application/octet-stream"
    length = request.header(b"x-upload-content-length")
    session = Session(
        bucket=bucket,
        name=name,
        content_type=resource.get("contentType") or kind,
        extra=writable(resource),
        conditions=Preconditions.from_query(request.query),
        md5=resource.get("md5Hash"),
        crc32c=resource.get("crc32c"),
        total=int(length) if length and length.isdigit() else None,
    )
    upload_id = await start_session(store, session)
    location = (
        f"{request.base_url}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={upload_id}"
    ).encode()
    return Response(200, [(b"location", location), (b"x-guploader-uploadid", upload_id.encode())])


async def start_session(store: Store, session: Session) -> str:
    """Keep a new session; gives its id.

    Raises:
        ApiError: Its name is no object name, or its preconditions do not hold already now.
    """
    check_name(session.name)
    session.conditions.check(store.get(session.bucket, session.name))
    upload_id = secrets.token_urlsafe(48)
    (store.uploads / upload_id).touch()
    store.save_upload(upload_id, msgspec.json.encode(session))
    await store.committed()
    return upload_id


def _session(store: Store, upload_id: str) -> Session:
    document = store.upload(upload_id)
    if document is None:
        raise ApiError(404, "The upload session does not exist or has ended.", reason="notFound", code="NoSuchUpload")
    return msgspec.json.decode(document, type=Session)


async def cancel(store: Store, request: Request, upload_id: str) -> Response:
    """``DELETE`` on the session's URL; Cloud Storage answers 499."""
    del request
    _session(store, upload_id)
    store.drop_upload(upload_id)
    await store.committed()
    return Response(499)


async def continue_session(store: Store, request: Request, upload_id: str) -> Response:
    """``PUT`` on the session's URL: more bytes, the last bytes, or a question how many there are."""
    session = _session(store, upload_id)
    if session.generation is not None:
        return _finished(store, request, session)
    if upload_id in store.busy:
        raise ApiError(
            503, "Another request is writing to this upload session.", reason="backendError", code="ServiceUnavailable"
        )
    store.busy.add(upload_id)
    try:
        return await _continue(store, request, upload_id, session)
    finally:
        store.busy.discard(upload_id)


def _finished(store: Store, request: Request, session: Session) -> Response:
    stored = store.get(session.bucket, session.name)
    if stored is None or stored.generation != session.generation:
        raise ApiError(410, "The uploaded object has been replaced.", reason="gone", code="NoSuchUpload")
    if session.xml:
        return Response(200, [header for header in object_headers(stored, xml=True) if header[0] != b"content-type"])
    return json_response(object_resource(stored, request.base_url))


async def _continue(store: Store, request: Request, upload_id: str, session: Session) -> Response:
    path = store.uploads / upload_id
    have = path.stat().st_size
    if have % _QUANTUM:  # a killed server or a lost client left an odd end
        have -= have % _QUANTUM
        with path.open("r+b") as file:
            file.truncate(have)
    total = session.total
    first = 0
    announced = 0  # the bytes that this request says it carries; None: all that come
    text = request.header(b"content-range")
    if text is None:
        last: int | None = None
    else:
        match = _RANGE.fullmatch(text.strip())
        if match is None:
            raise _invalid(f"Failed to parse Content-Range header: {text}")
        if match[3] != "*":
            if total is not None and total != int(match[3]):
                raise _invalid(f"The upload's size was announced as {total} bytes, and now as {match[3]}.")
            total = int(match[3])
        if match[1] is None:
            if total is not None and total == have and await _drained(request):
                return await _finalize(store, request, upload_id, session, have)
            return _more(have)
        first, last = int(match[1]), int(match[2])
        announced = last - first + 1
        if announced <= 0 or (total is not None and last >= total):
            raise _invalid(f"Content-Range {text} does not fit the upload's size.")
    if first > have:
        raise _invalid(f"Invalid request. The upload continues at byte {have}, but the request starts at {first}.")
    size = await _append(store, request, upload_id, have, skip=have - first)
    received = size - first
    if last is not None and received < announced:
        raise _invalid(f"The request announced {announced} bytes in its Content-Range, but carried {received}.")
    if last is None or (total is not None and size == total):
        if total is not None and size != total:
            raise _invalid(f"The upload's size was announced as {total} bytes, but {size} came.")
        return await _finalize(store, request, upload_id, session, size)
    if announced < _QUANTUM:
        with path.open("r+b") as file:
            file.truncate(have)
        raise _invalid(
            "Invalid request. The number of bytes uploaded is required to be equal or greater than 262144, except for "
            "the final request (it's recommended to be the exact multiple of 262144). The received request contained "
            f"{announced} bytes, which does not meet this requirement."
        )
    size -= size % _QUANTUM
    with path.open("r+b") as file:
        file.truncate(size)
    return _more(size)


async def _drained(request: Request) -> bool:
    while await request.chunk() is not None:
        pass
    return True


def _more(have: int) -> Response:
    return Response(308, [(b"range", b"bytes=0-%d" % (have - 1))] if have else [])


async def _append(store: Store, request: Request, upload_id: str, have: int, *, skip: int) -> int:
    """Write what comes behind the ``have`` bytes, leaving out the first ``skip``; gives the new size."""
    size = have
    with (store.uploads / upload_id).open("ab", buffering=0) as file:
        try:
            while (piece := await request.chunk()) is not None:
                if skip:
                    dropped = min(skip, len(piece))
                    skip -= dropped
                    piece = piece[dropped:]
                file.write(piece)
                size += len(piece)
        except Disconnected:
            file.truncate(size - size % _QUANTUM)
            raise
    return size


async def _finalize(store: Store, request: Request, upload_id: str, session: Session, size: int) -> Response:
    path = store.uploads / upload_id
    measured, md5, crc = await asyncio.to_thread(digest_of_file, path)
    if measured != size:
        raise ApiError(503, "The upload changed while it ended.", reason="backendError", code="ServiceUnavailable")
    header_md5, header_crc = expected_digests(request)
    kept = store.temporary_path()
    kept.hardlink_to(path)  # the session's file stays until the commit, for a client that has to ask again
    stored = await insert(
        store,
        session.bucket,
        session.name,
        NewBody(size, md5, crc, path=kept),
        content_type=session.content_type,
        extra=session.extra,
        conditions=session.conditions,
        md5=session.md5 or header_md5,
        crc32c=session.crc32c or header_crc,
    )
    store.save_upload(upload_id, msgspec.json.encode(msgspec.structs.replace(session, generation=stored.generation)))
    await store.committed()
    path.unlink(missing_ok=True)
    return _finished(store, request, msgspec.structs.replace(session, generation=stored.generation))
