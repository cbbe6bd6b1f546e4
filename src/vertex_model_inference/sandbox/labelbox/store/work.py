"""Work in progress: annotation imports and tasks."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import orjson

from vertex_model_inference.sandbox.labelbox.ids import new_id, now
from vertex_model_inference.sandbox.labelbox.store.database import Database, Row

__all__ = ["Imports", "Tasks"]


class Imports:
    """Annotation imports: ``mea`` (predictions into a model run), ``mal`` (pre-labels) and ``label`` (ground truth).

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def create(
        self, kind: str, parent_id: str, name: str, input_url: str, input_file: str | None, source: str | None = None
    ) -> Row | None:
        """A new import, RUNNING; None when the parent has one of that kind and name already.

        Args:
            kind: ``mea``, ``mal``, ``mea-to-mal`` or ``label``.
            parent_id: Model run or project.
            name: The customer's own, unique among the parent's imports of that kind.
            input_url: Where its NDJSON is.
            input_file: Id of our file with the NDJSON; None: it must be fetched from ``input_url``.
            source: What else the import needs, as JSON.
        """
        import_id, at = new_id(), now()
        try:
            self._db.execute(
                "INSERT INTO imports(id, kind, parent_id, name, state, input_url, input_file, source, created_at,"
                " updated_at) VALUES(?,?,?,?,'RUNNING',?,?,?,?,?)",
                import_id,
                kind,
                parent_id,
                name,
                input_url,
                input_file,
                source,
                at,
                at,
            )
        except sqlite3.IntegrityError:
            return None
        return self.get(import_id)

    def get(self, import_id: str) -> Row | None:
        """One import."""
        return self._db.one("SELECT * FROM imports WHERE id = ?", import_id)

    def named(self, kind: str, parent_id: str, name: str) -> Row | None:
        """One import by its name."""
        return self._db.one(
            "SELECT * FROM imports WHERE kind = ? AND parent_id = ? AND name = ?", kind, parent_id, name
        )

    def of(self, parent_id: str, kinds: Sequence[str], skip: int = 0, first: int = 1_000_000) -> list[Row]:
        """A page of the imports of a model run or project."""
        marks = ",".join("?" * len(kinds))
        return self._db.all(
            f"SELECT * FROM imports WHERE parent_id = ? AND kind IN ({marks}) ORDER BY seq LIMIT ? OFFSET ?",  # noqa: S608
            parent_id,
            *kinds,
            first,
            skip,
        )

    def running(self) -> list[Row]:
        """Imports to finish, oldest first."""
        return self._db.all("SELECT * FROM imports WHERE state = 'RUNNING' ORDER BY seq")

    def begin(self, import_id: str) -> None:
        """Forget what an interrupted attempt has stored, so that the import can be done from the start."""
        with self._db.write() as c:
            c.execute("DELETE FROM annotations WHERE import_id = ?", (import_id,))
            c.execute("DELETE FROM labels WHERE import_id = ?", (import_id,))
            c.execute("DELETE FROM masks WHERE import_id = ?", (import_id,))
            c.execute("UPDATE imports SET progress = '0%' WHERE id = ?", (import_id,))

    def set_progress(self, import_id: str, percent: int) -> None:
        """What the customer sees while it runs."""
        self._db.execute(
            "UPDATE imports SET progress = ?, updated_at = ? WHERE id = ?", f"{percent}%", now(), import_id
        )

    def set_input_file(self, import_id: str, file_id: str) -> None:
        """Note where the NDJSON that was fetched lies."""
        self._db.execute("UPDATE imports SET input_file = ? WHERE id = ?", file_id, import_id)

    def finish(self, import_id: str, succeeded: int, failed: int, status_file: str, error_file: str) -> None:
        """FINISHED, with counts of rows and ids of the two report files."""
        self._db.execute(
            "UPDATE imports SET state = 'FINISHED', progress = '100%', succeeded = ?, failed = ?, status_file = ?,"
            " error_file = ?, updated_at = ? WHERE id = ?",
            succeeded,
            failed,
            status_file,
            error_file,
            now(),
            import_id,
        )

    def fail(self, import_id: str, error: str) -> None:
        """FAILED as a whole; nothing of it is kept, so its uuids are free again."""
        self.begin(import_id)
        self._db.execute(
            "UPDATE imports SET state = 'FAILED', error = ?, updated_at = ? WHERE id = ?", error, now(), import_id
        )

    def give_up(self, import_id: str, error: str) -> None:
        """FAILED as a whole, though what was stored of it stays."""
        self._db.execute(
            "UPDATE imports SET state = 'FAILED', error = ?, updated_at = ? WHERE id = ?", error, now(), import_id
        )

    def delete(self, import_id: str) -> None:
        """The import and what it brought."""
        self.begin(import_id)
        self._db.execute("DELETE FROM imports WHERE id = ?", import_id)


class Tasks:
    """What the SDK calls tasks: data row imports, exports, registrations.

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def create(self, kind: str, name: str, payload: Any, status: str = "IN_PROGRESS") -> str:
        """A new task; returns its id.

        Args:
            kind: ``export-data-rows``, ``adv-upsert-data-rows``, or another of the SDK's words.
            name: For people.
            payload: What it must do, JSON.
            status: IN_PROGRESS, or COMPLETE or FAILED for what was done at once.
        """
        task_id, at = new_id(), now()
        self._db.execute(
            "INSERT INTO tasks(id, type, name, status, payload, created_at, updated_at) VALUES(?,?,?,?,?,?,?)",
            task_id,
            kind,
            name,
            status,
            orjson.dumps(payload).decode(),
            at,
            at,
        )
        return task_id

    def get(self, task_id: str) -> Row | None:
        """One task."""
        return self._db.one("SELECT * FROM tasks WHERE id = ?", task_id)

    def page(self, skip: int, first: int) -> list[Row]:
        """A page of tasks, newest first."""
        return self._db.all("SELECT * FROM tasks ORDER BY seq DESC LIMIT ? OFFSET ?", first, skip)

    def running(self) -> list[Row]:
        """Tasks to finish, oldest first."""
        return self._db.all("SELECT * FROM tasks WHERE status = 'IN_PROGRESS' ORDER BY seq")

    def finish(self, task_id: str, result: Any = None) -> None:
        """COMPLETE, with its result as JSON."""
        self._db.execute(
            "UPDATE tasks SET status = 'COMPLETE', result = ?, updated_at = ? WHERE id = ?",
            None if result is None else orjson.dumps(result).decode(),
            now(),
            task_id,
        )

    def fail(self, task_id: str, error: str) -> None:
        """FAILED, with what to tell people."""
        self._db.execute(
            "UPDATE tasks SET status = 'FAILED', error = ?, updated_at = ? WHERE id = ?", error, now(), task_id
        )

    def taken(self, task_id: str, after: int, first: int) -> list[Row]:
        """A page of the rows that a data row import made or changed: ``n`` and the data row."""
        return self._db.all(
            "SELECT t.n, d.* FROM task_rows t JOIN data_rows d ON d.id = t.data_row_id"
            " WHERE t.task_id = ? AND t.n > ? AND t.failure IS NULL ORDER BY t.n LIMIT ?",
            task_id,
            after,
            first,
        )

    def refused(self, task_id: str, after: int, first: int) -> list[Row]:
        """A page of the rows that a data row import refused: ``n``, ``failure`` (JSON: message, spec)."""
        return self._db.all(
            "SELECT n, failure FROM task_rows WHERE task_id = ? AND n > ? AND failure IS NOT NULL ORDER BY n LIMIT ?",
            task_id,
            after,
            first,
        )

    def row_counts(self, task_id: str) -> tuple[int, int]:
        """How many rows a data row import took and refused."""
        row = self._db.one(
            "SELECT COALESCE(SUM(failure IS NULL), 0) AS taken, COALESCE(SUM(failure IS NOT NULL), 0) AS refused"
            " FROM task_rows WHERE task_id = ?",
            task_id,
        )
        assert row is not None
        return row["taken"], row["refused"]

    def rows_noted(self, task_id: str) -> int:
        """How many rows of a data row import are done, from the first on."""
        return int(self._db.value("SELECT COALESCE(MAX(n), 0) FROM task_rows WHERE task_id = ?", task_id))

    def add_chunk(self, task_id: str, first_byte: int, size: int, first_line: int, lines: int, file_id: str) -> None:
        """Note one file of an export; offsets are inclusive."""
        self._db.execute(
            "INSERT OR REPLACE INTO chunks VALUES(?,?,?,?,?,?)",
            task_id,
            first_byte,
            first_byte + size - 1,
            first_line,
            first_line + lines - 1,
            file_id,
        )

    def clear_chunks(self, task_id: str) -> None:
        """Forget what an interrupted attempt has written."""
        self._db.execute("DELETE FROM chunks WHERE task_id = ?", task_id)

    def chunk_at(self, task_id: str, offset: int) -> Row | None:
        """The file of an export that holds byte ``offset``."""
        return self._db.one(
            "SELECT * FROM chunks WHERE task_id = ? AND first_byte <= ? AND last_byte >= ?", task_id, offset, offset
        )

    def chunks(self, task_id: str) -> list[Row]:
        """All files of an export, in order."""
        return self._db.all("SELECT * FROM chunks WHERE task_id = ? ORDER BY first_byte", task_id)
