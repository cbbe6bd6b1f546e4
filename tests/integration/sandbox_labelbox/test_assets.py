"""Assets in the sandbox's Cloud Storage: what Labelbox learns of them."""

from __future__ import annotations

import contextlib
import io
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from vertex_model_inference.sandbox.child import run_in_thread
from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.labelbox.app import create_app
from vertex_model_inference.sandbox.storage.app import create_app as create_storage


@pytest.fixture
def both(tmp_path: Path) -> Iterator[SandboxConfig]:
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.socket()) for _ in range(2)]
        for sock in socks:
            sock.bind(("127.0.0.1", 0))
        labelbox_port, storage_port = (sock.getsockname()[1] for sock in socks)
        config = SandboxConfig(state=tmp_path, labelbox_port=labelbox_port, storage_port=storage_port, vertex_port=1)
        stack.enter_context(run_in_thread(create_storage(config), socks[1]))
        stack.enter_context(run_in_thread(create_app(config), socks[0]))
        yield config


def test_sizes_and_texts_are_read_from_storage(both: SandboxConfig, new_client: Any, wait_for: Any) -> None:
    out = io.BytesIO()
    Image.effect_noise((600, 400), 90).save(out, "PNG")  # larger than the first bytes that are looked at
    with httpx2.Client(base_url=both.storage_url, trust_env=False) as storage:
        storage.post("/storage/v1/b?project=sandbox", json={"name": "assets"}).raise_for_status()
        for name, content in (("a b/é.png", out.getvalue()), ("t.txt", "häh".encode()), ("bad.png", b"no picture")):
            path = "/upload/storage/v1/b/assets/o"
            params = {"uploadType": "media", "name": name}
            storage.post(path, params=params, content=content).raise_for_status()
    client = new_client(both)
    dataset = client.create_dataset(name="d")
    rows = {
        "picture": "gs://assets/a b/é.png",
        "by https": "https://storage.googleapis.com/assets/a%20b/%C3%A9.png",
        "text": "gs://assets/t.txt",
        "broken": "gs://assets/bad.png",
        "missing": "gs://assets/missing.png",
    }
    task = dataset.create_data_rows([{"row_data": url, "global_key": key} for key, url in rows.items()])
    task.wait_till_done()
    ids = {row["global_key"]: row["id"] for row in task.result}
    query = "query CheckAllDataRowsHaveBeenProcessedPyApi {x}"
    found = client.execute(query, {"dataRowIds": list(ids.values())})
    assert found["queryAllDataRowsHaveBeenProcessed"]["allDataRowsHaveBeenProcessed"]
    attributes = {key: client.get_data_row(row_id).media_attributes for key, row_id in ids.items()}
    picture = {"width": 600, "height": 400, "mimeType": "image/png"}
    assert attributes == {
        "picture": picture,
        "by https": picture,
        "text": {"mimeType": "text/plain"},
        "broken": None,
        "missing": None,
    }
