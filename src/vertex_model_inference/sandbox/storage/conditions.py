"""Preconditions and byte ranges: pure functions from what a request says to what it means."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import msgspec

from vertex_model_inference.sandbox.storage.resources import StoredObject, json_etag, xml_etag
from vertex_model_inference.sandbox.storage.wire import ApiError, Request

__all__ = [
    "Preconditions",
    "byte_range",
    "check_digests",
    "check_entity_headers",
    "expected_digests",
    "precondition_failed",
]


def precondition_failed() -> ApiError:
    """412, in the words of Cloud Storage."""
    return ApiError(
        412,
        "At least one of the pre-conditions you specified did not hold.",
        reason="conditionNotMet",
        code="PreconditionFailed",
    )


def _not_modified() -> ApiError:
    return ApiError(304, "Not Modified", reason="notModified", code="NotModified")


def _number(values: Mapping[str, str], name: str) -> int | None:
    text = values.get(name)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise ApiError(400, f"Invalid value for {name}: {text}", reason="invalid", code="InvalidArgument") from None


class Preconditions(msgspec.Struct, frozen=True):
    """On generation and metageneration; None where nothing is asked. Generation 0 means "does not exist"."""

    generation: int | None = None
    generation_not: int | None = None
    metageneration: int | None = None
    metageneration_not: int | None = None

    @classmethod
    def from_query(cls, query: Mapping[str, str], prefix: str = "if") -> Preconditions:
        """From the JSON API's parameters; ``prefix`` is ``ifSource`` for the source of a copy.

        Raises:
            ApiError: 400, one is not a number.
        """
        return cls(
            _number(query, f"{prefix}GenerationMatch"),
            _number(query, f"{prefix}GenerationNotMatch"),
            _number(query, f"{prefix}MetagenerationMatch"),
            _number(query, f"{prefix}MetagenerationNotMatch"),
        )

    @classmethod
    def from_headers(cls, request: Request, prefix: str = "x-goog-") -> Preconditions:
        """From the XML API's headers (and the JSON names, which signed URLs may carry).

        Raises:
            ApiError: 400, one is not a number.
        """
        names = ("if-generation-match", "if-metageneration-match")
        found = {name: value for name in names if (value := request.header((prefix + name).encode())) is not None}
        if not found:
            return _NONE
        return cls(generation=_number(found, names[0]), metageneration=_number(found, names[1]))

    def check(self, stored: StoredObject | None, *, reading: bool = False) -> None:
        """Compare with what is there.

        Raises:
            ApiError: 412; or 304 when ``reading`` and a not-match condition is what failed.
        """
        if self is _NONE:
            return
        generation = stored.generation if stored else 0
        metageneration = stored.metageneration if stored else 0
        if self.generation is not None and self.generation != generation:
            raise precondition_failed()
        if self.metageneration is not None and self.metageneration != metageneration:
            raise precondition_failed()
        unwanted = (self.generation_not == generation and self.generation_not is not None) or (
            self.metageneration_not == metageneration and self.metageneration_not is not None
        )
        if unwanted:
            raise _not_modified() if reading else precondition_failed()


_NONE = Preconditions()


def _etags(text: str) -> set[str]:
    return {tag.strip().removeprefix("W/").strip('"') for tag in text.split(",")}


def check_entity_headers(request: Request, stored: StoredObject) -> None:
    """If-Match, If-None-Match, If-Modified-Since and If-Unmodified-Since of a read (RFC 9110, section 13).

    Raises:
        ApiError: 412 or 304.
    """
    headers = request.headers
    if not (
        b"if-match" in headers
        or b"if-none-match" in headers
        or b"if-modified-since" in headers
        or b"if-unmodified-since" in headers
    ):
        return
    ours = {xml_etag(stored).strip('"'), json_etag(stored.generation, stored.metageneration), "*"}
    second = stored.updated // 1_000_000
    match, none_match = request.header(b"if-match"), request.header(b"if-none-match")
    if match is not None:
        if not ours & _etags(match):
            raise precondition_failed()
    elif (moment := _date(request.header(b"if-unmodified-since"))) is not None and second > moment:
        raise precondition_failed()
    if none_match is not None:
        if ours & _etags(none_match):
            raise _not_modified()
    elif (moment := _date(request.header(b"if-modified-since"))) is not None and second <= moment:
        raise _not_modified()


def _date(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(parsedate_to_datetime(text).timestamp())
    except ValueError:  # RFC 9110: a date that is none is ignored
        return None


def byte_range(text: str | None, size: int) -> tuple[int, int] | None:
    """Offset and length that a Range header asks for; None for the whole.

    Several ranges and other units are ignored, as Cloud Storage does: the whole is answered.

    Raises:
        ApiError: 416, nothing of the range exists.
    """
    if text is None:
        return None
    unit, _, spec = text.partition("=")
    first, dash, last = spec.strip().partition("-")
    first, last = first.strip(), last.strip()
    if unit.strip().lower() != "bytes" or not dash or "," in spec:
        return None
    if not (first or last) or (first and not _digits(first)) or (last and not _digits(last)):
        return None
    if first:
        start = int(first)
        end = min(int(last), size - 1) if last else size - 1
        if last and int(last) < start:
            return None
    else:
        start, end = max(size - int(last), 0), size - 1
        if int(last) == 0:
            start = size
    if start >= size:
        raise ApiError(
            416,
            "The requested range cannot be satisfied.",
            reason="requestedRangeNotSatisfiable",
            code="InvalidRange",
            details=text,
            headers=[(b"content-range", b"bytes */%d" % size)],
        )
    return start, end - start + 1


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def expected_digests(request: Request) -> tuple[str | None, str | None]:
    """Base64 MD5 and CRC32C that the client announces in ``Content-MD5`` and ``x-goog-hash`` headers."""
    md5 = request.header(b"content-md5")
    crc = None
    for item in (request.header(b"x-goog-hash") or "").split(","):
        name, _, value = item.strip().partition("=")
        if name == "md5":
            md5 = value
        elif name == "crc32c":
            crc = value
    return md5, crc


def check_digests(md5: str | None, crc32c: str | None, actual_md5: bytes | None, actual_crc32c: int) -> None:
    """Compare announced base64 digests (None: not announced) with the received bytes'.

    Raises:
        ApiError: 400, they differ.
    """
    if crc32c is not None and _decode(crc32c, "CRC32C") != actual_crc32c.to_bytes(4, "big"):
        ours = base64.b64encode(actual_crc32c.to_bytes(4, "big")).decode()
        raise _bad_digest("CRC32C", crc32c, ours)
    if md5 is not None and actual_md5 is not None and _decode(md5, "MD5") != actual_md5:
        raise _bad_digest("MD5 hash", md5, base64.b64encode(actual_md5).decode())


def _decode(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ApiError(400, f"Invalid {what}: {text} is not base64.", reason="invalid", code="InvalidDigest") from None


def _bad_digest(what: str, given: str, ours: str) -> ApiError:
    return ApiError(
        400,
        f'Provided {what} "{given}" doesn\'t match calculated {what} "{ours}".',
        reason="invalid",
        code="BadDigest",
    )
