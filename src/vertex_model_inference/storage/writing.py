"""Objects that are written line by line, however long they become."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["PART", "LineWriter"]

PART = 8 << 20
"""Bytes of a part of a multipart upload. Cloud Storage refuses parts under 5 MiB but for the last
(https://cloud.google.com/storage/docs/multipart-uploads)."""


class LineWriter:
    """Appends lines to an object that is being written.

    Args:
        begin: Opens a writer of parts; called when there is more than one part to write. What is less is sent at once,
            which can be done again when it fails.
    """

    def __init__(self, begin: Callable[[], Any]) -> None:
        self._begin = begin
        self._writer: Any = None
        self._held = bytearray()
        self.count = 0

    def write(self, line: bytes) -> None:
        r"""Append one line (without ``\n``)."""
        self.count += 1
        if self._writer is None:
            self._held += line
            self._held += b"\n"
            if len(self._held) > PART:
                self._writer = self._begin()
                self._writer.write(bytes(self._held))
                self._held.clear()
            return
        self._writer.write(line + b"\n")

    def rest(self) -> bytes | None:
        """Everything, when no writer of parts was needed; else None."""
        return bytes(self._held) if self._writer is None else None

    def close(self) -> None:
        """Send the last part."""
        self._writer.close()
