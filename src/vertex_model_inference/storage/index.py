"""Which assets were copied already: a small SQLite index beside the run's files.

Losing it costs downloads, never correctness: copies are named by their content, so a second copy finds the first.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

__all__ = ["AssetIndex", "Copy", "source_key"]


class Copy(NamedTuple):
    """A copied asset: object path under the assets' root, type, size in bytes, width and height in pixels or None,
    and a picture's EXIF orientation from 2 to 8, or None."""

    path: str
    mime_type: str
    size: int
    width: int | None
    height: int | None
    orientation: int | None = None


def source_key(data_row_id: str, url: str) -> str:
    """What identifies an asset's source over runs: the row and its URL without the query.

    Queries of signed URLs change with each export; a row whose asset is replaced gets another URL.
    """
    parts = urlsplit(url)
    return hashlib.sha256(f"{data_row_id}\n{parts.scheme}://{parts.netloc}{parts.path}".encode()).hexdigest()[:32]


class AssetIndex:
    """Source key -> copy, for one destination.

    Args:
        path: SQLite file; made when missing.
        root: Where the copies are (``gs://bucket/...``); entries of other roots are not seen.
    """

    def __init__(self, path: Path, root: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._root = root
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, timeout=30, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS copies_2 (root TEXT, source TEXT, path TEXT, mime_type TEXT, size INTEGER,"
            " width INTEGER, height INTEGER, orientation INTEGER, PRIMARY KEY (root, source)) WITHOUT ROWID"
        )

    def _under(self, generation: str) -> str:
        return f"{self._root}#{generation}" if generation else self._root

    def find(self, sources: Iterable[str], generation: str = "") -> dict[str, Copy]:
        """The copies known for these source keys.

        Args:
            sources: As of ``source_key``.
            generation: Of the assets (``sweeping.generation``): what was copied before assets were last removed does
                not count, since it may be gone.
        """
        wanted = list(sources)
        found: dict[str, Copy] = {}
        with self._lock:
            for start in range(0, len(wanted), 500):
                part = wanted[start : start + 500]
                marks = ",".join("?" * len(part))
                rows = self._db.execute(
                    f"SELECT source, path, mime_type, size, width, height, orientation FROM copies_2"  # noqa: S608  # only marks
                    f" WHERE root = ? AND source IN ({marks})",
                    (self._under(generation), *part),
                )
                found.update({row[0]: Copy(*row[1:]) for row in rows})
        return found

    def add(self, copies: Mapping[str, Copy], generation: str = "") -> None:
        """Remember copies, in one transaction; ``generation`` as of ``find``."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "INSERT OR REPLACE INTO copies_2 VALUES (?,?,?,?,?,?,?,?)",
                [(self._under(generation), source, *copy) for source, copy in copies.items()],
            )
            self._db.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._db.close()
