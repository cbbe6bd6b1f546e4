"""A sandbox's Labelbox with one data row of any medium, to import into and export from."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import labelbox as lb
import msgspec

from vertex_model_inference.annotations import Annotation
from vertex_model_inference.labelbox.ndjson import lines, row_uuids
from vertex_model_inference.labelbox.ontologies import parse_ontology
from vertex_model_inference.ontology import Ontology
from vertex_model_inference.rows import DataRow
from vertex_model_inference.sandbox.child import run_in_thread
from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.labelbox.app import create_app

__all__ = ["Stage", "question", "tool"]

KEY = "the row"


def tool(name: str, kind: str) -> dict[str, Any]:
    """A tool in Labelbox's normalized form."""
    return {"tool": kind, "name": name, "color": "#ff0000", "classifications": []}


def question(name: str, kind: str, *options: str, scope: str = "global") -> dict[str, Any]:
    """A question in Labelbox's normalized form."""
    made = [{"label": option, "value": option} for option in options]
    return {"type": kind, "name": name, "instructions": name, "scope": scope, "options": made}


class Stage(msgspec.Struct):
    """A model of an ontology, and the row's id."""

    model: Any
    ontology: Ontology
    row_id: str

    @classmethod
    @contextmanager
    def open(
        cls,
        folder: Path,
        asset: Path,
        media: Any,
        normalized: dict[str, Any],
    ) -> Iterator[Stage]:
        """For the time of a ``with`` block.

        Args:
            folder: For the sandbox's state. ``asset``: the file of the data row.
            media: The SDK's media type. ``normalized``: the ontology.
        """
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
            config = SandboxConfig(state=folder / "state", labelbox_port=port, storage_port=1, vertex_port=1)
            with run_in_thread(create_app(config), sock):
                url = config.labelbox_url
                client: Any = lb.Client(api_key="any", endpoint=f"{url}/graphql", rest_endpoint=f"{url}/api/v1")
                item = {
                    "row_data": client.upload_file(str(asset)),
                    "global_key": KEY,
                    "media_type": media.value.upper(),
                }
                task = client.create_dataset(name="stage").create_data_rows([item])
                task.wait_till_done()
                assert task.errors is None, task.errors
                made = client.create_ontology("stage", normalized, media)
                ontology = parse_ontology({"id": made.uid, "name": made.name, "normalized": made.normalized})
                yield cls(client.create_model("stage", made.uid), ontology, task.result[0]["id"])

    def export(self, annotations: Sequence[Annotation], row: DataRow) -> dict[str, Any]:
        """Import annotations into a fresh model run; gives the export's prediction of the row."""
        run = self.model.create_model_run(uuid.uuid4().hex)
        run.upsert_data_rows(global_keys=[KEY])
        made = lines(annotations, row, row_uuids(uuid.uuid4().hex, row.id))
        job = run.add_predictions(f"import {uuid.uuid4()}", [msgspec.json.decode(line) for line in made])
        end = time.monotonic() + 30
        while job.state.value == "RUNNING":
            assert time.monotonic() < end, "the import did not end"
            time.sleep(0.02)
            job.refresh()
        assert job.errors == []
        task = run.export(params={"predictions": True})
        task.wait_till_done()
        (exported,) = [each.json for each in task.get_buffered_stream()]
        (prediction,) = exported["experiments"][self.model.uid]["runs"][run.uid]["predictions"]
        found: dict[str, Any] = prediction
        return found
