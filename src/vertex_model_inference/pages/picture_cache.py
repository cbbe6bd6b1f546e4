"""Pictures that were made once, in a bounded folder beside the other caches."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from vertex_model_inference.pages.stills import Still

__all__ = ["PictureCache"]

_MOST_BYTES = 512 << 20
_LOOK_EVERY = 256
_DECODER = msgspec.msgpack.Decoder(Still)


class PictureCache:
    """Key -> picture. Losing any of it costs the making of the picture.

    Args:
        folder: Made when missing.
        most: Bytes; above them the pictures that were made first go.
    """

    def __init__(self, folder: Path, most: int = _MOST_BYTES) -> None:
        self._folder = folder
        self._most = most
        self._written = 0
        self._lock = threading.Lock()
        self._making: dict[str, threading.Lock] = {}

    def get(self, key: str, make: Callable[[], Still]) -> Still:
        """The picture of this key, made when it is not there; one that is being made is waited for.

        Args:
            key: Everything that the picture depends on.
            make: Makes it; what it raises is passed on, and nothing is kept.
        """
        name = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()
        path = self._folder / name[:2] / name
        found = self._read(path)
        if found is not None:
            return found
        with self._lock:
            turn = self._making.setdefault(name, threading.Lock())
        try:
            with turn:
                found = self._read(path)
                if found is None:
                    found = make()
                    self._write(path, found)
        finally:
            with self._lock:
                self._making.pop(name, None)
        return found

    @staticmethod
    def _read(path: Path) -> Still | None:
        try:
            return _DECODER.decode(path.read_bytes())
        except (OSError, msgspec.MsgspecError):
            return None

    def _write(self, path: Path, still: Still) -> None:
        part = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(msgspec.msgpack.encode(still))
            part.replace(path)  # whole or not at all
        except OSError:
            part.unlink(missing_ok=True)  # a full disk: the picture is shown all the same
            return
        with self._lock:
            self._written += 1
            look = self._written % _LOOK_EVERY == 1
        if look:
            self._tidy()

    def _tidy(self) -> None:
        found = []
        for folder, _, names in os.walk(self._folder):
            for name in names:
                path = Path(folder) / name
                try:
                    status = path.stat()
                except OSError:
                    continue
                found.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self._most:
                break
            path.unlink(missing_ok=True)
            total -= size
