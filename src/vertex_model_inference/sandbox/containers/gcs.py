"""What an instance points at, fetched from the sandbox's own storage or from this machine, and from nowhere else."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import os
from functools import cache
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2

from vertex_model_inference.sandbox.containers.serve import INVALID_ARGUMENT, NOT_FOUND, UNAVAILABLE, InstanceError

__all__ = ["MAX_OBJECT_BYTES", "bytes_of", "fetch", "url_of"]

MAX_OBJECT_BYTES = 30 * 1024 * 1024  # Vertex AutoML's own limit of one image


@cache
def _client() -> httpx2.Client:
    # One pool for all threads of the container; redirects could lead off this machine, so none is followed.
    return httpx2.Client(timeout=30, follow_redirects=False, trust_env=False)


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return host is not None and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def url_of(uri: str) -> str:
    """Where the bytes of ``uri`` are served.

    Args:
        uri: ``gs://bucket/object``, or an http(s) URL of this machine.

    Raises:
        InstanceError: Another kind of URI, another machine, or a gs:// URI without bucket or object.
    """
    parts = urlsplit(uri)
    if parts.scheme == "gs":
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        if not bucket or not name:
            raise InstanceError(f"{uri!r} is not the URI of an object; expected gs://bucket/object.")
        host = os.environ.get("STORAGE_EMULATOR_HOST", "").rstrip("/")
        if not host:
            raise InstanceError("STORAGE_EMULATOR_HOST is not set, so gs:// cannot be read.", UNAVAILABLE)
        return f"{host if '://' in host else 'http://' + host}/{bucket}/{quote(name, safe='/')}"
    if parts.scheme in ("http", "https"):
        if not _is_loopback(parts.hostname):
            raise InstanceError(f"{uri!r} is on another machine; the sandbox's models read gs:// and loopback only.")
        return uri
    raise InstanceError(f"{uri!r} cannot be read; expected gs://bucket/object.")


def fetch(uri: str, *, limit: int = MAX_OBJECT_BYTES) -> bytes:
    """The object's bytes. Safe to call from several threads.

    Args:
        uri: ``gs://bucket/object``, or an http(s) URL of this machine.
        limit: The longest object that is read, in bytes.

    Raises:
        InstanceError: The object does not exist, is too long, or its storage does not answer.
    """
    try:
        with _client().stream("GET", url_of(uri)) as response:
            if response.status_code == 404:
                raise InstanceError(f"{uri} does not exist.", NOT_FOUND)
            if response.status_code != 200:
                raise InstanceError(f"{uri} could not be read: status {response.status_code}.", UNAVAILABLE)
            chunks, size = [], 0
            for chunk in response.iter_bytes():
                size += len(chunk)
                if size > limit:
                    raise InstanceError(f"{uri} is longer than {limit} bytes.")
                chunks.append(chunk)
            return b"".join(chunks)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise InstanceError(f"{uri} could not be read: {error or type(error).__name__}.", UNAVAILABLE) from None


def bytes_of(value: Any, field: str) -> bytes:
    """The bytes that one field of an instance stands for.

    Args:
        value: ``gs://...``, an http(s) URL of this machine, base64 text, or Vertex's ``{"b64": text}``.
        field: The field's name, for messages.

    Raises:
        InstanceError: None of these.
    """
    if isinstance(value, dict) and set(value) == {"b64"}:
        value = value["b64"]
    elif isinstance(value, str) and "://" in value[:16]:
        return fetch(value)
    if not isinstance(value, str) or not value:
        raise InstanceError(f'"{field}" must be a gs:// URI or base64 text, not {type(value).__name__}.')
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InstanceError(f'"{field}" is neither a gs:// URI nor base64: {error}.', INVALID_ARGUMENT) from None
