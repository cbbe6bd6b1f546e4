"""Ontologies, projects, batches and labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from vertex_model_inference.sandbox.labelbox.ids import new_id, now
from vertex_model_inference.sandbox.labelbox.store.database import Database, Row

__all__ = ["Projects"]


class Projects:
    """Where people label.

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    # -- ontologies -------------------------------------------------------------------------------------------------
    def create_ontology(self, name: str, media_type: str | None, normalized: dict[str, Any]) -> Row:
        """A new ontology; every feature in ``normalized`` has its ids already."""
        ontology_id, at = new_id(), now()
        with self._db.write() as c:
            c.execute(
                "INSERT INTO ontologies VALUES(?,?,?,?,?,?)",
                (ontology_id, name, media_type, orjson.dumps(normalized).decode(), at, at),
            )
            for feature in [*normalized["tools"], *normalized["classifications"]]:
                self._keep_feature(c, feature, at)
        row = self.ontology(ontology_id)
        assert row is not None
        return row

    @staticmethod
    def _keep_feature(c: Any, feature: dict[str, Any], at: float) -> None:
        name = feature.get("name") or feature.get("instructions") or ""
        c.execute(
            "INSERT OR REPLACE INTO feature_schemas VALUES(?,?,?,?)",
            (feature["featureSchemaId"], name, orjson.dumps(feature).decode(), at),
        )

    def create_feature(self, feature: dict[str, Any]) -> None:
        """A feature schema without an ontology."""
        with self._db.write() as c:
            self._keep_feature(c, feature, now())

    def ontology(self, ontology_id: str) -> Row | None:
        """One ontology."""
        return self._db.one("SELECT * FROM ontologies WHERE id = ?", ontology_id)

    def ontologies(self, search: str | None, after: int, first: int) -> list[Row]:
        """A page of ontologies whose name contains ``search``."""
        return self._db.all(
            "SELECT * FROM ontologies WHERE ?1 IS NULL OR instr(lower(name), lower(?1)) ORDER BY created_at, id"
            " LIMIT ?2 OFFSET ?3",
            search,
            first,
            after,
        )

    def ontology_in_use(self, ontology_id: str) -> bool:
        """Whether a project or a model still has it."""
        return bool(
            self._db.value(
                "SELECT EXISTS(SELECT 1 FROM projects WHERE ontology_id = ?1)"
                " OR EXISTS(SELECT 1 FROM models WHERE ontology_id = ?1)",
                ontology_id,
            )
        )

    def delete_ontology(self, ontology_id: str) -> None:
        """Forget it; its feature schemas stay."""
        self._db.execute("DELETE FROM ontologies WHERE id = ?", ontology_id)

    def feature(self, feature_id: str) -> Row | None:
        """A top-level feature schema."""
        return self._db.one("SELECT * FROM feature_schemas WHERE id = ?", feature_id)

    def features(self, search: str | None, after: int, first: int) -> list[Row]:
        """A page of top-level feature schemas whose name contains ``search``."""
        return self._db.all(
            "SELECT * FROM feature_schemas WHERE ?1 IS NULL OR instr(lower(name), lower(?1)) ORDER BY created_at, id"
            " LIMIT ?2 OFFSET ?3",
            search,
            first,
            after,
        )

    def feature_in_use(self, feature_id: str) -> bool:
        """Whether an ontology still has it."""
        return bool(self._db.value("SELECT EXISTS(SELECT 1 FROM ontologies WHERE instr(normalized, ?))", feature_id))

    def delete_feature(self, feature_id: str) -> None:
        """Forget a feature schema."""
        self._db.execute("DELETE FROM feature_schemas WHERE id = ?", feature_id)

    # -- projects ---------------------------------------------------------------------------------------------------
    def create(self, name: str, description: str | None, media_type: str | None, fields: dict[str, Any]) -> Row:
        """A new project, without an ontology."""
        project_id, at = new_id(), now()
        self._db.execute(
            "INSERT INTO projects VALUES(?,?,?,?,NULL,?,?,?)",
            project_id,
            name,
            description,
            media_type,
            orjson.dumps(fields).decode(),
            at,
            at,
        )
        row = self.get(project_id)
        assert row is not None
        return row

    def get(self, project_id: str) -> Row | None:
        """One project with the ``row_count`` of its batches."""
        return self._db.one(
            "SELECT p.*, (SELECT COUNT(*) FROM batch_rows b WHERE b.project_id = p.id) AS row_count"
            " FROM projects p WHERE p.id = ?",
            project_id,
        )

    def page(self, skip: int, first: int, name: str | None = None) -> list[Row]:
        """A page of projects, newest first."""
        return self._db.all(
            "SELECT p.*, (SELECT COUNT(*) FROM batch_rows b WHERE b.project_id = p.id) AS row_count"
            " FROM projects p WHERE ?1 IS NULL OR p.name = ?1 ORDER BY p.created_at DESC LIMIT ?2 OFFSET ?3",
            name,
            first,
            skip,
        )

    def update(self, project_id: str, values: dict[str, Any]) -> None:
        """Change name, description, media_type or ontology_id."""
        names = [n for n in ("name", "description", "media_type", "ontology_id") if n in values]
        sets = "".join(f"{n} = ?, " for n in names)
        self._db.execute(
            f"UPDATE projects SET {sets}updated_at = ? WHERE id = ?",  # noqa: S608  # names are our own constants
            *(values[n] for n in names),
            now(),
            project_id,
        )

    def delete(self, project_id: str) -> None:
        """The project, its batches, labels and pre-labels; model runs lose those labels too."""
        with self._db.write() as c:
            c.execute(
                "DELETE FROM run_labels WHERE label_id IN (SELECT id FROM labels WHERE project_id = ?)", (project_id,)
            )
            for table, column in (
                ("labels", "project_id"),
                ("batch_rows", "project_id"),
                ("batches", "project_id"),
                ("annotations", "owner_id"),
                ("imports", "parent_id"),
                ("projects", "id"),
            ):
                c.execute(f"DELETE FROM {table} WHERE {column} = ?", (project_id,))  # noqa: S608

    # -- batches ----------------------------------------------------------------------------------------------------
    def create_batch(self, project_id: str, name: str, consensus: Any) -> str:
        """An empty batch.

        Raises:
            sqlite3.IntegrityError: The project has a batch of that name.
        """
        batch_id, at = new_id(), now()
        self._db.execute(
            "INSERT INTO batches VALUES(?,?,?,?,?,?)",
            batch_id,
            project_id,
            name,
            orjson.dumps(consensus).decode(),
            at,
            at,
        )
        return batch_id

    def fill_batch(self, project_id: str, batch_id: str, data_row_ids: Sequence[str], priority: int) -> None:
        """Queue data rows; those that the project has already stay in their batch."""
        self._db.many(
            "INSERT OR IGNORE INTO batch_rows VALUES(?,?,?,?)",
            [(project_id, row_id, batch_id, priority) for row_id in data_row_ids],
        )

    def elsewhere(self, project_id: str, batch_id: str, data_row_ids: Sequence[str]) -> int:
        """How many of the data rows another batch of the project has."""
        return int(
            self._db.value(
                "SELECT COUNT(*) FROM batch_rows WHERE project_id = ? AND batch_id != ?"
                " AND data_row_id IN (SELECT value FROM json_each(?))",
                project_id,
                batch_id,
                orjson.dumps(list(data_row_ids)).decode(),
            )
        )

    def iterate(self, project_id: str, data_row_ids: Sequence[str] | None, page: int) -> Iterator[list[Row]]:
        """The data rows of the project's batches in pages; ``data_row_ids``: only those of them."""
        after = ""
        wanted = None if data_row_ids is None else orjson.dumps(list(data_row_ids)).decode()
        while rows := self._db.all(
            "SELECT d.* FROM batch_rows b JOIN data_rows d ON d.id = b.data_row_id WHERE b.project_id = ?1"
            " AND b.data_row_id > ?2 AND (?3 IS NULL OR b.data_row_id IN (SELECT value FROM json_each(?3)))"
            " ORDER BY b.data_row_id LIMIT ?4",
            project_id,
            after,
            wanted,
            page,
        ):
            yield rows
            after = rows[-1]["id"]

    def set_showing(self, project_id: str, *, shown: bool) -> None:
        """Whether labelers see pre-labels (model-assisted labelling)."""
        self._db.execute(
            "UPDATE projects SET fields = json_set(fields, '$.showingPredictionsToLabelers', json(?)) WHERE id = ?",
            "true" if shown else "false",
            project_id,
        )

    def pre_labels(self, project_id: str, skip: int, first: int) -> list[Row]:
        """A page of pre-labels: ``data_row_id``, ``global_key``, ``uuid``, ``annotation`` (its export form, JSON)."""
        return self._db.all(
            "SELECT a.data_row_id, d.global_key, a.uuid, a.annotation FROM annotations a"
            " JOIN data_rows d ON d.id = a.data_row_id WHERE a.owner_id = ? ORDER BY a.seq LIMIT ? OFFSET ?",
            project_id,
            first,
            skip,
        )

    def batches(self, project_id: str, batch_id: str | None, after: int, first: int) -> list[Row]:
        """A page of a project's batches with their ``size``."""
        return self._db.all(
            "SELECT b.*, (SELECT COUNT(*) FROM batch_rows r WHERE r.batch_id = b.id) AS size FROM batches b"
            " WHERE b.project_id = ?1 AND (?2 IS NULL OR b.id = ?2) ORDER BY b.created_at, b.id LIMIT ?3 OFFSET ?4",
            project_id,
            batch_id,
            first,
            after,
        )

    def empty_batch(self, batch_id: str, *, forget: bool) -> None:
        """Take a batch's rows off the queue; ``forget`` deletes the batch too."""
        with self._db.write() as c:
            c.execute("DELETE FROM batch_rows WHERE batch_id = ?", (batch_id,))
            if forget:
                c.execute("DELETE FROM batches WHERE id = ?", (batch_id,))

    # -- labels -----------------------------------------------------------------------------------------------------
    def labels(self, project_id: str, skip: int, first: int) -> list[Row]:
        """A page of a project's labels."""
        return self._db.all(
            "SELECT * FROM labels WHERE project_id = ? ORDER BY seq LIMIT ? OFFSET ?", project_id, first, skip
        )

    def labels_of(self, project_id: str, data_row_ids: Sequence[str]) -> list[Row]:
        """The project's labels of the data rows: ``id``, ``data_row_id``, ``kind``, ``annotations`` (JSON)."""
        return self._db.all(
            "SELECT id, data_row_id, kind, annotations FROM labels WHERE project_id = ?"
            " AND data_row_id IN (SELECT value FROM json_each(?)) ORDER BY seq",
            project_id,
            orjson.dumps(list(data_row_ids)).decode(),
        )

    def label(self, label_id: str) -> Row | None:
        """One label."""
        return self._db.one("SELECT * FROM labels WHERE id = ?", label_id)

    def label_count(self, project_id: str) -> int:
        """How many labels a project has."""
        return int(self._db.value("SELECT COUNT(*) FROM labels WHERE project_id = ?", project_id))

    def delete_labels(self, ids: Sequence[str]) -> None:
        """Labels, also out of model runs."""
        text = orjson.dumps(list(ids)).decode()
        with self._db.write() as c:
            c.execute("DELETE FROM run_labels WHERE label_id IN (SELECT value FROM json_each(?))", (text,))
            c.execute("DELETE FROM labels WHERE id IN (SELECT value FROM json_each(?))", (text,))
