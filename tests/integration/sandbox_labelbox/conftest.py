from __future__ import annotations

import contextlib
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import labelbox as lb
import msgspec
import pytest
from PIL import Image

from vertex_model_inference.sandbox.child import run_in_thread
from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.labelbox.app import create_app

ONTOLOGY = {
    "tools": [
        {
            "tool": "rectangle",
            "name": "box",
            "color": "#ff0000",
            "classifications": [{"type": "text", "name": "note", "instructions": "note", "options": []}],
        },
        {"tool": "named-entity", "name": "ner", "color": "#00ff00", "classifications": []},
        {"tool": "raster-segmentation", "name": "mask", "color": "#0000ff", "classifications": []},
        {"tool": "edge", "name": "rel", "color": "#0000ff", "classifications": []},
    ],
    "classifications": [
        {
            "type": "radio",
            "name": "digit",
            "instructions": "digit",
            "options": [{"label": str(n), "value": str(n)} for n in range(10)],
        }
    ],
}


def _start(state: Path, **settings: Any) -> Iterator[SandboxConfig]:
    """A Labelbox in a thread of this process."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        config = SandboxConfig(state=state, labelbox_port=port, storage_port=1, vertex_port=1, **settings)
        with run_in_thread(create_app(config), sock):
            yield config


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxConfig]:
    yield from _start(tmp_path_factory.mktemp("labelbox"))


def client_of(config: SandboxConfig, key: str = "any") -> Any:
    url = config.labelbox_url
    return lb.Client(api_key=key, endpoint=f"{url}/graphql", rest_endpoint=f"{url}/api/v1", enable_experimental=True)


@pytest.fixture(scope="session")
def client(server: SandboxConfig) -> Any:
    return client_of(server)


class Scene(msgspec.Struct):
    """A run with 10 images of 40 x 30 and one text, labels for the images, and what it took to make it."""

    config: SandboxConfig
    client: Any
    dataset: Any
    project: Any
    model: Any
    run: Any
    keys: list[str]
    ids: list[str]
    text_key: str

    def at_a_glance(self) -> dict[str, Any]:
        """The sandbox's own view of the run."""
        answer = httpx2.get(f"{self.config.labelbox_url}/_sandbox/model_runs/{self.run.uid}", trust_env=False)
        found: dict[str, Any] = answer.json()
        return found

    def predict(self, rows: list[dict[str, Any]]) -> Any:
        """Import rows as predictions and wait for the end."""
        job = self.run.add_predictions(f"import {uuid.uuid4()}", rows)
        return finished(job)

    def finish(self, job: Any) -> Any:
        """Wait for the end of an import."""
        return finished(job)

    def export(self, **params: Any) -> dict[str, dict[str, Any]]:
        """Export the run; rows by global key."""
        task = self.run.export(params=params)
        task.wait_till_done()
        assert task.status == "COMPLETE"
        return {row.json["data_row"]["global_key"]: row.json for row in task.get_buffered_stream()}

    def run_of(self, row: dict[str, Any]) -> dict[str, Any]:
        """The part of an export row that is this run's."""
        found: dict[str, Any] = row["experiments"][self.model.uid]["runs"][self.run.uid]
        return found


def finished(job: Any) -> Any:
    """Wait for an annotation import without the SDK's 10 seconds between looks."""
    eventually(lambda: _refreshed(job).state.value != "RUNNING")
    return job


def _refreshed(job: Any) -> Any:
    job.refresh()
    return job


def eventually(done: Callable[[], bool], seconds: float = 30) -> None:
    """Look until it is so."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def make_scene(config: SandboxConfig, client: Any, folder: Path) -> Scene:
    mark = uuid.uuid4().hex[:8]
    picture = folder / "picture.png"
    Image.new("L", (40, 30)).save(picture)
    url = client.upload_file(str(picture))
    dataset = client.create_dataset(name=f"data {mark}")
    keys = [f"{mark}-{n}" for n in range(10)]
    text_key = f"{mark}-text"
    items = [{"row_data": url, "global_key": key, "external_id": f"external {key}"} for key in keys]
    task = dataset.create_data_rows([*items, {"row_data": "some text é\u2028ä", "global_key": text_key}])
    task.wait_till_done()
    assert task.errors is None
    by_key = {row["global_key"]: row["id"] for row in task.result}
    ontology = client.create_ontology(f"ontology {mark}", ONTOLOGY, lb.MediaType.Image)
    project = client.create_project(name=f"project {mark}", media_type=lb.MediaType.Image)
    project.connect_ontology(ontology)
    project.create_batch("batch", global_keys=[*keys, text_key])
    labels = [
        {"uuid": str(uuid.uuid4()), "dataRow": {"globalKey": key}, "name": "digit", "answer": {"name": str(n)}}
        for n, key in enumerate(keys)
    ]
    job = finished(lb.LabelImport.create_from_objects(client, project.uid, "labels", labels))
    assert job.errors == []
    model = client.create_model(f"model {mark}", ontology.uid)
    run = model.create_model_run("run", {"batch_size": 1})
    run.upsert_data_rows(global_keys=[*keys, text_key])
    run.upsert_labels(project_id=project.uid)
    return Scene(config, client, dataset, project, model, run, keys, [by_key[key] for key in keys], text_key)


@pytest.fixture
def scene(server: SandboxConfig, client: Any, tmp_path: Path) -> Scene:
    return make_scene(server, client, tmp_path)


@pytest.fixture
def serve() -> Callable[..., contextlib.AbstractContextManager[SandboxConfig]]:
    """Start further servers: ``with serve(folder, api_key=...) as config``."""
    return contextlib.contextmanager(_start)


@pytest.fixture
def new_client() -> Callable[..., Any]:
    """A client of any server."""
    return client_of


@pytest.fixture
def new_scene() -> Callable[[SandboxConfig, Any, Path], Scene]:
    """A scene on any server."""
    return make_scene


@pytest.fixture
def wait_for() -> Callable[..., None]:
    """Look until it is so."""
    return eventually
