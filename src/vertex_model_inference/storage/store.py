"""Object storage behind one small interface: a bucket (``gs://``) or a folder of this machine, through obstore.

The artifacts of a run are written once under a deterministic name and whole or not at all (a PUT, or a rename of a
finished file), so a file that exists is a step that is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any, NamedTuple, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import GCSStore, LocalStore

from vertex_model_inference.errors import NotFoundError, StorageError
from vertex_model_inference.fencing import may_go_on
from vertex_model_inference.storage import failures
from vertex_model_inference.storage.writing import PART, LineWriter
from vertex_model_inference.waiting import FAULT, note

__all__ = ["TIMEOUT_S", "Entry", "LineWriter", "Store"]

T = TypeVar("T")

_CHUNK = 1 << 20
_PARTS_AT_ONCE = 2
TIMEOUT_S = 60.0
"""Of one request to a bucket, body included; it is tried again for up to three minutes."""


class Entry(NamedTuple):
    """One object: ``path`` relative to the store's root, ``size`` in bytes, ``modified`` in seconds since the epoch."""

    path: str
    size: int
    modified: float = 0.0


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
        self._call("write", path, lambda: obstore.put(self.objects, path, data))

    def put_new(self, path: str, data: bytes) -> bool:
        """Write an object unless one of that name exists; returns whether it was written.

        Raises:
            StorageError: Storage refused or did not answer.
        """

        def put() -> bool:
            try:
                obstore.put(self.objects, path, data, mode="create", use_multipart=False)
            except (AlreadyExistsError, FileExistsError):
                return False
            return True

        return self._call("write", path, put)

    def get(self, path: str) -> bytes:
        """The whole object.

        Raises:
            NotFoundError: No such object.
            StorageError: Storage refused or did not answer.
        """

        def get() -> bytes:
            data = bytes(obstore.get(self.objects, path).bytes())
            # An answer may be cut and announced as short as it is. JSON ends with one of these.
            if data and data[-1:] not in failures.JSON_ENDS and self.size(path) != len(data):
                raise failures.CutError(f"only {len(data)} bytes came")
            return data

        return self._call("read", path, get)

    def size(self, path: str) -> int | None:
        """Bytes of the object; None when there is none."""
        try:
            return self._call("look at", path, lambda: int(obstore.head(self.objects, path)["size"]))
        except NotFoundError:
            return None

    def range(self, path: str, start: int, length: int) -> bytes:
        """Some bytes of the object.

        Raises:
            NotFoundError: No such object.
            StorageError: Storage refused or did not answer.
        """
        return self._call(
            "read", path, lambda: bytes(obstore.get_range(self.objects, path, start=start, length=length))
        )

    def ranges(self, path: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """Several parts of the object, each a start and a length in bytes; near ones come in one request.

        Raises:
            NotFoundError: No such object.
            StorageError: Storage refused or did not answer.
        """
        if not spans:
            return []
        starts, lengths = [start for start, _ in spans], [length for _, length in spans]
        return self._call(
            "read",
            path,
            lambda: [bytes(part) for part in obstore.get_ranges(self.objects, path, starts=starts, lengths=lengths)],
        )

    def exists(self, path: str) -> bool:
        """Whether the object is there."""
        return self.size(path) is not None

    def delete(self, path: str) -> None:
        """Remove the object; no matter if it is not there."""
        with suppress(NotFoundError):
            self._call("delete", path, lambda: obstore.delete(self.objects, path))

    def copy(self, source: str, target: str) -> bool:
        """Copy an object within the store, without its bytes passing through here; False: there is none to copy.

        Raises:
            StorageError: Storage refused or did not answer.
        """
        try:
            with self._explained("copy", source):
                obstore.copy(self.objects, source, target)
        except NotFoundError:
            return False
        return True

    def entries(self, prefix: str) -> Iterator[Entry]:
        """All objects under ``prefix`` (a folder), in no particular order.

        An answer that is no listing at all (a page of a proxy's) reads as one of nothing, so who knows what must be
        there makes sure of it.

        Raises:
            StorageError: Storage refused or did not answer.
        """
        tries = 0
        last: str | None = None
        while True:
            try:
                # Buckets list by name; a folder of this machine does not, and does not break off either.
                for page in obstore.list(self.objects, prefix=prefix, offset=last):
                    for meta in page:
                        last = str(meta["path"])
                        yield Entry(last, int(meta["size"]), meta["last_modified"].timestamp())
                return
            except failures.FAILURES as error:
                tries += 1
                if tries >= failures.TRIES or not failures.broken(error):
                    raise failures.explain(error, "list", self.uri(prefix)) from None
            failures.rest(tries)

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders directly under ``prefix``, sorted."""
        found = self._call(
            "list", prefix, lambda: obstore.list_with_delimiter(self.objects, prefix=prefix)["common_prefixes"]
        )
        return sorted(str(name).rstrip("/").rsplit("/", 1)[-1] for name in found)

    def lines(self, path: str) -> Iterator[bytes]:
        r"""The object's lines without their ``\n``, streamed; empty lines are left out.

        Raises:
            NotFoundError: No such object.
            StorageError: Storage refused or broke off.
        """
        tail = b""
        for chunk in self._chunks(path):
            pieces = (tail + chunk).split(b"\n")
            tail = pieces.pop()
            for piece in pieces:
                if piece:
                    yield piece
        if tail:
            yield tail

    def _chunks(self, path: str) -> Iterator[bytes]:
        """The object from its first byte to its last; when it breaks off, on from there.

        How long it is, the answer says that may be cut: text that does not end with a line's end is made sure of.
        """
        given = tries = 0
        mark: str | None = None
        last = b"\n"
        while True:
            try:
                options: Any = {"range": {"offset": given}} if given else {}
                result = obstore.get(self.objects, path, options=options)
                if given and result.meta["e_tag"] != mark:
                    raise StorageError(f"{self.uri(path)} changed while it was read.", retryable=True)
                mark = result.meta["e_tag"]
                for chunk in result.stream(min_chunk_size=_CHUNK):
                    raw = bytes(chunk)
                    if raw:
                        given, tries, last = given + len(raw), 0, raw[-1:]
                        yield raw
                size = given if last == b"\n" else self.size(path)
                if size == given:
                    return
                tries += 1
                cut = failures.CutError(f"only {given} of {size} bytes came")
                error: Exception = failures.explain(cut, "read", self.uri(path))
            except failures.FAILURES as caught:
                error = failures.explain(caught, "read", self.uri(path))
                tries = tries + 1 if failures.broken(caught) else failures.TRIES
                if given and tries < failures.TRIES and self.size(path) == given:
                    return  # it was announced as longer than it is
            if tries >= failures.TRIES:
                raise error
            failures.rest(tries)

    def put_lines(self, path: str, lines: Iterable[bytes]) -> int:
        """Write lines as one object; returns how many. Meant for one shard: the object is built in memory."""
        joined = [line for line in lines if line]
        self.put(path, b"\n".join(joined) + b"\n" if joined else b"")
        return len(joined)

    @contextmanager
    def line_writer(self, path: str) -> Iterator[LineWriter]:
        """Write an object of any length line by line, with flat memory; it appears when the block ends well.

        Raises:
            StorageError: Storage refused or did not answer.
        """
        with self._explained("write", path):
            lines = LineWriter(lambda: obstore.open_writer(self.objects, path, buffer_size=PART))
            yield lines
        left = lines.rest()
        if left is not None:
            self.put(path, left)
            return
        with self._explained("write", path):
            may_go_on()
            lines.close()

    async def aput_new(self, path: str, data: bytes) -> bool:
        """Write an object unless one of that name exists; returns whether it was written."""

        async def put() -> bool:
            try:
                await obstore.put_async(self.objects, path, data, mode="create", use_multipart=False)
            except (AlreadyExistsError, FileExistsError):
                return False
            return True

        return await self._acall("write", path, put)

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
                self.objects, path, file, use_multipart=True, chunk_size=PART, max_concurrency=_PARTS_AT_ONCE
            )
        except failures.FAILURES as error:
            raise failures.explain(error, "write", self.uri(path)) from None
        return True

    async def astream(self, path: str) -> tuple[int, AsyncIterator[bytes]]:
        """An object's size in bytes, and its chunks of about a megabyte, which may raise as ``aget`` does."""
        result = await self._acall("read", path, lambda: obstore.get_async(self.objects, path))

        async def chunks() -> AsyncIterator[bytes]:
            try:
                async for chunk in result.stream(min_chunk_size=_CHUNK):
                    yield bytes(chunk)
            except failures.FAILURES as error:
                raise failures.explain(error, "read", self.uri(path)) from None

        return int(result.meta["size"]), chunks()

    async def aput(self, path: str, data: bytes) -> None:
        """Write an object, replacing what was there."""
        await self._acall("write", path, lambda: obstore.put_async(self.objects, path, data))

    async def ahead(self, path: str, first: int) -> tuple[bytes, int]:
        """The first bytes of an object and its whole size, in one request.

        Args:
            path: Relative to the root.
            first: How many bytes at the most.

        Raises:
            NotFoundError: No such object.
            StorageError: Storage refused or did not answer.
        """

        async def read() -> tuple[bytes, int]:
            result = await obstore.get_async(self.objects, path, options={"range": (0, first)})
            return bytes(await result.bytes_async()), int(result.meta["size"])

        try:
            return await self._acall("read", path, read)
        except StorageError as error:
            # A range of an empty object cannot be satisfied; that is not an error of the object.
            if "range" in str(error).lower() and await asyncio.to_thread(self.size, path) == 0:
                return b"", 0
            raise

    async def aget(self, path: str) -> bytes:
        """The whole object."""

        async def read() -> bytes:
            result = await obstore.get_async(self.objects, path)
            return bytes(await result.bytes_async())

        return await self._acall("read", path, read)

    def _call(self, verb: str, path: str, call: Callable[[], T]) -> T:
        """Do it; again when the answer broke off, which obstore takes for the end."""
        tries = 0
        while True:
            try:
                return call()
            except failures.FAILURES as error:
                tries += 1
                if tries >= failures.TRIES or not failures.broken(error):
                    raise failures.explain(error, verb, self.uri(path)) from None
            failures.rest(tries)

    async def _acall(self, verb: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        """As ``_call``."""
        tries = 0
        while True:
            try:
                return await call()
            except failures.FAILURES as error:
                tries += 1
                if tries >= failures.TRIES or not failures.broken(error):
                    raise failures.explain(error, verb, self.uri(path)) from None
            pause = failures.pause_of(tries)
            note("storage", FAULT, pause)
            await asyncio.sleep(pause)

    @contextmanager
    def _explained(self, verb: str, path: str) -> Iterator[None]:
        try:
            yield
        except failures.FAILURES as error:
            raise failures.explain(error, verb, self.uri(path)) from None
