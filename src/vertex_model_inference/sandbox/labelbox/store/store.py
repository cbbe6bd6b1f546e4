"""The store: one object that has them all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from vertex_model_inference.sandbox.labelbox.ids import new_id, now
from vertex_model_inference.sandbox.labelbox.store.annotations import Annotations
from vertex_model_inference.sandbox.labelbox.store.data_rows import DataRows
from vertex_model_inference.sandbox.labelbox.store.database import Database
from vertex_model_inference.sandbox.labelbox.store.files import Files
from vertex_model_inference.sandbox.labelbox.store.projects import Projects
from vertex_model_inference.sandbox.labelbox.store.runs import Runs
from vertex_model_inference.sandbox.labelbox.store.work import Imports, Tasks

__all__ = ["Store"]


class Store:
    """What the sandbox's Labelbox keeps.

    Args:
        folder: Where; ``labelbox.sqlite`` and ``files/`` in it.
        base_url: Of the server, no trailing slash; file URLs begin with it.

    Attributes:
        database: The SQLite file below.
        files: Bytes by URL.
        data_rows: Datasets and data rows.
        projects: Ontologies, projects, batches, labels.
        runs: Models and model runs with rows, labels and predictions.
        imports: Annotation imports.
        annotations: What they brought.
        tasks: Tasks with their results.
    """

    def __init__(self, folder: Path, base_url: str) -> None:
        self.database = Database(folder / "labelbox.sqlite")
        self.files = Files(self.database, folder / "files", base_url)
        self.data_rows = DataRows(self.database)
        self.projects = Projects(self.database)
        self.runs = Runs(self.database)
        self.imports = Imports(self.database)
        self.annotations = Annotations(self.database)
        self.tasks = Tasks(self.database)

        self._follow(base_url)

    def _follow(self, base_url: str) -> None:
        """File URLs that were kept under another port are moved to this one, so that a state can be served anywhere."""
        before = self.setting("base_url")
        if before not in (None, base_url):
            with self.database.write() as c:
                for table, column in (
                    ("data_rows", "row_data"),
                    ("imports", "input_url"),
                    ("annotations", "annotation"),
                    ("labels", "annotations"),
                    ("settings", "value"),
                ):
                    c.execute(
                        f"UPDATE {table} SET {column} = replace({column}, ?1, ?2) WHERE instr({column}, ?1)",  # noqa: S608
                        (f"{before}/files/", f"{base_url}/files/"),
                    )
        self.set_setting("base_url", base_url)

    def setting(self, name: str, default: Any = None) -> Any:
        """A setting, JSON."""
        text = self.database.value("SELECT value FROM settings WHERE name = ?", name)
        return default if text is None else orjson.loads(text)

    def set_setting(self, name: str, value: Any) -> None:
        """Keep a setting, JSON."""
        self.database.execute("INSERT OR REPLACE INTO settings VALUES(?,?)", name, orjson.dumps(value).decode())

    def owner_of(self, file_id: str) -> str | None:
        """The model run or project whose export or import a file belongs to; None for any other file."""
        found: str | None = self.database.value(
            "SELECT COALESCE(json_extract(t.payload, '$.modelRunId'), json_extract(t.payload, '$.projectId'))"
            " FROM chunks c JOIN tasks t ON t.id = c.task_id WHERE c.file_id = ?1"
            " UNION ALL SELECT parent_id FROM imports WHERE status_file = ?1 OR error_file = ?1 LIMIT 1",
            file_id,
        )
        return found

    def identity(self) -> dict[str, Any]:
        """Ids of the one organization and its one user, made at the first start and kept."""
        found: dict[str, Any] | None = self.setting("identity")
        if found is None:
            found = {"organization": new_id(), "user": new_id(), "frontend": new_id(), "created_at": now()}
            self.set_setting("identity", found)
        return found

    def close(self) -> None:
        """Close the database."""
        self.database.close()
