"""The bytes of an asset on their way: in memory while they are few, in a file without a name when they are many.

The file is deleted as soon as it is opened, so that a killed process leaves nothing behind.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Self

__all__ = ["IN_MEMORY_BYTES", "Spool", "Spooled"]

IN_MEMORY_BYTES = 4 << 20


class Spooled:
    """A whole asset; use it as a context manager, or close it.

    Attributes:
        size: In bytes.
        digest: sha256, hexadecimal.
        content_type: What its server claims (without parameters; may lie); None: it did not say.
    """

    def __init__(
        self,
        data: bytes | IO[bytes],
        size: int,
        digest: str,
        content_type: str | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self._data = data
        self.size = size
        self.digest = digest
        self.content_type = content_type
        self._on_close = on_close

    @classmethod
    def of(cls, data: bytes, content_type: str | None = None) -> Self:
        """Bytes that are in memory already."""
        return cls(data, len(data), hashlib.sha256(data).hexdigest(), content_type)

    @property
    def in_memory(self) -> bool:
        """Whether ``data`` costs nothing."""
        return isinstance(self._data, bytes)

    @property
    def data(self) -> bytes:
        """All of it. For assets that must be small; those in a file are read into memory."""
        if isinstance(self._data, bytes):
            return self._data
        self._data.seek(0)
        return self._data.read()

    def file(self) -> IO[bytes]:
        """The bytes as a file, at its start; one reader at a time. Not to be closed."""
        if isinstance(self._data, bytes):
            return io.BytesIO(self._data)
        self._data.seek(0)
        return self._data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the bytes; a second call does nothing."""
        if not isinstance(self._data, bytes):
            self._data.close()
        self._data = b""
        done, self._on_close = self._on_close, None
        if done is not None:
            done()


class Spool:
    """Takes the chunks of an asset.

    Args:
        folder: For the file, when one is needed; the system's own place for such files when None.
        in_memory: Bytes to keep in memory at the most.
    """

    def __init__(self, folder: Path | None = None, in_memory: int = IN_MEMORY_BYTES) -> None:
        self._folder = folder
        self._in_memory = in_memory
        self._chunks: list[bytes] = []
        self._file: IO[bytes] | None = None
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def full(self) -> bool:
        """Whether one more chunk goes to a file."""
        return self._file is None and self.size >= self._in_memory

    def add(self, chunk: bytes) -> None:
        """Take a chunk.

        Raises:
            OSError: There is no room for the file.
        """
        self.size += len(chunk)
        if self._file is not None:
            self._hash.update(chunk)
            self._file.write(chunk)
            return
        self._chunks.append(chunk)
        if self.size > self._in_memory:
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=self._folder, prefix="vmi-asset-")  # noqa: SIM115  # closed below
            for each in self._chunks:
                self._hash.update(each)
                self._file.write(each)
            self._chunks.clear()

    def done(self, content_type: str | None = None, on_close: Callable[[], None] | None = None) -> Spooled:
        """What was taken, which is from now on the caller's to close.

        Args:
            content_type: See ``Spooled``.
            on_close: Called once when it is closed.
        """
        if self._file is None:
            data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
            self._chunks.clear()
            return Spooled(data, self.size, hashlib.sha256(data).hexdigest(), content_type, on_close)
        self._file.flush()
        return Spooled(self._file, self.size, self._hash.hexdigest(), content_type, on_close)

    def drop(self) -> None:
        """Forget what was taken."""
        self._chunks.clear()
        if self._file is not None:
            self._file.close()
