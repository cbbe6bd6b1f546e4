"""Reading what URLs name: our own files, the sandbox's Cloud Storage, and the network beyond."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

import httpx2

if TYPE_CHECKING:
    from vertex_model_inference.sandbox.labelbox.store import Store

__all__ = ["FetchError", "Fetcher"]

_BEYOND_S = 5.0  # how long a server outside this machine may take to answer


class FetchError(Exception):
    """The URL cannot be read; the message says why."""


class Fetcher:
    """Reads URLs as Labelbox's workers would.

    Args:
        store: For our own files, and for the ``mirrors`` setting: URLs that stand for others, so that data which names
            the internet can be used without it.
        storage_url: Base URL of the Cloud Storage that ``gs://`` and ``https://storage.googleapis.com`` stand for.
    """

    def __init__(self, store: Store, storage_url: str) -> None:
        self._store = store
        self._storage = storage_url
        self._client = httpx2.Client(timeout=_BEYOND_S, follow_redirects=True, trust_env=False)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def local_path(self, url: str) -> Path | None:
        """Where the bytes lie, when the URL names one of our own files."""
        entry = self._store.files.from_url(self._mirrored(url))
        return None if entry is None else entry.path

    def read(self, url: str, most: int | None = None) -> bytes:
        """The bytes of ``url``, or its first ``most``.

        Raises:
            FetchError: It cannot be read.
        """
        path = self.local_path(url)
        try:
            if path is not None:
                with path.open("rb") as file:
                    return file.read(-1 if most is None else most)
            headers = {} if most is None else {"Range": f"bytes=0-{most - 1}"}
            target = self._http_url(self._mirrored(url))
            with self._client.stream("GET", target, headers=headers) as response:
                if response.status_code not in (200, 206):
                    raise FetchError(f"{url} answered {response.status_code}.")
                parts, size = [], 0
                for part in response.iter_bytes():
                    parts.append(part)
                    size += len(part)
                    if most is not None and size >= most:
                        break
                return b"".join(parts)
        except (OSError, httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise FetchError(f"{url} cannot be read: {error}") from None

    def _mirrored(self, url: str) -> str:
        mirrors: dict[str, str] = self._store.setting("mirrors", {})
        return mirrors.get(url, url)

    def _http_url(self, url: str) -> str:
        if url.startswith("gs://"):
            bucket, _, name = url[5:].partition("/")
            return f"{self._storage}/{bucket}/{quote(name)}"
        parts = urlsplit(url)
        if parts.hostname == "storage.googleapis.com" and parts.scheme in ("http", "https"):
            return f"{self._storage}{quote(unquote(parts.path))}"
        if parts.scheme not in ("http", "https"):
            raise FetchError(f"{url} is neither http, https nor gs.")
        return url
