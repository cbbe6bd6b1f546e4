"""Imported annotations, and what their checks need to know of data rows."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import orjson

from vertex_model_inference.sandbox.labelbox import layouts
from vertex_model_inference.sandbox.labelbox.ids import new_id, now
from vertex_model_inference.sandbox.labelbox.store.database import Database
from vertex_model_inference.sandbox.labelbox.validation.rows import Asset

__all__ = ["Annotation", "Annotations"]


class Annotation(NamedTuple):
    """One stored annotation.

    Attributes:
        owner_id: Model run (predictions), project (pre-labels) or import (labels on their way).
        data_row_id: Its data row.
        uuid: Of the row that brought it, lower case.
        import_id: The import that brought it.
        place: ``objects``, ``classifications``, ``relationships``, ``video`` or ``metrics``.
        feature_id: Its id in exports.
        annotation: Its export form, JSON.
    """

    owner_id: str
    data_row_id: str
    uuid: str
    import_id: str
    place: str
    feature_id: str
    annotation: str


class Annotations:
    """Annotations of model runs and projects.

    Args:
        database: Where they are kept.

    Attributes:
        uuids: To be held from asking whether uuids are ``known`` until their annotations are added.
    """

    def __init__(self, database: Database) -> None:
        self._db = database
        self.uuids = threading.Lock()

    def assets(
        self, parent_id: str, ids: Collection[str], global_keys: Collection[str], *, run: bool
    ) -> dict[tuple[str, str], Asset]:
        """What is known of data rows, and whether they are in a model run (``run``) or in a project's batches."""
        table, column = ("run_rows", "run_id") if run else ("batch_rows", "project_id")
        sql = (
            "SELECT d.id, d.global_key, d.media_type, d.text_length,"  # noqa: S608  # names are the constants above
            " json_extract(d.media_attributes, '$.width') AS width,"
            " json_extract(d.media_attributes, '$.height') AS height,"
            " (SELECT l.layout FROM layouts l WHERE l.data_row_id = d.id) AS layout,"
            f" EXISTS(SELECT 1 FROM {table} m WHERE m.{column} = ? AND m.data_row_id = d.id) AS member"
            " FROM data_rows d WHERE d.{} IN (SELECT value FROM json_each(?))"
        )
        found: dict[tuple[str, str], Asset] = {}
        for name, key, values in (("id", "id", ids), ("globalKey", "global_key", global_keys)):
            if not values:
                continue
            for row in self._db.all(sql.format(key), parent_id, orjson.dumps(list(values)).decode()):
                found[name, row[key]] = Asset(
                    id=row["id"],
                    member=bool(row["member"]),
                    media_type=row["media_type"],
                    width=row["width"],
                    height=row["height"],
                    text_length=row["text_length"],
                    layout=layouts.read(row["layout"]),
                )
        return found

    def inline_texts(self, ids: Collection[str]) -> dict[str, str]:
        """Texts that are data rows' row_data itself."""
        rows = self._db.all(
            "SELECT id, row_data FROM data_rows WHERE id IN (SELECT value FROM json_each(?))"
            " AND text_length = length(row_data) AND media_type = 'TEXT'",
            orjson.dumps(list(ids)).decode(),
        )
        return {row["id"]: row["row_data"] for row in rows}

    def known(self, owner_id: str, uuids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Those of the uuids (lower case) that are in use: annotation id and data row id."""
        rows = self._db.all(
            "SELECT uuid, feature_id, data_row_id FROM annotations"
            " WHERE owner_id = ? AND uuid IN (SELECT value FROM json_each(?))",
            owner_id,
            orjson.dumps(list(uuids)).decode(),
        )
        return {row["uuid"]: (row["feature_id"], row["data_row_id"]) for row in rows}

    def add(self, annotations: Sequence[Annotation], masks: Sequence[tuple[str, str, str]]) -> None:
        """Store annotations, and masks as (annotation id, import id, mask as JSON), in one transaction."""
        if not annotations:
            return
        with self._db.write() as c:
            c.executemany(
                "INSERT INTO annotations(owner_id, data_row_id, uuid, import_id, place, feature_id, annotation)"
                " VALUES(?,?,?,?,?,?,?)",
                annotations,
            )
            if masks:
                c.executemany("INSERT OR REPLACE INTO masks VALUES(?,?,?)", masks)

    def by_data_row(self, import_id: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """Annotations of an import, data row by data row: (data row id, [(place, JSON)])."""
        after = ""
        while True:
            rows = self._db.all(
                "SELECT data_row_id, place, annotation FROM annotations WHERE owner_id = ?1 AND data_row_id IN ("
                " SELECT DISTINCT data_row_id FROM annotations WHERE owner_id = ?1 AND data_row_id > ?2"
                " ORDER BY data_row_id LIMIT 500) ORDER BY data_row_id, seq",
                import_id,
                after,
            )
            if not rows:
                return
            gathered: dict[str, list[tuple[str, str]]] = {}
            for row in rows:
                gathered.setdefault(row["data_row_id"], []).append((row["place"], row["annotation"]))
            yield from gathered.items()
            after = rows[-1]["data_row_id"]

    def make_labels(self, project_id: str, import_id: str, labels: Sequence[tuple[str, str, str]]) -> None:
        """Labels as (data row id, kind, annotations as JSON); one made already is left as it is."""
        at = now()
        self._db.many(
            "INSERT OR IGNORE INTO labels(id, project_id, data_row_id, import_id, kind, annotations, created_at)"
            " VALUES(?,?,?,?,?,?,?)",
            [(new_id(), project_id, row_id, import_id, kind, text, at) for row_id, kind, text in labels],
        )

    def forget(self, owner_id: str) -> None:
        """Everything under an owner."""
        self._db.execute("DELETE FROM annotations WHERE owner_id = ?", owner_id)

    def mask(self, feature_id: str) -> str | None:
        """The mask of an annotation as it was imported, JSON."""
        found: str | None = self._db.value("SELECT mask FROM masks WHERE feature_id = ?", feature_id)
        return found
