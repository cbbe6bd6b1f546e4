"""Our client's half of the destination project, against the sandbox; the real SDK reads back what it did."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from labelbox import Client
from labelbox.schema.annotation_import import MALPredictionImport
from labelbox.schema.media_type import MediaType

from vertex_model_inference.errors import LabelboxError, NotFoundError
from vertex_model_inference.labelbox.client import LabelboxClient
from vertex_model_inference.labelbox.gateway import ImportPlace
from vertex_model_inference.sandbox.child import run_in_thread
from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.labelbox.app import create_app
from vertex_model_inference.settings import load

ROWS = 2_300  # more than one filter of an export takes
ONTOLOGY: dict[str, Any] = {
    "tools": [],
    "classifications": [
        {
            "type": "radio",
            "name": "mood",
            "instructions": "mood",
            "required": False,
            "options": [{"label": name, "value": name, "options": []} for name in ("good", "bad")],
        }
    ],
}


class World(NamedTuple):
    url: str
    sdk: Any
    ours: LabelboxClient
    ids: list[str]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("projects")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        config = SandboxConfig(state=folder, labelbox_port=port, storage_port=1, vertex_port=1, api_key="key")
        with run_in_thread(create_app(config), sock):
            url = config.labelbox_url
            sdk = Client("key", f"{url}/graphql", enable_experimental=True, rest_endpoint=f"{url}/api/v1")
            task = sdk.create_dataset(name="texts").create_data_rows(
                [{"row_data": f"text {n}", "global_key": f"key-{n}", "media_type": "TEXT"} for n in range(ROWS)]
            )
            task.wait_till_done()
            ids = [row["id"] for row in task.result]
            settings = load({"LABELBOX_API_KEY": "key", "VMI_LABELBOX_URL": url}, folder)
            with LabelboxClient(settings) as ours:
                yield World(url, sdk, ours, ids)
            sdk._request_client._connection.close()


@pytest.fixture
def project(world: World) -> Any:
    project = world.sdk.create_project(name=f"labelling {uuid.uuid4()}", media_type=MediaType.Text)
    project.connect_ontology(world.sdk.create_ontology(f"o {uuid.uuid4()}", ONTOLOGY, MediaType.Text))
    return project


def glance(world: World, project: Any) -> Any:
    return httpx2.get(f"{world.url}/_sandbox/projects/{project.uid}").raise_for_status().json()


def fault(world: World, **rule: Any) -> None:
    httpx2.post(f"{world.url}/_sandbox/faults", json=rule).raise_for_status()


@pytest.fixture(autouse=True)
def _calm(world: World) -> Iterator[None]:
    yield
    httpx2.delete(f"{world.url}/_sandbox/faults").raise_for_status()


def test_a_project_and_its_ontology(world: World, project: Any) -> None:
    found = world.ours.project(project.uid)
    assert (found.id, found.name) == (project.uid, project.name)
    assert found.ontology is not None
    assert [question.name for question in found.ontology.classifications] == ["mood"]
    bare = world.sdk.create_project(name="bare", media_type=MediaType.Text)
    assert world.ours.project(bare.uid).ontology is None
    with pytest.raises(NotFoundError, match="no project nope"):
        world.ours.project("nope")


def test_pre_labels_are_shown(world: World, project: Any) -> None:
    assert not glance(world, project)["pre_labels_shown"]
    for _ in range(2):
        world.ours.show_pre_labels(project.uid)
        assert glance(world, project)["pre_labels_shown"]
    hidden = {"project": {"showPredictionsToLabelers": {"id": project.uid, "showingPredictionsToLabelers": False}}}
    fault(world, match="toggle_model_assisted_labeling*", json={"data": hidden})
    with pytest.raises(LabelboxError) as caught:
        world.ours.show_pre_labels(project.uid)
    assert caught.value.error_code == "pre_labels_hidden"


def test_which_rows_a_project_has(world: World, project: Any) -> None:
    assert world.ours.rows_in_project(project.uid, world.ids) == set()
    assert world.ours.rows_in_project(project.uid, []) == set()
    there = world.ids[5:15] + world.ids[-10:]
    project.create_batch("some", there)
    assert world.ours.rows_in_project(project.uid, world.ids) == set(there)
    assert world.ours.rows_in_project(project.uid, world.ids[:10]) == set(world.ids[5:10])


def test_a_batch_of_a_name_is_made_once(world: World, project: Any) -> None:
    for number in range(101):  # more than a page
        project.create_batch(f"other {number}", [world.ids[number]])
    with ThreadPoolExecutor(4) as pool:
        made = set(pool.map(lambda _: world.ours.batch(project.uid, "ours"), range(8)))
    assert len(made) == 1
    assert world.ours.batch(project.uid, "other 100") == next(
        batch["id"] for batch in glance(world, project)["batches"] if batch["name"] == "other 100"
    )
    assert len(glance(world, project)["batches"]) == 102


@pytest.mark.parametrize("rule", [{"status": 503}, {"truncate": 5}, {"reset": True}])
def test_a_lost_answer_makes_no_second_batch(world: World, project: Any, rule: dict[str, Any]) -> None:
    fault(world, match="createEmptyBatch*", **rule)
    batch_id = world.ours.batch(project.uid, "ours")
    fault(world, match="addDataRowsToBatchAsync*", **rule)
    world.ours.fill_batch(project.uid, batch_id, world.ids[:1500], 5)
    found = glance(world, project)
    assert [(batch["id"], batch["size"]) for batch in found["batches"]] == [(batch_id, 1500)]


def test_rows_of_another_batch_are_not_taken_from_it(world: World, project: Any) -> None:
    project.create_batch("by hand", world.ids[:3])
    batch_id = world.ours.batch(project.uid, "ours")
    with pytest.raises(LabelboxError) as caught:
        world.ours.fill_batch(project.uid, batch_id, world.ids[:5], 5)
    assert caught.value.error_code == "batch_failed"
    assert {batch["name"]: batch["size"] for batch in glance(world, project)["batches"]} == {"by hand": 3, "ours": 0}


def test_pre_labels_arrive_and_each_line_has_its_status(world: World, project: Any) -> None:
    ids = world.ids[:4]
    project.create_batch("some", ids[:3])
    lines = [
        {"uuid": str(uuid.uuid4()), "dataRow": {"id": row_id}, "name": "mood", "answer": {"name": "good"}}
        for row_id in ids
    ]
    lines[0]["answer"]["confidence"] = 0.25  # type: ignore[index]  # a dict
    place, name = ImportPlace("project", project.uid), f"import {uuid.uuid4()}"
    assert world.ours.find_import(place, name) is None
    payload = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    started = world.ours.start_import(place, name, payload)
    assert world.ours.start_import(place, name, payload).id == started.id
    ended = world.ours.wait_import(place, name, 30)
    rows = {row.uuid: row for row in world.ours.import_statuses(ended)}
    assert [rows[str(line["uuid"])].ok for line in lines] == [True, True, True, False]
    assert rows[str(lines[3]["uuid"])].errors[0].name == "DataRowNotInProject"
    theirs = {
        row["uuid"]: row["status"] for row in MALPredictionImport.from_name(world.sdk, project.uid, name).statuses
    }
    assert theirs == {key: "SUCCESS" if row.ok else "FAILURE" for key, row in rows.items()}
    shown = httpx2.get(f"{world.url}/_sandbox/projects/{project.uid}/pre_labels").json()["pre_labels"]
    assert [each["data_row_id"] for each in shown] == ids[:3]
    # Labelbox keeps no confidence of pre-labels, as the SDK warns.
    assert not any("confidence" in each["annotation"]["radio_answer"] for each in shown)
