"""What the store keeps, and its faces: the JSON resources and the headers of Cloud Storage.

Formats: https://cloud.google.com/storage/docs/json_api/v1/objects#resource and
https://cloud.google.com/storage/docs/xml-api/reference-headers. Times are microseconds since 1970 (UTC) inside, and
RFC 3339 with milliseconds or HTTP dates outside.
"""

from __future__ import annotations

import base64
import datetime as dt
import functools
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

__all__ = [
    "WRITABLE",
    "Bucket",
    "NewBody",
    "StoredObject",
    "bucket_resource",
    "crc32c_text",
    "object_headers",
    "object_resource",
    "rfc3339",
    "xml_etag",
]

#: Fields of an object that a caller may set, besides contentType (which has a column of its own).
WRITABLE = (
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
    "customTime",
    "eventBasedHold",
    "metadata",
    "storageClass",
    "temporaryHold",
)


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """A bucket; ``settings`` are the resource's writable fields as the caller gave them (labels, versioning, ...)."""

    name: str
    project: str
    location: str
    storage_class: str
    created: int
    updated: int
    metageneration: int = 1
    settings: dict[str, Any] = {}


class StoredObject(msgspec.Struct, frozen=True):
    """A live object without its bytes.

    Attributes:
        generation: Microseconds since 1970, unique in the store; also names the bytes.
        md5: 16 bytes; None for composed objects and XML multipart uploads, as in Cloud Storage.
        crc32c: Castagnoli CRC of the whole content.
        inline: The bytes are in the database, not in a file.
        document: JSON of the fields in ``WRITABLE`` that are set, plus ``componentCount``.
    """

    bucket: str
    name: str
    generation: int
    metageneration: int
    size: int
    md5: bytes | None
    crc32c: int
    content_type: str | None
    created: int
    updated: int
    inline: int
    document: str

    @property
    def extra(self) -> dict[str, Any]:
        """``document`` decoded."""
        if self.document == "{}":
            return {}
        value: dict[str, Any] = msgspec.json.decode(self.document)
        return value


class NewBody(msgspec.Struct, frozen=True):
    """Bytes that were received whole: in memory (``data``) or in a temporary file (``path``)."""

    size: int
    md5: bytes | None
    crc32c: int
    data: bytes | None = None
    path: Path | None = None


@functools.lru_cache(4096)
def _rfc3339_ms(milliseconds: int) -> str:
    moment = dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03d}Z"


def rfc3339(microseconds: int) -> str:
    """``2026-01-31T12:00:00.123Z``."""
    return _rfc3339_ms(microseconds // 1000)


@functools.lru_cache(1024)
def _http_date(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode()


def crc32c_text(value: int) -> str:
    """Base64 of the big-endian CRC, as Cloud Storage writes it."""
    return base64.b64encode(value.to_bytes(4, "big")).decode()


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def json_etag(generation: int, metageneration: int) -> str:
    """The JSON API's etag: base64 of a two-field protobuf of generation and metageneration."""
    return base64.b64encode(b"\x08" + _varint(generation) + b"\x10" + _varint(metageneration)).decode()


def xml_etag(stored: StoredObject) -> str:
    """The XML API's ETag, quoted: the MD5 in hex where there is one, else an opaque word."""
    if stored.md5 is not None:
        return f'"{stored.md5.hex()}"'
    return f'"-{json_etag(stored.generation, stored.metageneration)}"'


def object_resource(stored: StoredObject, base_url: str) -> dict[str, Any]:
    """The ``storage#object`` resource; ``base_url`` without a trailing slash is for its links."""
    path = f"/storage/v1/b/{stored.bucket}/o/{quote(stored.name, safe='~')}"
    created = rfc3339(stored.created)
    resource: dict[str, Any] = {
        "kind": "storage#object",
        "id": f"{stored.bucket}/{stored.name}/{stored.generation}",
        "selfLink": base_url + path,
        "mediaLink": f"{base_url}/download{path}?generation={stored.generation}&alt=media",
        "name": stored.name,
        "bucket": stored.bucket,
        "generation": str(stored.generation),
        "metageneration": str(stored.metageneration),
        "storageClass": "STANDARD",
        "size": str(stored.size),
        "crc32c": crc32c_text(stored.crc32c),
        "etag": json_etag(stored.generation, stored.metageneration),
        "timeCreated": created,
        "updated": rfc3339(stored.updated),
        "timeStorageClassUpdated": created,
        "timeFinalized": created,
    }
    if stored.content_type is not None:
        resource["contentType"] = stored.content_type
    if stored.md5 is not None:
        resource["md5Hash"] = base64.b64encode(stored.md5).decode()
    resource.update(stored.extra)
    return resource


def bucket_resource(bucket: Bucket, base_url: str) -> dict[str, Any]:
    """The ``storage#bucket`` resource."""
    regional = "-" in bucket.location
    dual = bucket.location in ("NAM4", "EUR4", "EUR5", "EUR7", "EUR8", "ASIA1")
    return {
        **bucket.settings,
        "kind": "storage#bucket",
        "id": bucket.name,
        "name": bucket.name,
        "selfLink": f"{base_url}/storage/v1/b/{bucket.name}",
        "projectNumber": "1",
        "metageneration": str(bucket.metageneration),
        "location": bucket.location,
        "locationType": "region" if regional else "dual-region" if dual else "multi-region",
        "storageClass": bucket.storage_class,
        "timeCreated": rfc3339(bucket.created),
        "updated": rfc3339(bucket.updated),
        "etag": base64.b64encode(b"\x08" + _varint(bucket.metageneration)).decode(),
        "iamConfiguration": {
            "uniformBucketLevelAccess": {"enabled": False},
            "publicAccessPrevention": "inherited",
            **bucket.settings.get("iamConfiguration", {}),
        },
    }


_HEADER_FIELDS = {
    "cacheControl": b"cache-control",
    "contentDisposition": b"content-disposition",
    "contentEncoding": b"content-encoding",
    "contentLanguage": b"content-language",
}


def object_headers(stored: StoredObject, *, xml: bool) -> list[tuple[bytes, bytes]]:
    """The headers that come with an object's content; the two APIs differ in the ETag only."""
    size = b"%d" % stored.size
    etag = xml_etag(stored) if xml else json_etag(stored.generation, stored.metageneration)
    headers = [
        (b"content-type", (stored.content_type or "application/octet-stream").encode("latin-1", "replace")),
        (b"etag", etag.encode()),
        (b"last-modified", _http_date(stored.updated // 1_000_000)),
        (b"accept-ranges", b"bytes"),
        (b"x-goog-generation", b"%d" % stored.generation),
        (b"x-goog-metageneration", b"%d" % stored.metageneration),
        (b"x-goog-storage-class", b"STANDARD"),
        (b"x-goog-stored-content-length", size),
        (b"x-goog-hash", b"crc32c=" + crc32c_text(stored.crc32c).encode()),
    ]
    if stored.md5 is not None:
        headers.append((b"x-goog-hash", b"md5=" + base64.b64encode(stored.md5)))
    encoding = b"identity"
    if stored.document != "{}":
        extra = stored.extra
        for field, header in _HEADER_FIELDS.items():
            if extra.get(field):
                headers.append((header, str(extra[field]).encode("latin-1", "replace")))
        for key, value in (extra.get("metadata") or {}).items():
            headers.append((b"x-goog-meta-" + key.lower().encode("latin-1", "replace"), _header_value(str(value))))
        if extra.get("componentCount"):
            headers.append((b"x-goog-component-count", b"%d" % extra["componentCount"]))
        encoding = str(extra.get("contentEncoding") or "identity").encode()
    headers.append((b"x-goog-stored-content-encoding", encoding))
    return headers


def _header_value(text: str) -> bytes:
    # Cloud Storage percent-encodes what a header cannot carry.
    return text.encode("ascii") if text.isascii() and text.isprintable() else quote(text).encode()
