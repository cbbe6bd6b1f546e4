"""Receiving bytes: small bodies stay in memory, larger ones go to a temporary file, digests are made on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Protocol

import google_crc32c

from vertex_model_inference.sandbox.storage.resources import NewBody

__all__ = ["BodyWriter", "digest_of_file"]

#: Bodies up to this size are held in memory while they are received.
MEMORY_LIMIT = 1 << 20
_READ = 1 << 20


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


def new_md5() -> _Hash:
    """MD5 as Cloud Storage's checksum, not for security."""
    return hashlib.md5(usedforsecurity=False)


class BodyWriter:
    """Takes the pieces of one body.

    Args:
        temporary: Gives a fresh path, asked when the body outgrows memory.
    """

    __slots__ = ("_crc", "_file", "_md5", "_path", "_pieces", "_temporary", "size")

    def __init__(self, temporary: Callable[[], Path]) -> None:
        self.size = 0
        self._temporary = temporary
        self._pieces: list[bytes] = []
        self._file: IO[bytes] | None = None
        self._path: Path | None = None
        self._md5: _Hash | None = None
        self._crc = 0

    def write(self, data: bytes) -> None:
        """Append ``data``."""
        self.size += len(data)
        if self._file is None:
            self._pieces.append(data)
            if self.size > MEMORY_LIMIT:
                self._spill()
            return
        self._take(data)

    def _spill(self) -> None:
        self._path = self._temporary()
        self._file = self._path.open("wb", buffering=0)
        self._md5 = new_md5()
        pieces, self._pieces = self._pieces, []
        for piece in pieces:
            self._take(piece)

    def _take(self, data: bytes) -> None:
        assert self._file is not None
        assert self._md5 is not None
        self._file.write(data)
        self._md5.update(data)
        self._crc = google_crc32c.extend(self._crc, data)

    def finish(self) -> NewBody:
        """The body; the writer is done."""
        if self._file is None:
            pieces = self._pieces
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            md5 = hashlib.md5(data, usedforsecurity=False).digest()
            return NewBody(len(data), md5, google_crc32c.value(data), data=data)
        assert self._md5 is not None
        self._file.close()
        return NewBody(self.size, self._md5.digest(), self._crc, path=self._path)

    def abort(self) -> None:
        """Forget what was received."""
        self._pieces = []
        if self._file is not None:
            self._file.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def digest_of_file(path: Path) -> tuple[int, bytes, int]:
    """Size, MD5 and CRC32C of a file, reading it in pieces."""
    md5 = new_md5()
    crc = 0
    size = 0
    with path.open("rb", buffering=0) as file:
        while piece := file.read(_READ):
            md5.update(piece)
            crc = google_crc32c.extend(crc, piece)
            size += len(piece)
    return size, md5.digest(), crc
