"""Bytes with a name: uploads, import inputs, status files, export chunks. Served without authentication by URL."""

from __future__ import annotations

import mimetypes
import os
from pathlib import Path

import msgspec

from vertex_model_inference.sandbox.labelbox.ids import new_id, now
from vertex_model_inference.sandbox.labelbox.store.database import Database, Row

__all__ = ["FileEntry", "Files"]


class FileEntry(msgspec.Struct, frozen=True):
    """One file.

    Attributes:
        id: 25 characters.
        name: As uploaded; the last part of its URL.
        content_type: MIME type that it is served with.
        size: Bytes.
        path: Where it lies on disk.
    """

    id: str
    name: str
    content_type: str
    size: int
    path: Path


class Files:
    """Files on disk, their names in SQLite.

    Args:
        database: Where the names are kept.
        folder: Where the bytes are kept.
        base_url: Of the server, no trailing slash.
    """

    def __init__(self, database: Database, folder: Path, base_url: str) -> None:
        self._database = database
        self._folder = folder
        self._base = f"{base_url}/files/"
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, file_id: str) -> Path:
        """Where the bytes of ``file_id`` lie; two levels, so that no folder grows large."""
        return self._folder / file_id[-2:] / file_id

    def new_path(self) -> tuple[str, Path]:
        """A fresh id and the path to write its bytes to, before ``adopt``."""
        file_id = new_id()
        path = self.path(file_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        return file_id, path

    def adopt(self, file_id: str, name: str, content_type: str | None = None) -> FileEntry:
        """Make bytes that were written to ``path(file_id)`` servable under ``name``."""
        kind = content_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
        path = self.path(file_id)
        size = path.stat().st_size
        safe = os.path.basename(name) or "file"  # noqa: PTH119  # names come from clients; only the last part is wanted
        self._database.execute("INSERT INTO files VALUES(?,?,?,?,?)", file_id, safe, kind, size, now())
        return FileEntry(file_id, safe, kind, size, path)

    def add(self, name: str, content: bytes, content_type: str | None = None) -> FileEntry:
        """Keep ``content`` under ``name``."""
        file_id, path = self.new_path()
        path.write_bytes(content)
        return self.adopt(file_id, name, content_type)

    def get(self, file_id: str) -> FileEntry | None:
        """The file, or None."""
        row: Row | None = self._database.one("SELECT * FROM files WHERE id = ?", file_id)
        if row is None:
            return None
        return FileEntry(row["id"], row["name"], row["content_type"], row["size"], self.path(row["id"]))

    def url(self, entry: FileEntry) -> str:
        """Where anyone can GET it, without a key, like Labelbox's signed URLs."""
        return f"{self._base}{entry.id}/{entry.name}"

    def url_of(self, file_id: str) -> str | None:
        """Likewise, by id; None when there is no such file."""
        entry = self.get(file_id)
        return None if entry is None else self.url(entry)

    def mask_url(self, feature_id: str) -> str:
        """Where the mask of an annotation is served, as a PNG."""
        return f"{self._base}masks/{feature_id}.png"

    def from_url(self, url: str) -> FileEntry | None:
        """The file that one of our own URLs names, or None for any other URL."""
        if not url.startswith(self._base):
            return None
        return self.get(url[len(self._base) :].split("/", 1)[0])
