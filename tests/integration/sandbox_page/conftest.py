"""A Labelbox sandbox with a run in it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from vertex_model_inference.sandbox.child import run_in_thread
from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.labelbox.app import Server, create_app

ROWS = 1_000


def fill(server: Server, count: int) -> str:
    """A run of ``count`` text rows, labelled a or b; predicted but for every tenth, wrongly for every seventh."""
    store = server.store
    ontology = "c" + "o" * 24
    model = store.runs.create_model("reader <b>", ontology)
    run_id: str = store.runs.create(model["id"], "first & run", None)["id"]
    splits = ("TRAINING", "VALIDATION", "TEST")

    def answer(text: str, **more: Any) -> dict[str, Any]:
        return {"name": "kind", "radio_answer": {"name": text, "classifications": [], **more}}

    rows, members, labels, links, annotations = [], [], [], [], []
    for i in range(count):
        row_id, label_id = f"row{run_id[:8]}{i:014d}", f"lab{run_id[:8]}{i:014d}"
        text = f"row {i} <script>alert(1)</script>"
        rows.append((row_id, "d", f"{run_id[:6]}-{i}", text, "TEXT", len(text), 1, 0.0, 0.0))
        members.append((f"m{row_id}", run_id, row_id, splits[i % 3], f"p{row_id}"))
        truth = "a" if i % 2 else "b"
        form = {"objects": [], "classifications": [answer(truth)], "relationships": []}
        labels.append((label_id, "p", row_id, f"i{row_id}", orjson.dumps(form).decode(), 0.0))
        links.append((run_id, row_id, label_id))
        if i % 10:
            said = answer(truth if i % 7 else "c", confidence=0.75)
            annotations.append(
                (run_id, row_id, f"u{row_id}", "imp", "classifications", f"f{row_id}", orjson.dumps(said).decode())
            )
    with store.database.write() as c:
        c.executemany(
            "INSERT INTO data_rows(id, dataset_id, global_key, row_data, media_type, text_length, processed,"
            " created_at, updated_at) VALUES(?,?,?,?,?,?,?,?,?)",
            rows,
        )
        c.executemany("INSERT INTO run_rows(id, run_id, data_row_id, split, prediction_id) VALUES(?,?,?,?,?)", members)
        c.executemany(
            "INSERT INTO labels(id, project_id, data_row_id, import_id, annotations, created_at) VALUES(?,?,?,?,?,?)",
            labels,
        )
        c.executemany("INSERT INTO run_labels VALUES(?,?,?)", links)
        c.executemany(
            "INSERT INTO annotations(owner_id, data_row_id, uuid, import_id, place, feature_id, annotation)"
            " VALUES(?,?,?,?,?,?,?)",
            annotations,
        )
    return run_id


@pytest.fixture(scope="module")
def labelbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        config = SandboxConfig(
            state=tmp_path_factory.mktemp("labelbox"),
            labelbox_port=sock.getsockname()[1],
            storage_port=1,
            vertex_port=1,
        )
        app: Any = create_app(config)
        with run_in_thread(app, sock):
            yield app.app.state.server


@pytest.fixture(scope="module")
def run_id(labelbox: Server) -> str:
    return fill(labelbox, ROWS)
