"""Where objects are: ``gs://`` URIs, buckets and folders, opened as stores."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from obstore.store import GCSStore, LocalStore

from vertex_model_inference.errors import SettingsError, StorageError
from vertex_model_inference.storage.store import TIMEOUT_S, Store

__all__ = ["Buckets", "TokenSource", "open_bucket", "open_store", "split_gs"]


class TokenSource(Protocol):
    """Gives a bearer token for Google's APIs and the time until which it is good (None: for ever)."""

    def __call__(self) -> tuple[str, datetime | None]:
        """The token and its expiry."""


def split_gs(uri: str) -> tuple[str, str]:
    """``gs://bucket/a/b`` -> ``("bucket", "a/b")``.

    Raises:
        StorageError: Not a ``gs://`` URI with a bucket.
    """
    parts = urlsplit(uri, allow_fragments=False)
    if parts.scheme != "gs" or not parts.netloc:
        raise StorageError(f"{uri!r} is not a gs:// URI.", code="bad_uri")
    path = uri[len("gs://") + len(parts.netloc) :].lstrip("/")
    return parts.netloc, path


def open_bucket(bucket: str, *, endpoint: str | None, token: TokenSource, prefix: str | None = None) -> GCSStore:
    """An obstore store over a bucket.

    Args:
        bucket: Its name.
        endpoint: Base URL of the storage service; None: Google's.
        token: Where bearer tokens come from; asked again when they run out.
        prefix: Folder in the bucket that becomes the store's root.
    """

    def credential() -> Any:
        value, expires = token()
        return {"token": value, "expires_at": expires.astimezone(UTC) if expires else None}

    config: Any = {"base_url": endpoint} if endpoint else {}
    options: Any = {"allow_http": bool(endpoint and endpoint.startswith("http://")), "timeout": f"{TIMEOUT_S:g}s"}
    return GCSStore(bucket, prefix=prefix, config=config, client_options=options, credential_provider=credential)


def open_store(root: str, *, endpoint: str | None, token: TokenSource) -> Store:
    """A store over ``gs://bucket[/prefix]`` or over a local folder (made when missing).

    Raises:
        SettingsError: ``root`` is neither.
    """
    if root.startswith("gs://"):
        bucket, prefix = split_gs(root)
        return Store(
            root.rstrip("/"), open_bucket(bucket, endpoint=endpoint, token=token, prefix=prefix.rstrip("/") or None)
        )
    if "://" in root:
        raise SettingsError(f"{root!r} is no place for a run's files: it must be gs://bucket or a folder.")
    folder = Path(root).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return Store(str(folder), LocalStore(prefix=folder, mkdir=True))


class Buckets:
    """Reads objects of any bucket by ``gs://`` URI, keeping one store per bucket.

    Args:
        open_: Makes the store of a bucket by name.
    """

    def __init__(self, open_: Callable[[str], GCSStore]) -> None:
        self._open = open_
        self._stores: dict[str, Store] = {}

    def of(self, uri: str) -> tuple[Store, str]:
        """The store of the URI's bucket, and the object's path in it."""
        bucket, path = split_gs(uri)
        store = self._stores.get(bucket)
        if store is None:
            store = self._stores[bucket] = Store(f"gs://{bucket}", self._open(bucket))
        return store, path
