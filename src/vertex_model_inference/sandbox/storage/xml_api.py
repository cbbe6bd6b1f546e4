"""The XML API (https://cloud.google.com/storage/docs/xml-api/overview), which obstore speaks, on the same state."""

from __future__ import annotations

import asyncio
import functools
import re
import secrets
from pathlib import Path
from urllib.parse import quote, unquote
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import msgspec

from vertex_model_inference.sandbox.storage import json_buckets
from vertex_model_inference.sandbox.storage.conditions import Preconditions, expected_digests
from vertex_model_inference.sandbox.storage.json_objects import join_pieces
from vertex_model_inference.sandbox.storage.listing import ListQuery, list_page
from vertex_model_inference.sandbox.storage.objects import (
    check_name,
    find,
    insert,
    read,
    receive,
    require_bucket,
)
from vertex_model_inference.sandbox.storage.resources import NewBody, StoredObject, object_headers, rfc3339, xml_etag
from vertex_model_inference.sandbox.storage.store import Store
from vertex_model_inference.sandbox.storage.uploads import Session, start_session
from vertex_model_inference.sandbox.storage.wire import ApiError, Headers, Request, Response, xml_response

__all__ = [
    "abort_multipart", "complete_multipart", "copy_object", "create_bucket", "delete_bucket", "delete_object",
    "get_bucket", "get_object", "list_buckets", "put_object", "put_part", "start_multipart", "start_resumable",
]  # fmt: skip

_SPACE = "http://doc.s3.amazonaws.com/2006-03-01"
_LEAST_PART = 5 << 20
_HEADERS = {
    b"cache-control": "cacheControl",
    b"content-disposition": "contentDisposition",
    b"content-encoding": "contentEncoding",
    b"content-language": "contentLanguage",
    b"x-goog-custom-time": "customTime",
}


def _extra(headers: dict[bytes, bytes]) -> dict[str, object]:
    extra: dict[str, object] = {}
    metadata: dict[str, str] = {}
    for name, value in headers.items():
        if name.startswith(b"x-goog-meta-"):
            metadata[name[12:].decode("latin-1")] = unquote(value.decode("latin-1"))
        elif name in _HEADERS and value:
            extra[_HEADERS[name]] = value.decode("latin-1")
    if metadata:
        extra["metadata"] = metadata
    return extra


def _written(stored: StoredObject) -> Headers:
    return [header for header in object_headers(stored, xml=True) if header[0] not in _NOT_WRITTEN]


_NOT_WRITTEN = frozenset((b"content-type", b"content-encoding", b"last-modified", b"accept-ranges"))


async def get_object(store: Store, request: Request, bucket: str, name: str) -> Response:
    """GET and HEAD of an object."""
    return read(store, request, bucket, name, Preconditions.from_headers(request), xml=True)


async def put_object(store: Store, request: Request, bucket: str, name: str) -> Response:
    """PUT of an object's content."""
    require_bucket(store, bucket)
    conditions = Preconditions.from_headers(request)
    if request.header(b"if-none-match") == "*":
        conditions = msgspec.structs.replace(conditions, generation=0)
    conditions.check(store.get(bucket, name))  # before the bytes; and once more after them
    md5, crc = expected_digests(request)
    body = await receive(store, request)
    stored = await insert(
        store,
        bucket,
        name,
        body,
        content_type=request.header(b"content-type") or "application/octet-stream",
        extra=_extra(request.headers),
        conditions=conditions,
        md5=md5,
        crc32c=crc,
    )
    return Response(200, _written(stored))


async def copy_object(store: Store, request: Request, bucket: str, name: str) -> Response:
    """PUT with ``x-goog-copy-source: BUCKET/OBJECT`` (percent-encoded)."""
    source = unquote(request.header(b"x-goog-copy-source") or "").lstrip("/")
    from_bucket, _, from_name = source.partition("/")
    wanted = request.header(b"x-goog-copy-source-generation")
    origin = find(store, from_bucket, from_name, {"generation": wanted} if wanted else {})
    Preconditions.from_headers(request, "x-goog-copy-source-").check(origin)
    require_bucket(store, bucket)
    check_name(name)
    existing = store.get(bucket, name)
    Preconditions.from_headers(request).check(existing)
    extra, content_type = origin.extra, origin.content_type
    if (request.header(b"x-goog-metadata-directive") or "COPY").upper() == "REPLACE":
        extra = _extra(request.headers)
        content_type = request.header(b"content-type") or content_type
    made = store.copy(origin, bucket, name, content_type, extra, existing)
    await store.committed()
    text = (
        f'<CopyObjectResult xmlns="{_SPACE}"><ETag>{escape(xml_etag(made))}</ETag>'
        f"<LastModified>{rfc3339(made.updated)}</LastModified></CopyObjectResult>"
    )
    return xml_response(text, 200, _written(made))


async def delete_object(store: Store, request: Request, bucket: str, name: str) -> Response:
    """DELETE of an object."""
    stored = find(store, bucket, name, request.query)
    Preconditions.from_headers(request).check(stored)
    store.delete(stored)
    await store.committed()
    return Response(204)


# ---- buckets ---------------------------------------------------------------------------------------------------------


def _count(text: str | None) -> int:
    try:
        count = int(text) if text else 1000
    except ValueError:
        count = 0
    if count < 1:
        raise ApiError(400, f"Invalid argument: max-keys {text}", reason="invalid", code="InvalidArgument")
    return min(count, 1000)


async def get_bucket(store: Store, request: Request, bucket: str) -> Response:
    """GET of a bucket: its objects (list-type 1 and 2), or its location."""
    found = require_bucket(store, bucket)
    asked = request.query
    if "location" in asked:
        return xml_response(f'<LocationConstraint xmlns="{_SPACE}">{found.location}</LocationConstraint>')
    if unknown := {"uploads", "acl", "cors", "lifecycle", "logging", "versioning", "website"} & asked.keys():
        raise _not_implemented(f"GET of a bucket with ?{unknown.pop()}")
    if request.method == "HEAD":
        return Response(200, [(b"content-type", b"application/xml; charset=UTF-8")])
    second = asked.get("list-type") == "2"
    prefix = asked.get("prefix", "")
    after = asked.get("start-after" if second else "marker", "")
    limit = _count(asked.get("max-keys"))
    query = ListQuery(
        prefix=prefix,
        delimiter=asked.get("delimiter", ""),
        start=after + "\0" if after else "",
        limit=limit,
        token=asked.get("continuation-token") or None,
    )
    page = list_page(functools.partial(store.seek, bucket), query)
    show = functools.partial(quote, safe="/~") if asked.get("encoding-type") == "url" else escape
    out = [f'<ListBucketResult xmlns="{_SPACE}"><Name>{bucket}</Name><Prefix>{show(prefix)}</Prefix>']
    out.append(f"<MaxKeys>{limit}</MaxKeys><IsTruncated>{'true' if page.next_token else 'false'}</IsTruncated>")
    if asked.get("delimiter"):
        out.append(f"<Delimiter>{show(asked['delimiter'])}</Delimiter>")
    if second:
        out.append(f"<KeyCount>{len(page.objects) + len(page.prefixes)}</KeyCount>")
        if page.next_token:
            out.append(f"<NextContinuationToken>{page.next_token}</NextContinuationToken>")
    elif page.next_token:
        last = max([stored.name for stored in page.objects[-1:]] + page.prefixes[-1:])
        out.append(f"<NextMarker>{show(last)}</NextMarker>")
    out.extend(
        f"<Contents><Key>{show(stored.name)}</Key><Generation>{stored.generation}</Generation>"
        f"<MetaGeneration>{stored.metageneration}</MetaGeneration>"
        f"<LastModified>{rfc3339(stored.updated)}</LastModified><ETag>{escape(xml_etag(stored))}</ETag>"
        f"<Size>{stored.size}</Size></Contents>"
        for stored in page.objects
    )
    out.extend(f"<CommonPrefixes><Prefix>{show(common)}</Prefix></CommonPrefixes>" for common in page.prefixes)
    out.append("</ListBucketResult>")
    return xml_response("".join(out))


async def list_buckets(store: Store, request: Request) -> Response:
    """GET /: the project's buckets."""
    project = request.header(b"x-goog-project-id")
    entries = "".join(
        f"<Bucket><Name>{bucket.name}</Name><CreationDate>{rfc3339(bucket.created)}</CreationDate></Bucket>"
        for bucket in store.buckets()
        if project in (None, bucket.project)
    )
    return xml_response(
        f'<ListAllMyBucketsResult xmlns="{_SPACE}"><Buckets>{entries}</Buckets></ListAllMyBucketsResult>'
    )


async def create_bucket(store: Store, request: Request, bucket: str) -> Response:
    """PUT of a bucket, with its location in the body."""
    raw = await request.body(1 << 16)
    location = "US"
    if raw.strip():
        location = _parse(raw).findtext("{*}LocationConstraint") or location
    storage_class = request.header(b"x-goog-storage-class") or "STANDARD"
    project = request.header(b"x-goog-project-id") or "sandbox"
    json_buckets.create_bucket(store, bucket, location, project=project, storage_class=storage_class, settings={})
    await store.committed()
    return Response(200)


async def delete_bucket(store: Store, request: Request, bucket: str) -> Response:
    """DELETE of an empty bucket."""
    del request
    json_buckets.remove_bucket(store, bucket)
    await store.committed()
    return Response(204)


def _not_implemented(what: str) -> ApiError:
    return ApiError(501, f"The sandbox does not know: {what}.", reason="notImplemented", code="NotImplemented")


def _parse(raw: bytes) -> ET.Element:
    if b"<!" in raw:  # no document of this API has a DTD, and entities could grow without bound
        raise ApiError(400, "The XML you provided was not well-formed.", reason="invalid", code="MalformedXML")
    try:
        return ET.fromstring(raw)  # noqa: S314  # no DTD, see above
    except ET.ParseError as error:
        raise ApiError(
            400, f"The XML you provided was not well-formed: {error}", reason="invalid", code="MalformedXML"
        ) from None


# ---- uploads in several requests ------------------------------------------------------------------------------------


async def start_resumable(store: Store, request: Request, bucket: str, name: str) -> Response:
    """POST with ``x-goog-resumable: start``; the session is continued as in the JSON API."""
    require_bucket(store, bucket)
    session = Session(
        bucket=bucket,
        name=name,
        content_type=request.header(b"content-type") or "application/octet-stream",
        extra=_extra(request.headers),
        conditions=Preconditions.from_headers(request),
        xml=True,
    )
    upload_id = await start_session(store, session)
    location = f"{request.base_url}/{bucket}/{quote(name, safe='/~')}?upload_id={upload_id}"
    return Response(201, [(b"location", location.encode()), (b"x-guploader-uploadid", upload_id.encode())])


async def start_multipart(store: Store, request: Request, bucket: str, name: str) -> Response:
    """POST ?uploads."""
    require_bucket(store, bucket)
    check_name(name)
    session = Session(
        bucket=bucket,
        name=name,
        content_type=request.header(b"content-type") or "application/octet-stream",
        extra=_extra(request.headers),
        xml=True,
    )
    upload_id = secrets.token_urlsafe(48)
    store.save_upload(upload_id, msgspec.json.encode(session))
    await store.committed()
    return xml_response(
        f'<InitiateMultipartUploadResult xmlns="{_SPACE}"><Bucket>{bucket}</Bucket><Key>{escape(name)}</Key>'
        f"<UploadId>{upload_id}</UploadId></InitiateMultipartUploadResult>"
    )


def _multipart(store: Store, bucket: str, name: str, upload_id: str) -> Session:
    document = store.upload(upload_id)
    session = msgspec.json.decode(document, type=Session) if document is not None else None
    if session is None or (session.bucket, session.name) != (bucket, name):
        raise ApiError(404, "The requested upload was not found.", reason="notFound", code="NoSuchUpload")
    return session


async def put_part(store: Store, request: Request, bucket: str, name: str) -> Response:
    """PUT ?partNumber&uploadId."""
    upload_id = request.query["uploadId"]
    _multipart(store, bucket, name, upload_id)
    number = request.query["partNumber"]
    if not number.isdigit() or not 1 <= int(number) <= 10_000:
        raise ApiError(400, f"Part number {number} must be 1 to 10000.", reason="invalid", code="InvalidArgument")
    body = await receive(store, request)
    _multipart(store, bucket, name, upload_id)
    store.save_part(upload_id, int(number), body)
    await store.committed()
    assert body.md5 is not None
    return Response(200, [(b"etag", b'"%s"' % body.md5.hex().encode())])


async def complete_multipart(store: Store, request: Request, bucket: str, name: str) -> Response:
    """POST ?uploadId: join the parts that the body names."""
    upload_id = request.query["uploadId"]
    session = _multipart(store, bucket, name, upload_id)
    conditions = Preconditions.from_headers(request)
    root = _parse(await request.body(4 << 20))
    there = {part[0]: part for part in store.parts(upload_id)}
    chosen: list[tuple[int, int, bytes, int, str]] = []
    for element in root.iterfind("{*}Part"):
        number = (element.findtext("{*}PartNumber") or "").strip()
        etag = re.sub(r'^"|"$', "", (element.findtext("{*}ETag") or "").strip())
        part = there.get(int(number)) if number.isdigit() else None
        if part is None or part[2].hex() != etag:
            raise ApiError(
                400,
                f"Part {number} could not be found, or its entity tag is not the part's.",
                reason="invalid",
                code="InvalidPart",
            )
        if chosen and part[0] <= chosen[-1][0]:
            raise ApiError(400, "The parts are not in ascending order.", reason="invalid", code="InvalidPartOrder")
        chosen.append(part)
    if not chosen:
        raise ApiError(400, "The request names no part.", reason="invalid", code="MalformedXML")
    if any(part[1] < _LEAST_PART for part in chosen[:-1]):
        raise ApiError(
            400, "A part other than the last is smaller than 5 MiB.", reason="invalid", code="EntityTooSmall"
        )
    if upload_id in store.busy:
        raise ApiError(409, "The upload is being completed.", reason="conflict", code="OperationAborted")
    store.busy.add(upload_id)
    target = store.temporary_path()
    try:
        pieces: list[bytes | Path] = [store.uploads / part[4] for part in chosen]
        size, crc = await asyncio.to_thread(join_pieces, pieces, target)
        stored = await insert(
            store,
            bucket,
            name,
            NewBody(size, None, crc, path=target),
            content_type=session.content_type,
            extra=session.extra,
            conditions=conditions,
        )
        store.drop_upload(upload_id)
        await store.committed()
    finally:
        store.busy.discard(upload_id)
        target.unlink(missing_ok=True)
    return xml_response(
        f'<CompleteMultipartUploadResult xmlns="{_SPACE}"><Location>{request.base_url}/{bucket}/'
        f"{escape(quote(name))}</Location><Bucket>{bucket}</Bucket><Key>{escape(name)}</Key>"
        f"<ETag>{escape(xml_etag(stored))}</ETag></CompleteMultipartUploadResult>",
        200,
        [(b"x-goog-generation", b"%d" % stored.generation)],
    )


async def abort_multipart(store: Store, request: Request, bucket: str, name: str) -> Response:
    """DELETE ?uploadId."""
    _multipart(store, bucket, name, request.query["uploadId"])
    store.drop_upload(request.query["uploadId"])
    await store.committed()
    return Response(204)
