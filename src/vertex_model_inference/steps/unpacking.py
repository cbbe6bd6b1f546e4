"""A body's ``Content-Encoding`` undone piece by piece: never more than a megabyte at a time, and whole or not at all.

The HTTP client's own way takes a stream that stops in the middle for complete: half an asset would pass for a whole.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

__all__ = ["PackingError", "Unpacker"]

_PIECE = 1 << 20


class PackingError(ValueError):
    """The body is not what its ``Content-Encoding`` says."""


class Unpacker:
    """Undoes one encoding.

    Args:
        encoding: Value of ``Content-Encoding``; ``gzip`` (RFC 1952, several members too), ``deflate`` (RFC 1950, and
            without its header, as some servers send it) or ``identity``.

    Raises:
        PackingError: Another encoding; we ask for none.
    """

    def __init__(self, encoding: str) -> None:
        self._kind = encoding.strip().lower()
        if self._kind not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise PackingError(f"the encoding {self._kind[:40]!r} was not asked for")
        self.packed = self._kind not in ("", "identity")
        self._inflate: zlib._Decompress | None = None
        self._complete = not self.packed

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The bytes that a chunk of the body stands for.

        Raises:
            PackingError: It is not compressed as claimed.
        """
        if not self.packed:
            yield chunk
            return
        while chunk:
            if self._inflate is None:
                if self._complete and (self._kind == "deflate" or not chunk.strip(b"\0")):
                    return  # padding behind the last member
                self._inflate = zlib.decompressobj(self._window(chunk))
                self._complete = False
            try:
                piece = self._inflate.decompress(chunk, _PIECE)
            except zlib.error as error:
                raise PackingError(str(error)) from None
            if piece:
                yield piece
            if self._inflate.eof:
                chunk = self._inflate.unused_data
                self._inflate, self._complete = None, True
            else:
                chunk = self._inflate.unconsumed_tail

    def _window(self, chunk: bytes) -> int:
        if self._kind != "deflate":
            return zlib.MAX_WBITS | 16
        return zlib.MAX_WBITS if chunk[0] & 0x0F == 8 else -zlib.MAX_WBITS

    def end(self) -> None:
        """The body has ended.

        Raises:
            PackingError: In the middle of it.
        """
        if not self._complete:
            raise PackingError("it ends in the middle")
