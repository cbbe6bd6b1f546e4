"""Objects of the JSON API (https://cloud.google.com/storage/docs/json_api/v1/objects), uploads apart."""

from __future__ import annotations

import asyncio
import functools
from pathlib import Path
from typing import Any

import google_crc32c

from vertex_model_inference.sandbox.storage.conditions import Preconditions, precondition_failed
from vertex_model_inference.sandbox.storage.listing import ListQuery, list_page
from vertex_model_inference.sandbox.storage.objects import check_name, find, read, require_bucket
from vertex_model_inference.sandbox.storage.resources import WRITABLE, NewBody, StoredObject, object_resource
from vertex_model_inference.sandbox.storage.store import Store
from vertex_model_inference.sandbox.storage.wire import ApiError, Request, Response, json_response

__all__ = ["compose", "copy", "delete", "get", "listing", "move", "patch", "rewrite", "update", "writable"]

_PIECE = 1 << 20
_MOST_COMPONENTS = 32


def writable(resource: dict[str, Any]) -> dict[str, Any]:
    """The fields of a resource that a caller may set, without nulls; read-only ones are ignored, as by Google.

    Raises:
        ApiError: 400, metadata is not a map of strings.
    """
    extra = {key: resource[key] for key in WRITABLE if resource.get(key) is not None}
    if "metadata" in extra:
        metadata = extra["metadata"]
        if not isinstance(metadata, dict):
            raise ApiError(400, "Invalid value for metadata: a map is expected.", reason="invalid", code="Invalid")
        extra["metadata"] = {str(key): _text(value) for key, value in metadata.items() if value is not None}
        if not extra["metadata"]:
            del extra["metadata"]
    return extra


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ApiError(400, "Invalid value for metadata: values are strings.", reason="invalid", code="Invalid")
    return value


def _whole(text: str | None, default: int, most: int) -> int:
    try:
        value = int(text) if text else default
    except ValueError:
        value = 0
    if value < 1:
        raise ApiError(400, f"Invalid unsigned integer value: '{text}'.", reason="invalid", code="InvalidArgument")
    return min(value, most)


async def listing(store: Store, request: Request, bucket: str) -> Response:
    """``objects.list``."""
    require_bucket(store, bucket)
    asked = request.query
    query = ListQuery(
        prefix=asked.get("prefix", ""),
        delimiter=asked.get("delimiter", ""),
        start=asked.get("startOffset", ""),
        end=asked.get("endOffset") or None,
        limit=_whole(asked.get("maxResults"), 1000, 1000),
        token=asked.get("pageToken") or None,
        glob=asked.get("matchGlob") or None,
        trailing=asked.get("includeTrailingDelimiter", "").lower() == "true",
    )
    page = list_page(functools.partial(store.seek, bucket), query)
    base = request.base_url
    value: dict[str, Any] = {"kind": "storage#objects"}
    if page.next_token is not None:
        value["nextPageToken"] = page.next_token
    if page.prefixes:
        value["prefixes"] = page.prefixes
    if page.objects:
        value["items"] = [object_resource(stored, base) for stored in page.objects]
    return json_response(value)


async def get(store: Store, request: Request, bucket: str, name: str) -> Response:
    """``objects.get``: the resource, or with ``alt=media`` the content."""
    conditions = Preconditions.from_query(request.query)
    if request.query.get("alt") == "media":
        return read(store, request, bucket, name, conditions, xml=False)
    stored = find(store, bucket, name, request.query)
    conditions.check(stored, reading=True)
    return json_response(object_resource(stored, request.base_url))


async def download(store: Store, request: Request, bucket: str, name: str) -> Response:
    """``/download/...``: always the content."""
    return read(store, request, bucket, name, Preconditions.from_query(request.query), xml=False)


async def patch(store: Store, request: Request, bucket: str, name: str) -> Response:
    """``objects.patch``: named fields change, metadata is merged, null removes."""
    changes = await request.json()
    stored = find(store, bucket, name, request.query)
    Preconditions.from_query(request.query).check(stored)
    extra = stored.extra
    for key in WRITABLE:
        if key not in changes:
            continue
        value = changes[key]
        if key == "metadata" and isinstance(value, dict):
            merged: dict[str, Any] = {**extra.get("metadata", {}), **value}
            value = {name_: text for name_, text in merged.items() if text is not None} or None
        if value is None:
            extra.pop(key, None)
        else:
            extra[key] = value
    content_type = changes.get("contentType", stored.content_type)
    return await _save(store, request, stored, content_type, extra)


async def update(store: Store, request: Request, bucket: str, name: str) -> Response:
    """``objects.update``: the writable fields become exactly those given."""
    resource = await request.json()
    stored = find(store, bucket, name, request.query)
    Preconditions.from_query(request.query).check(stored)
    return await _save(store, request, stored, resource.get("contentType"), resource)


async def _save(
    store: Store, request: Request, stored: StoredObject, content_type: str | None, extra: dict[str, Any]
) -> Response:
    kept = writable(extra)
    if "componentCount" in stored.extra:
        kept["componentCount"] = stored.extra["componentCount"]
    changed = store.update(stored, content_type, kept)
    await store.committed()
    return json_response(object_resource(changed, request.base_url))


async def delete(store: Store, request: Request, bucket: str, name: str) -> Response:
    """``objects.delete``."""
    stored = find(store, bucket, name, request.query)
    Preconditions.from_query(request.query).check(stored)
    if stored.extra.get("temporaryHold") or stored.extra.get("eventBasedHold"):
        raise ApiError(
            403,
            f"Object '{bucket}/{name}' is under active Temporary hold or Event-Based hold and cannot be deleted.",
            reason="forbidden",
            code="ObjectUnderActiveHold",
        )
    store.delete(stored)
    await store.committed()
    return Response(204)


async def _copied(
    store: Store, request: Request, source: tuple[str, str], target: tuple[str, str], *, move: bool = False
) -> StoredObject:
    resource = await request.json()
    query = request.query
    wanted = {"generation": query["sourceGeneration"]} if "sourceGeneration" in query else {}
    origin = find(store, *source, wanted)
    Preconditions.from_query(query, "ifSource").check(origin)
    require_bucket(store, target[0])
    check_name(target[1])
    existing = store.get(*target)
    Preconditions.from_query(query).check(existing)
    if resource and not move:
        content_type, extra = resource.get("contentType", origin.content_type), writable(resource)
    else:
        content_type, extra = origin.content_type, writable(origin.extra)
    if "componentCount" in origin.extra:
        extra["componentCount"] = origin.extra["componentCount"]
    made = store.copy(origin, *target, content_type, extra, existing)
    if move and source != target:
        store.delete(origin)
    await store.committed()
    return made


async def copy(store: Store, request: Request, b: str, o: str, to_b: str, to_o: str) -> Response:
    """``objects.copy``."""
    made = await _copied(store, request, (b, o), (to_b, to_o))
    return json_response(object_resource(made, request.base_url))


async def rewrite(store: Store, request: Request, b: str, o: str, to_b: str, to_o: str) -> Response:
    """``objects.rewrite``: always done in one call."""
    made = await _copied(store, request, (b, o), (to_b, to_o))
    size = str(made.size)
    return json_response(
        {
            "kind": "storage#rewriteResponse",
            "totalBytesRewritten": size,
            "objectSize": size,
            "done": True,
            "resource": object_resource(made, request.base_url),
        }
    )


async def move(store: Store, request: Request, bucket: str, name: str, target: str) -> Response:
    """``objects.move`` inside a bucket."""
    made = await _copied(store, request, (bucket, name), (bucket, target), move=True)
    return json_response(object_resource(made, request.base_url))


async def compose(store: Store, request: Request, bucket: str, name: str) -> Response:
    """``objects.compose``: up to 32 objects one after the other."""
    asked = await request.json()
    sources = asked.get("sourceObjects") or []
    if not 1 <= len(sources) <= _MOST_COMPONENTS:
        raise ApiError(
            400,
            f"The number of source components provided ({len(sources)}) must be between 1 and {_MOST_COMPONENTS}.",
            reason="invalid",
            code="InvalidArgument",
        )
    pieces: list[bytes | Path] = []
    components = 0
    first: StoredObject | None = None
    pinned: list[Path] = []
    target = store.temporary_path()
    try:
        for source in sources:
            wanted = {"generation": str(source["generation"])} if source.get("generation") else {}
            find(store, bucket, str(source.get("name")), wanted)
            stored, data = store.read(bucket, str(source.get("name")))
            assert stored is not None
            condition = (source.get("objectPreconditions") or {}).get("ifGenerationMatch")
            if condition is not None and str(condition) != str(stored.generation):
                raise precondition_failed()
            components += stored.extra.get("componentCount", 1)
            first = first or stored
            if data is not None:
                pieces.append(data)
            else:
                pin = store.temporary_path()  # a link of our own: the source may be replaced while we read
                pin.hardlink_to(store.body_path(stored.generation))
                pinned.append(pin)
                pieces.append(pin)
        assert first is not None
        size, crc = await asyncio.to_thread(join_pieces, pieces, target)
        require_bucket(store, bucket)
        check_name(name)
        existing = store.get(bucket, name)
        Preconditions.from_query(request.query).check(existing)
        destination = asked.get("destination") or {}
        extra: dict[str, Any] = {**writable(destination), "componentCount": components}
        content_type = destination.get("contentType", first.content_type)
        made = store.put(bucket, name, NewBody(size, None, crc, path=target), content_type, extra, existing)
    finally:
        target.unlink(missing_ok=True)
        for pin in pinned:
            pin.unlink(missing_ok=True)
    await store.committed()
    return json_response(object_resource(made, request.base_url))


def join_pieces(pieces: list[bytes | Path], target: Path) -> tuple[int, int]:
    """Write the pieces one after the other to ``target``; gives size and CRC32C. Reads files in bounded pieces."""
    size = crc = 0
    with target.open("wb", buffering=0) as out:
        for piece in pieces:
            if isinstance(piece, bytes):
                out.write(piece)
                crc = google_crc32c.extend(crc, piece)
                size += len(piece)
                continue
            with piece.open("rb", buffering=0) as file:
                while data := file.read(_PIECE):
                    out.write(data)
                    crc = google_crc32c.extend(crc, data)
                    size += len(data)
    return size, crc
