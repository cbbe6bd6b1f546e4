"""Resources of the sandbox's Vertex AI in SQLite; what was answered survives kill -9."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import orjson

__all__ = ["Store"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS resources (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    parent TEXT NOT NULL,
    id TEXT NOT NULL,
    doc BLOB NOT NULL,
    UNIQUE (kind, parent, id)
) STRICT
"""


class Store:
    """JSON documents by kind, parent and id. One connection, used from the server's event loop only.

    Args:
        path: The database file; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        # Made in the main thread, used in the event loop's, which may be another one; never in two at once.
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def put(self, kind: str, parent: str, id_: str, doc: dict[str, Any]) -> None:
        """Create or replace a document; its place in lists stays."""
        self._db.execute(
            "INSERT INTO resources (kind, parent, id, doc) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (kind, parent, id) DO UPDATE SET doc = excluded.doc",
            (kind, parent, id_, orjson.dumps(doc)),
        )

    def get(self, kind: str, parent: str, id_: str) -> dict[str, Any] | None:
        """The document, a fresh copy, or None."""
        row = self._db.execute(
            "SELECT doc FROM resources WHERE kind = ? AND parent = ? AND id = ?", (kind, parent, id_)
        ).fetchone()
        return orjson.loads(row[0]) if row else None

    def delete(self, kind: str, parent: str, id_: str) -> bool:
        """Remove it; whether it was there."""
        cursor = self._db.execute("DELETE FROM resources WHERE kind = ? AND parent = ? AND id = ?", (kind, parent, id_))
        return cursor.rowcount > 0

    def all(self, kind: str, parent: str) -> list[dict[str, Any]]:
        """Documents of a parent, the newest first, as the service lists them."""
        rows = self._db.execute(
            "SELECT doc FROM resources WHERE kind = ? AND parent = ? ORDER BY seq DESC", (kind, parent)
        )
        return [orjson.loads(row[0]) for row in rows]

    def everywhere(self, kind: str) -> list[tuple[str, str, dict[str, Any]]]:
        """(parent, id, document) of all parents, the oldest first."""
        rows = self._db.execute("SELECT parent, id, doc FROM resources WHERE kind = ? ORDER BY seq", (kind,))
        return [(parent, id_, orjson.loads(doc)) for parent, id_, doc in rows]
