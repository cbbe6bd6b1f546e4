"""The state: buckets and objects in SQLite, larger bodies in files.

An object is there whole or not at all: its bytes are complete under a name of their own (the generation) before the
row that names them is committed. Commits are gathered: every writer of one turn of the event loop shares one commit and
is answered after it, which is what makes thousands of small objects a second possible. Nothing is fsynced per object:
the promise is to survive ``kill -9``, not a power cut.

All methods belong to the event loop's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from vertex_model_inference.sandbox.storage.resources import Bucket, NewBody, StoredObject

__all__ = ["Store"]

#: Bodies up to this size live in the database (a row costs less than a file), larger ones in files.
INLINE_LIMIT = 48 * 1024
_CHECKPOINT_BYTES = 48 << 20
_WAL_LIMIT = 256 << 20

_SCHEMA = """
CREATE TABLE IF NOT EXISTS bucket(name TEXT PRIMARY KEY, document BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS object(
    bucket TEXT NOT NULL, name TEXT NOT NULL, generation INTEGER NOT NULL, metageneration INTEGER NOT NULL,
    size INTEGER NOT NULL, md5 BLOB, crc32c INTEGER NOT NULL, content_type TEXT, created INTEGER NOT NULL,
    updated INTEGER NOT NULL, inline INTEGER NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY(bucket, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS body(generation INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS upload(id TEXT PRIMARY KEY, document BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS part(upload TEXT NOT NULL, number INTEGER NOT NULL, size INTEGER NOT NULL,
    md5 BLOB NOT NULL, crc32c INTEGER NOT NULL, file TEXT NOT NULL, PRIMARY KEY(upload, number)) WITHOUT ROWID;
"""
_COLUMNS = (
    "bucket, name, generation, metageneration, size, md5, crc32c, content_type, created, updated, inline, document"
)
_READ = """SELECT o.bucket, o.name, o.generation, o.metageneration, o.size, o.md5, o.crc32c, o.content_type, o.created,
    o.updated, o.inline, o.document, b.data FROM object o LEFT JOIN body b ON b.generation = o.generation
    WHERE o.bucket = ? AND o.name = ?"""  # constants only
_GET = f"SELECT {_COLUMNS} FROM object WHERE bucket = ? AND name = ?"  # noqa: S608
_WRITE = f"INSERT OR REPLACE INTO object({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"  # noqa: S608


class Store:
    """Everything that is kept under ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._temporary = folder / "temporary"
        shutil.rmtree(self._temporary, ignore_errors=True)  # what a killed server was receiving
        self._temporary.mkdir()
        self._bodies = folder / "bodies"
        for shard in range(256):
            (self._bodies / f"{shard:02x}").mkdir(parents=True, exist_ok=True)
        self.uploads = folder / "uploads"
        self.uploads.mkdir(exist_ok=True)
        self._database = folder / "storage.sqlite"
        self._db = sqlite3.connect(self._database, isolation_level=None, cached_statements=64, timeout=60)
        self._db.execute("PRAGMA page_size = 8192")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA wal_autocheckpoint = 0")  # it would stop the event loop; a thread does it
        self._db.execute("PRAGMA cache_size = -65536")
        self._db.executescript(_SCHEMA)
        self._buckets: dict[str, Bucket] = {
            name: msgspec.json.decode(document, type=Bucket)
            for name, document in self._db.execute("SELECT name, document FROM bucket")
        }
        self._last = int(self._db.execute("SELECT coalesce(max(generation), 0) FROM object").fetchone()[0])
        self._names = itertools.count()
        self._commit: asyncio.Future[None] | None = None
        self._doomed: list[Path] = []
        self.busy: set[str] = set()  # upload sessions that a request is writing to
        self._stop = threading.Event()
        self._checkpointer = threading.Thread(target=self._checkpoints, name="checkpoint", daemon=True)
        self._checkpointer.start()

    # ---- commits -----------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")

    async def committed(self) -> None:
        """Return once everything written so far survives a crash of this process."""
        if self._commit is None:
            if not self._db.in_transaction:
                return
            loop = asyncio.get_running_loop()
            self._commit = loop.create_future()
            loop.call_soon(self._commit_turn)
        await self._commit

    def _commit_turn(self) -> None:
        waiting, self._commit = self._commit, None
        assert waiting is not None
        try:
            self.flush()
        except sqlite3.Error as error:
            if not waiting.done():
                waiting.set_exception(error)
        else:
            if not waiting.done():
                waiting.set_result(None)

    def flush(self) -> None:
        """Commit now."""
        if not self._db.in_transaction:
            return
        try:
            self._db.execute("COMMIT")
        except sqlite3.Error:
            self._doomed.clear()
            self._db.execute("ROLLBACK")
            raise
        doomed, self._doomed = self._doomed, []
        for path in doomed:
            path.unlink(missing_ok=True)

    def _checkpoints(self) -> None:
        wal = self._database.with_name(self._database.name + "-wal")
        db: sqlite3.Connection | None = None
        try:
            while not self._stop.wait(0.25):
                with contextlib.suppress(OSError, sqlite3.Error):
                    if wal.stat().st_size > _CHECKPOINT_BYTES:
                        if db is None:
                            db = sqlite3.connect(self._database, isolation_level=None, timeout=60)
                        db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                        if wal.stat().st_size > _WAL_LIMIT:
                            # Writers never paused, so the log never started over. What is left to copy is little now;
                            # the event loop waits for it once.
                            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            if db is not None:
                db.close()

    def close(self) -> None:
        """Commit and close."""
        self._stop.set()
        self._checkpointer.join()
        self.flush()
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._db.close()

    # ---- buckets -----------------------------------------------------------------------------------------------

    def bucket(self, name: str) -> Bucket | None:
        """The bucket, or None."""
        return self._buckets.get(name)

    def buckets(self) -> list[Bucket]:
        """All buckets in name order."""
        return [self._buckets[name] for name in sorted(self._buckets)]

    def save_bucket(self, bucket: Bucket) -> None:
        """Create or replace."""
        self._begin()
        self._db.execute("INSERT OR REPLACE INTO bucket VALUES (?, ?)", (bucket.name, msgspec.json.encode(bucket)))
        self._buckets[bucket.name] = bucket

    def drop_bucket(self, name: str) -> None:
        """Remove an empty bucket."""
        self._begin()
        self._db.execute("DELETE FROM bucket WHERE name = ?", (name,))
        del self._buckets[name]

    # ---- objects -----------------------------------------------------------------------------------------------

    def now(self) -> int:
        """Microseconds since 1970, never the same twice: also the next generation."""
        self._last = max(self._last + 1, time.time_ns() // 1000)
        return self._last

    def get(self, bucket: str, name: str) -> StoredObject | None:
        """The live object, or None."""
        row = self._db.execute(_GET, (bucket, name)).fetchone()
        return StoredObject(*row) if row else None

    def read(self, bucket: str, name: str) -> tuple[StoredObject | None, bytes | None]:
        """The live object, and its bytes when they are in the database."""
        row = self._db.execute(_READ, (bucket, name)).fetchone()
        if row is None:
            return None, None
        return StoredObject(*row[:12]), row[12]

    def seek(self, bucket: str, start: str, end: str | None, limit: int) -> Iterable[StoredObject]:
        """Objects with ``start <= name < end`` in order, at most ``limit``."""
        if end is None:
            query = f"SELECT {_COLUMNS} FROM object WHERE bucket = ? AND name >= ? ORDER BY name LIMIT ?"  # noqa: S608
            rows = self._db.execute(query, (bucket, start, limit))
        else:
            query = f"SELECT {_COLUMNS} FROM object WHERE bucket = ? AND name >= ? AND name < ? ORDER BY name LIMIT ?"  # noqa: S608
            rows = self._db.execute(query, (bucket, start, end, limit))
        return itertools.starmap(StoredObject, rows)

    def body_path(self, generation: int) -> Path:
        """Where the bytes of a generation are, when they are in a file."""
        return self._bodies / f"{generation & 255:02x}" / f"{generation:x}"

    def open_body(self, stored: StoredObject) -> int:
        """A file descriptor of the object's bytes; it stays readable when the object is replaced meanwhile."""
        return os.open(self.body_path(stored.generation), os.O_RDONLY | os.O_CLOEXEC)

    def temporary_path(self) -> Path:
        """A fresh path for bytes that are being received; lost at the next start."""
        return self._temporary / f"{next(self._names):x}"

    def put(
        self,
        bucket: str,
        name: str,
        body: NewBody,
        content_type: str | None,
        extra: dict[str, Any],
        replaced: StoredObject | None,
    ) -> StoredObject:
        """Make ``body`` the content of the object; ``replaced`` is what :meth:`get` gave in the same turn.

        Await :meth:`committed` before answering.
        """
        generation = self.now()
        inline = body.data is not None and body.size <= INLINE_LIMIT
        if body.path is not None:
            body.path.replace(self.body_path(generation))
        elif not inline:
            assert body.data is not None
            with self.body_path(generation).open("wb", buffering=0) as file:
                file.write(body.data)
        document = msgspec.json.encode(extra).decode() if extra else "{}"
        stored = StoredObject(
            bucket, name, generation, 1, body.size, body.md5, body.crc32c, content_type, generation, generation,
            int(inline), document,
        )  # fmt: skip
        self._begin()
        if replaced is not None:
            self._forget_body(replaced)
        if inline:
            self._db.execute("INSERT INTO body VALUES (?, ?)", (generation, body.data))
        self._db.execute(_WRITE, _row(stored))
        return stored

    def copy(
        self,
        source: StoredObject,
        bucket: str,
        name: str,
        content_type: str | None,
        extra: dict[str, Any],
        replaced: StoredObject | None,
    ) -> StoredObject:
        """A new object with the bytes of ``source``; files are shared by hard link."""
        generation = self.now()
        stored = msgspec.structs.replace(
            source,
            bucket=bucket,
            name=name,
            generation=generation,
            metageneration=1,
            content_type=content_type,
            created=generation,
            updated=generation,
            document=msgspec.json.encode(extra).decode() if extra else "{}",
        )
        if not source.inline:
            os.link(self.body_path(source.generation), self.body_path(generation))
        self._begin()
        if source.inline:
            self._db.execute(
                "INSERT INTO body SELECT ?, data FROM body WHERE generation = ?", (generation, source.generation)
            )
        if replaced is not None:
            self._forget_body(replaced)
        self._db.execute(_WRITE, _row(stored))
        return stored

    def update(self, stored: StoredObject, content_type: str | None, extra: dict[str, Any]) -> StoredObject:
        """New metadata for the same content."""
        changed = msgspec.structs.replace(
            stored,
            metageneration=stored.metageneration + 1,
            content_type=content_type,
            updated=self.now(),
            document=msgspec.json.encode(extra).decode() if extra else "{}",
        )
        self._begin()
        self._db.execute(_WRITE, _row(changed))
        return changed

    def delete(self, stored: StoredObject) -> None:
        """Remove the object."""
        self._begin()
        self._forget_body(stored)
        self._db.execute("DELETE FROM object WHERE bucket = ? AND name = ?", (stored.bucket, stored.name))

    def _forget_body(self, stored: StoredObject) -> None:
        if stored.inline:
            self._db.execute("DELETE FROM body WHERE generation = ?", (stored.generation,))
        else:
            self._doomed.append(self.body_path(stored.generation))

    # ---- upload sessions ---------------------------------------------------------------------------------------

    def save_upload(self, upload_id: str, document: bytes) -> None:
        """Create or replace an upload session."""
        self._begin()
        self._db.execute("INSERT OR REPLACE INTO upload VALUES (?, ?)", (upload_id, document))

    def upload(self, upload_id: str) -> bytes | None:
        """The session's document, or None."""
        row = self._db.execute("SELECT document FROM upload WHERE id = ?", (upload_id,)).fetchone()
        return row[0] if row else None

    def drop_upload(self, upload_id: str) -> None:
        """Forget a session, its parts and their files."""
        self._begin()
        self._doomed.extend(self.uploads / row[4] for row in self.parts(upload_id))
        self._doomed.append(self.uploads / upload_id)
        self._db.execute("DELETE FROM part WHERE upload = ?", (upload_id,))
        self._db.execute("DELETE FROM upload WHERE id = ?", (upload_id,))

    def save_part(self, upload_id: str, number: int, body: NewBody) -> None:
        """Keep one part of an XML multipart upload."""
        file = f"{upload_id}.{number}.{self.now():x}"
        path = self.uploads / file
        if body.path is not None:
            body.path.replace(path)
        else:
            assert body.data is not None
            path.write_bytes(body.data)
        self._begin()
        old = self._db.execute("SELECT file FROM part WHERE upload = ? AND number = ?", (upload_id, number)).fetchone()
        if old:
            self._doomed.append(self.uploads / old[0])
        row = (upload_id, number, body.size, body.md5, body.crc32c, file)
        self._db.execute("INSERT OR REPLACE INTO part VALUES (?,?,?,?,?,?)", row)

    def parts(self, upload_id: str) -> list[tuple[int, int, bytes, int, str]]:
        """Number, size, MD5, CRC32C and file name (in ``uploads``) of the parts, in order."""
        rows = self._db.execute(
            "SELECT number, size, md5, crc32c, file FROM part WHERE upload = ? ORDER BY number", (upload_id,)
        )
        return rows.fetchall()


def _row(stored: StoredObject) -> tuple[Any, ...]:
    return msgspec.structs.astuple(stored)
