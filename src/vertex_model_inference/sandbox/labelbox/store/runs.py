"""Models and model runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from vertex_model_inference.sandbox.labelbox.ids import new_id, now
from vertex_model_inference.sandbox.labelbox.store.database import Database, Row

__all__ = ["Runs"]

_END = 2**62
_PIECE = 5_000  # rows a transaction, so that others can write in between


class Runs:
    """Models and their runs.

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    # -- models -----------------------------------------------------------------------------------------------------
    def create_model(self, name: str, ontology_id: str) -> Row:
        """A new model."""
        model_id, at = new_id(), now()
        self._db.execute("INSERT INTO models VALUES(?,?,?,?,?)", model_id, name, ontology_id, at, at)
        row = self.model(model_id)
        assert row is not None
        return row

    def model(self, model_id: str) -> Row | None:
        """One model."""
        return self._db.one("SELECT * FROM models WHERE id = ?", model_id)

    def models(self, skip: int, first: int, name: str | None = None) -> list[Row]:
        """A page of models, newest first."""
        return self._db.all(
            "SELECT * FROM models WHERE ?1 IS NULL OR name = ?1 ORDER BY created_at DESC, id LIMIT ?2 OFFSET ?3",
            name,
            first,
            skip,
        )

    def delete_models(self, ids: Sequence[str]) -> None:
        """Models with their runs."""
        for model_id in ids:
            self.delete_runs(
                [row["id"] for row in self._db.all("SELECT id FROM model_runs WHERE model_id = ?", model_id)]
            )
            self._db.execute("DELETE FROM models WHERE id = ?", model_id)

    # -- runs -------------------------------------------------------------------------------------------------------
    def create(self, model_id: str, name: str, config: Any) -> Row:
        """A new run without rows."""
        run_id, at = new_id(), now()
        self._db.execute(
            "INSERT INTO model_runs VALUES(?,?,?,?,NULL,NULL,NULL,?,?)",
            run_id,
            model_id,
            name,
            orjson.dumps(config).decode(),
            at,
            at,
        )
        row = self.get(run_id)
        assert row is not None
        return row

    def get(self, run_id: str) -> Row | None:
        """One run."""
        return self._db.one("SELECT * FROM model_runs WHERE id = ?", run_id)

    def of_model(self, model_id: str, skip: int, first: int) -> list[Row]:
        """A page of a model's runs, newest first."""
        return self._db.all(
            "SELECT * FROM model_runs WHERE model_id = ? ORDER BY created_at DESC, id LIMIT ? OFFSET ?",
            model_id,
            first,
            skip,
        )

    def page(self, skip: int, first: int) -> list[Row]:
        """A page of all runs with ``model_name``, newest first."""
        return self._db.all(
            "SELECT r.*, m.name AS model_name, m.ontology_id AS ontology_id FROM model_runs r"
            " JOIN models m ON m.id = r.model_id ORDER BY r.created_at DESC, r.id LIMIT ? OFFSET ?",
            first,
            skip,
        )

    def set_config(self, run_id: str, config: Any) -> None:
        """Replace the run's training metadata; None resets it."""
        self._db.execute(
            "UPDATE model_runs SET config = ?, updated_at = ? WHERE id = ?",
            orjson.dumps(config).decode(),
            now(),
            run_id,
        )

    def set_status(self, run_id: str, status: str, error: str | None, metadata: dict[str, Any] | None) -> None:
        """The pipeline status. Metadata is merged into what is there; an error message stays when none is given."""
        with self._db.write() as c:
            old = c.execute("SELECT metadata FROM model_runs WHERE id = ?", (run_id,)).fetchone()
            merged = None if old is None or old[0] is None else orjson.loads(old[0])
            if metadata is not None:
                merged = {**(merged or {}), **metadata}
            c.execute(
                "UPDATE model_runs SET status = ?, error_message = COALESCE(?, error_message), metadata = ?,"
                " updated_at = ? WHERE id = ?",
                (status, error, None if merged is None else orjson.dumps(merged).decode(), now(), run_id),
            )

    def delete_runs(self, ids: Sequence[str]) -> None:
        """Runs with everything in them."""
        for run_id in ids:
            with self._db.write() as c:
                c.execute(
                    "DELETE FROM masks WHERE import_id IN (SELECT id FROM imports WHERE parent_id = ?)", (run_id,)
                )
                for table, column in (
                    ("annotations", "owner_id"),
                    ("run_labels", "run_id"),
                    ("run_rows", "run_id"),
                    ("imports", "parent_id"),
                    ("model_runs", "id"),
                ):
                    c.execute(f"DELETE FROM {table} WHERE {column} = ?", (run_id,))  # noqa: S608

    # -- rows of a run ----------------------------------------------------------------------------------------------
    def add_rows(self, run_id: str, data_row_ids: Sequence[str]) -> None:
        """Put data rows into the run; those already in it stay as they are."""
        for start in range(0, len(data_row_ids), _PIECE):
            self._db.many(
                "INSERT OR IGNORE INTO run_rows(id, run_id, data_row_id, prediction_id) VALUES(?,?,?,?)",
                [(new_id(), run_id, row_id, new_id()) for row_id in data_row_ids[start : start + _PIECE]],
            )

    def add_labels(self, run_id: str, label_ids: Sequence[str]) -> list[str]:
        """Put labels and their data rows into the run. Returns the label ids that do not exist."""
        missing: list[str] = []
        for start in range(0, len(label_ids), _PIECE):
            piece = label_ids[start : start + _PIECE]
            found = self._db.all(
                "SELECT id, data_row_id FROM labels WHERE id IN (SELECT value FROM json_each(?))",
                orjson.dumps(piece).decode(),
            )
            known = {row["id"] for row in found}
            missing += [label_id for label_id in piece if label_id not in known]
            self.add_rows(run_id, [row["data_row_id"] for row in found])
            self._db.many(
                "INSERT OR IGNORE INTO run_labels VALUES(?,?,?)",
                [(run_id, row["data_row_id"], row["id"]) for row in found],
            )
        return missing

    def add_project_labels(self, run_id: str, project_id: str) -> None:
        """Put all labels of a project, and their data rows, into the run."""
        self.add_labels(
            run_id, [row["id"] for row in self._db.all("SELECT id FROM labels WHERE project_id = ?", project_id)]
        )

    def assign(self, run_id: str, data_row_ids: Sequence[str], split: str) -> int:
        """Set the split of rows of the run. Returns how many of them are in the run."""
        return self._db.execute(
            "UPDATE run_rows SET split = ? WHERE run_id = ? AND data_row_id IN (SELECT value FROM json_each(?))",
            split,
            run_id,
            orjson.dumps(list(data_row_ids)).decode(),
        )

    def remove_rows(self, run_id: str, data_row_ids: Sequence[str]) -> None:
        """Take rows out of the run, with their labels and predictions there."""
        text = orjson.dumps(list(data_row_ids)).decode()
        with self._db.write() as c:
            for table, column in (("run_labels", "run_id"), ("annotations", "owner_id"), ("run_rows", "run_id")):
                c.execute(
                    f"DELETE FROM {table} WHERE {column} = ? AND data_row_id IN"  # noqa: S608
                    " (SELECT value FROM json_each(?))",
                    (run_id, text),
                )

    def rows(self, run_id: str, after: int, first: int, *, backwards: bool = False) -> list[Row]:
        """A page of the run's rows (``run_seq``, ``run_row_id``, ``split``, ``prediction_id``) with their data row.

        Args:
            run_id: The run.
            after: ``run_seq`` of the last row of the page before; 0 for the first page.
            first: Size of the page.
            backwards: The rows before ``after``, from there to the first.
        """
        place = "r.seq < ? ORDER BY r.seq DESC" if backwards else "r.seq > ? ORDER BY r.seq"
        return self._db.all(  # the place is one of the two constants above
            "SELECT r.seq AS run_seq, r.id AS run_row_id, r.split, r.prediction_id,"  # noqa: S608
            " (SELECT l.label_id FROM run_labels l WHERE l.run_id = r.run_id AND l.data_row_id = r.data_row_id LIMIT 1)"
            " AS label_id, d.* FROM run_rows r JOIN data_rows d ON d.id = r.data_row_id"
            f" WHERE r.run_id = ? AND {place} LIMIT ?",
            run_id,
            after,
            first,
        )

    def labels_of(self, run_id: str, data_row_ids: Sequence[str]) -> list[Row]:
        """Labels in the run for the rows: ``id``, ``data_row_id``, ``kind``, ``annotations`` (JSON of annotations)."""
        return self._db.all(
            "SELECT l.id, l.data_row_id, l.kind, l.annotations FROM run_labels r JOIN labels l ON l.id = r.label_id"
            " WHERE r.run_id = ? AND r.data_row_id IN (SELECT value FROM json_each(?)) ORDER BY l.seq",
            run_id,
            orjson.dumps(list(data_row_ids)).decode(),
        )

    def predictions_of(self, run_id: str, data_row_ids: Sequence[str]) -> list[Row]:
        """Predictions in a run (pre-labels in a project) for the rows: ``data_row_id``, ``place``, ``annotation``."""
        return self._db.all(
            "SELECT data_row_id, place, annotation, uuid, feature_id FROM annotations"
            " WHERE owner_id = ? AND data_row_id IN (SELECT value FROM json_each(?)) ORDER BY seq",
            run_id,
            orjson.dumps(list(data_row_ids)).decode(),
        )

    def counts(self, run_id: str) -> dict[str, int]:
        """How many data rows, labels, predictions (annotations) and data rows with predictions the run has."""
        row = self._db.one(
            "SELECT (SELECT COUNT(*) FROM run_rows WHERE run_id = ?1) AS data_rows,"
            " (SELECT COUNT(*) FROM run_labels WHERE run_id = ?1) AS labels,"
            " (SELECT COUNT(*) FROM annotations WHERE owner_id = ?1) AS predictions,"
            " (SELECT COUNT(DISTINCT data_row_id) FROM annotations WHERE owner_id = ?1) AS predicted_data_rows",
            run_id,
        )
        assert row is not None
        return {name: row[name] for name in row.keys()}  # noqa: SIM118  # sqlite3.Row iterates over values

    def iterate(self, run_id: str, page: int, *, backwards: bool = False) -> Iterator[list[Row]]:
        """All rows of the run in pages, never all in memory; ``backwards``: the last one first."""
        after = _END if backwards else 0
        while rows := self.rows(run_id, after, page, backwards=backwards):
            yield rows
            after = rows[-1]["run_seq"]
