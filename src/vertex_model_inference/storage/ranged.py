"""An object of storage as a file that is read where it is looked at, not whole."""

from __future__ import annotations

import io

from vertex_model_inference.errors import NotFoundError
from vertex_model_inference.storage.store import Store

__all__ = ["RangedFile"]

_BLOCK = 1 << 20


class RangedFile:
    """Reads an object by ranges of a mebibyte, the last one kept; not safe in several threads at once.

    Args:
        store: Where the object is.
        path: Relative to the store's root.

    Raises:
        NotFoundError: No such object.
        StorageError: Storage refused or did not answer; also while reading.
    """

    def __init__(self, store: Store, path: str) -> None:
        size = store.size(path)
        if size is None:
            raise NotFoundError(f"{store.uri(path)} does not exist.", code="object_not_found", uri=store.uri(path))
        self.size = size
        self.fetched = 0
        self._store = store
        self._path = path
        self._at = 0
        self._block = (0, b"")

    def read(self, count: int = -1) -> bytes:
        """At most ``count`` bytes from here on; fewer at the end of a block or of the object."""
        left = self.size - self._at
        if left <= 0 or count == 0:
            return b""
        start, block = self._block
        if not start <= self._at < start + len(block):
            start = self._at
            length = min(_BLOCK, left)
            block = self._store.range(self._path, start, length)
            self.fetched += len(block)
            self._block = (start, block)
        within = self._at - start
        found = block[within : len(block) if count < 0 else within + count]
        self._at += len(found)
        return found

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, as of ``io.IOBase.seek``."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Where it stands."""
        return self._at
