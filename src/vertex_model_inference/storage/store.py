"""Object storage behind one small interface: a bucket (``gs://``) or a folder of this machine, through obstore.

The artifacts of a run are written once under a deterministic name and whole or not at all (a PUT, or a rename of a
finished file), so a file that exists is a step that is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.exceptions import NotFoundError as ObjectNotFoundError
from obstore.store import GCSStore, LocalStore

from vertex_model_inference.errors import NotFoundError, SettingsError, StorageError
from vertex_model_inference.fencing import may_go_on

__all__ = ["Buckets", "Entry", "LineWriter", "Store", "TokenSource", "open_bucket", "open_store", "split_gs"]

_CHUNK = 1 << 20
_PART, _PARTS_AT_ONCE = 8 << 20, 2
"""Bytes of a part of a multipart upload, and how many are sent at once. Cloud Storage refuses parts under 5 MiB but for
the last (https://cloud.google.com/storage/docs/multipart-uploads)."""
_FAILURES = (BaseError, OSError, ValueError)  # obstore gives missing and existing objects as OSErrors


class Entry(NamedTuple):
    """One object: ``path`` relative to the store's root, ``size`` in bytes."""

    path: str
    size: int


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


class Store:
    """Objects under one root.

    Args:
        root: ``gs://bucket/prefix`` or a local folder's absolute path, no trailing slash.
        objects: The obstore store that is rooted at ``root``.
    """

    def __init__(self, root: str, objects: GCSStore | LocalStore) -> None:
        self.root = root
        self.objects = objects

    def uri(self, path: str) -> str:
        """Absolute name of ``path``: a ``gs://`` URI or a local path."""
        return f"{self.root}/{path}"

    def put(self, path: str, data: bytes) -> None:
        """Write an object, replacing what was there.

        Raises:
            StorageError: Storage refused or did not answer.
        """
        may_go_on()
        with self._explained("write", path):
            obstore.put(self.objects, path, data)

    def get(self, path: str) -> bytes:
        """The whole object.

        Raises:
            NotFoundError: No such object.
            StorageError: Storage refused or did not answer.
        """
        with self._explained("read", path):
            return bytes(obstore.get(self.objects, path).bytes())

    def size(self, path: str) -> int | None:
        """Bytes of the object; None when there is none."""
        try:
            with self._explained("look at", path):
                return int(obstore.head(self.objects, path)["size"])
        except NotFoundError:
            return None

    def range(self, path: str, start: int, length: int) -> bytes:
        """Some bytes of the object.

        Raises:
            NotFoundError: No such object.
            StorageError: Storage refused or did not answer.
        """
        with self._explained("read", path):
            return bytes(obstore.get_range(self.objects, path, start=start, length=length))

    def exists(self, path: str) -> bool:
        """Whether the object is there."""
        return self.size(path) is not None

    def delete(self, path: str) -> None:
        """Remove the object; no matter if it is not there."""
        try:
            with self._explained("delete", path):
                obstore.delete(self.objects, path)
        except NotFoundError:
            pass

    def entries(self, prefix: str) -> Iterator[Entry]:
        """All objects under ``prefix`` (a folder), in no particular order."""
        with self._explained("list", prefix):
            for page in obstore.list(self.objects, prefix=prefix):
                for meta in page:
                    yield Entry(str(meta["path"]), int(meta["size"]))

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders directly under ``prefix``, sorted."""
        with self._explained("list", prefix):
            found = obstore.list_with_delimiter(self.objects, prefix=prefix)["common_prefixes"]
        return sorted(str(name).rstrip("/").rsplit("/", 1)[-1] for name in found)

    def lines(self, path: str) -> Iterator[bytes]:
        r"""The object's lines without their ``\n``, streamed; empty lines are left out.

        Raises:
            NotFoundError: No such object.
            StorageError: Storage refused or broke off.
        """
        with self._explained("read", path):
            tail = b""
            for chunk in obstore.get(self.objects, path).stream(min_chunk_size=_CHUNK):
                pieces = (tail + bytes(chunk)).split(b"\n")
                tail = pieces.pop()
                for piece in pieces:
                    if piece:
                        yield piece
            if tail:
                yield tail

    def put_lines(self, path: str, lines: Iterable[bytes]) -> int:
        """Write lines as one object; returns how many. Meant for one shard: the object is built in memory."""
        joined = [line for line in lines if line]
        self.put(path, b"\n".join(joined) + b"\n" if joined else b"")
        return len(joined)

    @contextmanager
    def line_writer(self, path: str) -> Iterator[LineWriter]:
        """Write an object of any length line by line, with flat memory; it appears when the block ends well."""
        with self._explained("write", path):
            writer = obstore.open_writer(self.objects, path, buffer_size=_PART)
            lines = LineWriter(writer)
            yield lines
            may_go_on()
            writer.close()

    async def aput_new(self, path: str, data: bytes) -> bool:
        """Write an object unless one of that name exists; returns whether it was written."""
        try:
            await obstore.put_async(self.objects, path, data, mode="create", use_multipart=False)
        except (AlreadyExistsError, FileExistsError):
            return False
        except _FAILURES as error:
            raise _explain(error, "write", self.uri(path)) from None
        return True

    async def aput_new_file(self, path: str, file: IO[bytes]) -> bool:
        """Write an object of any size from a file, in parts, unless one of that name exists; says whether it wrote.

        Parts cannot be sent on condition: of two that write at the same moment the later stays, so this is for objects
        whose name says what is in them. The object appears whole, with its last part.

        Args:
            path: Relative to the root.
            file: At its start; read to its end.
        """
        if await asyncio.to_thread(self.exists, path):
            return False
        try:
            await obstore.put_async(
                self.objects, path, file, use_multipart=True, chunk_size=_PART, max_concurrency=_PARTS_AT_ONCE
            )
        except _FAILURES as error:
            raise _explain(error, "write", self.uri(path)) from None
        return True

    async def astream(self, path: str) -> tuple[int, AsyncIterator[bytes]]:
        """An object's size in bytes, and its chunks of about a megabyte, which may raise as ``aget`` does."""
        try:
            result = await obstore.get_async(self.objects, path)
        except _FAILURES as error:
            raise _explain(error, "read", self.uri(path)) from None

        async def chunks() -> AsyncIterator[bytes]:
            try:
                async for chunk in result.stream(min_chunk_size=_CHUNK):
                    yield bytes(chunk)
            except _FAILURES as error:
                raise _explain(error, "read", self.uri(path)) from None

        return int(result.meta["size"]), chunks()

    async def aput(self, path: str, data: bytes) -> None:
        """Write an object, replacing what was there."""
        try:
            await obstore.put_async(self.objects, path, data)
        except _FAILURES as error:
            raise _explain(error, "write", self.uri(path)) from None

    async def ahead(self, path: str, first: int) -> tuple[bytes, int]:
        """The first bytes of an object and its whole size, in one request.

        Args:
            path: Relative to the root.
            first: How many bytes at the most.

        Raises:
            NotFoundError: No such object.
            StorageError: Storage refused or did not answer.
        """
        try:
            result = await obstore.get_async(self.objects, path, options={"range": (0, first)})
            return bytes(await result.bytes_async()), int(result.meta["size"])
        except _FAILURES as error:
            # A range of an empty object cannot be satisfied; that is not an error of the object.
            if "range" in str(error).lower() and await asyncio.to_thread(self.size, path) == 0:
                return b"", 0
            raise _explain(error, "read", self.uri(path)) from None

    async def aget(self, path: str) -> bytes:
        """The whole object."""
        try:
            result = await obstore.get_async(self.objects, path)
            return bytes(await result.bytes_async())
        except _FAILURES as error:
            raise _explain(error, "read", self.uri(path)) from None

    @contextmanager
    def _explained(self, verb: str, path: str) -> Iterator[None]:
        try:
            yield
        except _FAILURES as error:
            raise _explain(error, verb, self.uri(path)) from None


class LineWriter:
    """Appends lines to an object that is being written."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self.count = 0

    def write(self, line: bytes) -> None:
        r"""Append one line (without ``\n``)."""
        self._writer.write(line + b"\n")
        self.count += 1


def _explain(error: Exception, verb: str, uri: str) -> NotFoundError | StorageError:
    if isinstance(error, ObjectNotFoundError | FileNotFoundError):
        return NotFoundError(f"{uri} does not exist.", code="object_not_found", uri=uri)
    first = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
    return StorageError(f"Storage could not {verb} {uri}: {first}", uri=uri, retryable=True)


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
    options: Any = {"allow_http": bool(endpoint and endpoint.startswith("http://")), "timeout": "60s"}
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
