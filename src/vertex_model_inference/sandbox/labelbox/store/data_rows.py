"""Datasets and their data rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import orjson

from vertex_model_inference.sandbox.labelbox.ids import new_id, now
from vertex_model_inference.sandbox.labelbox.store.database import Database, Row

__all__ = ["DataRows", "NewRow"]


class NewRow(msgspec.Struct):
    """One checked line of a data row import.

    Attributes:
        key: Existing row to update: ``("ID", id)`` or ``("GKEY", global key)``; None makes a new row.
        values: Columns to set, by name.
        failure: Why the row cannot be taken, or None.
        spec: What the client asked for, for the error report.
    """

    key: tuple[str, str] | None
    values: dict[str, Any]
    failure: str | None
    spec: dict[str, Any]


_UPDATABLE = (
    "global_key",
    "external_id",
    "row_data",
    "is_object",
    "media_type",
    "media_attributes",
    "text_length",
    "processed",
    "metadata",
    "attachments",
    "embeddings",
)


class DataRows:
    """The catalog.

    Args:
        database: Where it is kept.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    # -- datasets ---------------------------------------------------------------------------------------------------
    def create_dataset(self, name: str, description: str | None) -> Row:
        """A new, empty dataset."""
        dataset_id, at = new_id(), now()
        self._db.execute("INSERT INTO datasets VALUES(?,?,?,?,?)", dataset_id, name, description, at, at)
        row = self.dataset(dataset_id)
        assert row is not None
        return row

    def dataset(self, dataset_id: str) -> Row | None:
        """One dataset with its ``row_count``."""
        return self._db.one(
            "SELECT d.*, (SELECT COUNT(*) FROM data_rows r WHERE r.dataset_id = d.id) AS row_count"
            " FROM datasets d WHERE d.id = ?",
            dataset_id,
        )

    def datasets(self, skip: int, first: int, name: str | None = None) -> list[Row]:
        """A page of datasets, newest first."""
        return self._db.all(
            "SELECT d.*, (SELECT COUNT(*) FROM data_rows r WHERE r.dataset_id = d.id) AS row_count FROM datasets d"
            " WHERE ?1 IS NULL OR d.name = ?1 ORDER BY d.created_at DESC LIMIT ?2 OFFSET ?3",
            name,
            first,
            skip,
        )

    def update_dataset(self, dataset_id: str, name: str | None, description: str | None) -> None:
        """Change what is not None."""
        self._db.execute(
            "UPDATE datasets SET name = COALESCE(?, name), description = COALESCE(?, description), updated_at = ?"
            " WHERE id = ?",
            name,
            description,
            now(),
            dataset_id,
        )

    def delete_dataset(self, dataset_id: str) -> None:
        """The dataset and its data rows, wherever they are used."""
        with self._db.write() as c:
            ids = [row[0] for row in c.execute("SELECT id FROM data_rows WHERE dataset_id = ?", (dataset_id,))]
            _delete_rows(c, ids)
            c.execute("DELETE FROM datasets WHERE id = ?", (dataset_id,))

    # -- data rows --------------------------------------------------------------------------------------------------
    def get(self, data_row_id: str) -> Row | None:
        """One data row."""
        return self._db.one("SELECT * FROM data_rows WHERE id = ?", data_row_id)

    def many(self, ids: Sequence[str] = (), global_keys: Sequence[str] = ()) -> list[Row]:
        """Those data rows that exist, in no particular order."""
        return self._db.all(
            "SELECT * FROM data_rows WHERE id IN (SELECT value FROM json_each(?))"
            " UNION SELECT * FROM data_rows WHERE global_key IN (SELECT value FROM json_each(?))",
            orjson.dumps(list(ids)).decode(),
            orjson.dumps(list(global_keys)).decode(),
        )

    def ids_of(self, ids: Iterable[str], global_keys: Iterable[str]) -> tuple[list[str], list[str]]:
        """Data row ids in the order given (ids, then keys), and what does not exist."""
        ids, global_keys = list(ids), list(global_keys)
        rows = self._db.all(
            "SELECT id, global_key FROM data_rows WHERE id IN (SELECT value FROM json_each(?))"
            " UNION SELECT id, global_key FROM data_rows WHERE global_key IN (SELECT value FROM json_each(?))",
            orjson.dumps(ids).decode(),
            orjson.dumps(global_keys).decode(),
        )
        known = {row["id"] for row in rows}
        by_key = {row["global_key"]: row["id"] for row in rows}
        found = [i for i in ids if i in known] + [by_key[k] for k in global_keys if k in by_key]
        missing = [i for i in ids if i not in known] + [k for k in global_keys if k not in by_key]
        return list(dict.fromkeys(found)), missing

    def page(
        self, dataset_id: str, after: str | None, first: int, external_id: str | None, global_key: str | None
    ) -> list[Row]:
        """A page of a dataset's rows, newest first, starting behind row ``after``."""
        before = self._db.value("SELECT seq FROM data_rows WHERE id = ?", after) if after else None
        return self._db.all(
            "SELECT * FROM data_rows WHERE dataset_id = ?1 AND (?2 IS NULL OR seq < ?2)"
            " AND (?3 IS NULL OR external_id = ?3) AND (?4 IS NULL OR global_key = ?4) ORDER BY seq DESC LIMIT ?5",
            dataset_id,
            before,
            external_id,
            global_key,
            first,
        )

    def by_external_ids(self, external_ids: Sequence[str]) -> list[Row]:
        """Data rows with one of the external ids."""
        return self._db.all(
            "SELECT id, external_id FROM data_rows WHERE external_id IN (SELECT value FROM json_each(?))",
            orjson.dumps(list(external_ids)).decode(),
        )

    def all_processed(self, ids: Sequence[str], global_keys: Sequence[str]) -> bool:
        """Whether every one of the rows exists and its asset has been looked at."""
        found, missing = self.ids_of(ids, global_keys)
        if missing:
            return False
        waiting = self._db.value(
            "SELECT COUNT(*) FROM data_rows WHERE processed = 0 AND id IN (SELECT value FROM json_each(?))",
            orjson.dumps(found).decode(),
        )
        return not waiting

    def unprocessed(self, limit: int) -> list[Row]:
        """Rows whose asset has not been looked at."""
        return self._db.all(
            "SELECT id, row_data, is_object, media_type FROM data_rows WHERE processed = 0 ORDER BY seq LIMIT ?", limit
        )

    def set_processed(self, facts: Sequence[tuple[str, str | None, int | None, str, str | None]]) -> None:
        """What was learnt of assets: (media type, media attributes as JSON, text length in characters, data row id,
        layout as JSON)."""
        with self._db.write() as c:
            c.executemany(
                "UPDATE data_rows SET media_type = ?, media_attributes = ?, text_length = ?, processed = 1"
                " WHERE id = ?",
                [fact[:4] for fact in facts],
            )
            c.executemany(
                "INSERT OR REPLACE INTO layouts(data_row_id, layout) VALUES(?,?)",
                [fact[3:] for fact in facts if fact[4] is not None],
            )

    def update(self, data_row_id: str, values: dict[str, Any]) -> None:
        """Change columns of one row.

        Raises:
            sqlite3.IntegrityError: The global key is in use.
        """
        names = [name for name in _UPDATABLE if name in values]
        sets = ", ".join(f"{name} = ?" for name in names)
        self._db.execute(
            f"UPDATE data_rows SET {sets}, updated_at = ? WHERE id = ?",  # noqa: S608  # names are our own constants
            *(values[name] for name in names),
            now(),
            data_row_id,
        )

    def clear_global_keys(self, global_keys: Sequence[str]) -> None:
        """Take the keys away from their rows."""
        self._db.execute(
            "UPDATE data_rows SET global_key = NULL WHERE global_key IN (SELECT value FROM json_each(?))",
            orjson.dumps(list(global_keys)).decode(),
        )

    def delete(self, ids: Sequence[str]) -> None:
        """The rows, wherever they are used."""
        with self._db.write() as c:
            _delete_rows(c, ids)

    def take(self, task_id: str, dataset_of: str, rows: Sequence[NewRow], start: int) -> int:
        """Insert or update rows in one transaction, and note for the task what became of each.

        Args:
            task_id: The import's task.
            dataset_of: Dataset of new rows.
            rows: Checked rows.
            start: Number of the first of them in the import.

        Returns:
            How many failed.
        """
        at = now()
        failed = 0
        notes: list[tuple[str, int, str | None, str | None]] = []
        with self._db.write() as c:
            for n, row in enumerate(rows, start):
                row_id: str | None = None
                failure = row.failure
                if failure is None:
                    try:
                        row_id, failure = _take_one(c, dataset_of, row, at)
                    except sqlite3.IntegrityError:
                        failure = f"Duplicate global key: {row.values.get('global_key')!r} is used by another data row."
                if failure is not None:
                    failed += 1
                    row_id = None
                    notes.append((task_id, n, None, orjson.dumps({"message": failure, "spec": row.spec}).decode()))
                else:
                    notes.append((task_id, n, row_id, None))
            c.executemany("INSERT OR REPLACE INTO task_rows VALUES(?,?,?,?)", notes)
        return failed


def _take_one(c: sqlite3.Connection, dataset_id: str, row: NewRow, at: float) -> tuple[str | None, str | None]:
    values = row.values
    if row.key is not None:
        kind, key = row.key
        column = "id" if kind == "ID" else "global_key"
        found = c.execute(f"SELECT id FROM data_rows WHERE {column} = ?", (key,)).fetchone()  # noqa: S608
        if found is not None:
            names = [name for name in _UPDATABLE if name in values]
            if names:
                sets = ", ".join(f"{name} = ?" for name in names)
                c.execute(
                    f"UPDATE data_rows SET {sets}, updated_at = ? WHERE id = ?",  # noqa: S608
                    (*(values[name] for name in names), at, found[0]),
                )
            return found[0], None
        if kind == "ID":
            return None, f"Data row not found: there is no data row with id {key!r} to update."
        values = {"global_key": key, **values}
    if "row_data" not in values:
        return None, "row_data is missing: a new data row needs it."
    row_id = new_id()
    names = ["id", "dataset_id", "created_at", "updated_at", *(name for name in _UPDATABLE if name in values)]
    marks = ",".join("?" * len(names))
    c.execute(
        f"INSERT INTO data_rows({','.join(names)}) VALUES({marks})",
        (row_id, dataset_id, at, at, *(values[name] for name in _UPDATABLE if name in values)),
    )
    return row_id, None


def _delete_rows(c: sqlite3.Connection, ids: Sequence[str]) -> None:
    text = orjson.dumps(list(ids)).decode()
    c.execute(
        "DELETE FROM run_labels WHERE label_id IN"
        " (SELECT id FROM labels WHERE data_row_id IN (SELECT value FROM json_each(?)))",
        (text,),
    )
    c.execute("DELETE FROM labels WHERE data_row_id IN (SELECT value FROM json_each(?))", (text,))
    owners = "SELECT run_id, data_row_id FROM run_rows WHERE data_row_id IN (SELECT value FROM json_each(?))"
    c.execute(f"DELETE FROM annotations WHERE (owner_id, data_row_id) IN ({owners})", (text,))  # noqa: S608
    c.execute("DELETE FROM run_rows WHERE data_row_id IN (SELECT value FROM json_each(?))", (text,))
    c.execute(
        "DELETE FROM batch_rows WHERE (project_id, data_row_id) IN"
        " (SELECT p.id, j.value FROM projects p, json_each(?) j)",
        (text,),
    )
    c.execute("DELETE FROM layouts WHERE data_row_id IN (SELECT value FROM json_each(?))", (text,))
    c.execute("DELETE FROM data_rows WHERE id IN (SELECT value FROM json_each(?))", (text,))
