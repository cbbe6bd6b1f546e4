"""Rows of the gallery into a Labelbox project: the page's form, our gateway, and what the sandbox has afterwards."""

from __future__ import annotations

import re
import socket
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from bench.gallery import RUN, write_run
from labelbox import Client
from labelbox.schema.media_type import MediaType
from starlette.testclient import TestClient

from vertex_model_inference.pages.access import Access
from vertex_model_inference.pages.wiring import pages_of
from vertex_model_inference.runs.surroundings import open_labelbox
from vertex_model_inference.sandbox.child import run_in_thread
from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.labelbox.app import create_app
from vertex_model_inference.settings import Settings, load

_TOKEN = "0123456789abcdef"
_ROWS = 60
_GONE = f"crow{_ROWS - 1:021d}"
_URL = f"/runs/{RUN}/rows/label"


class World(NamedTuple):
    url: str
    sdk: Any
    root: Path
    settings: Settings


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A sandbox's Labelbox, and a run of its rows; the last of them is gone from Labelbox."""
    folder: Path = tmp_path_factory.mktemp("sending")
    root = folder / "files"
    write_run(root, _ROWS, shard_rows=25, pictures=1)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        config = SandboxConfig(state=folder / "s", labelbox_port=port, storage_port=1, vertex_port=1, api_key="key")
        with run_in_thread(create_app(config), sock):
            url = config.labelbox_url
            sdk = Client("key", f"{url}/graphql", enable_experimental=True, rest_endpoint=f"{url}/api/v1")
            task = sdk.create_dataset(name="rows").create_data_rows(
                [{"row_data": f"text {n}", "media_type": "TEXT"} for n in range(_ROWS - 1)]
            )
            task.wait_till_done()
            new = {f"crow{n:021d}": row["id"] for n, row in enumerate(task.result)}
            assert {len(row_id) for row_id in new.values()} == {25}
            for path in (root / "runs" / RUN).rglob("*.jsonl"):
                path.write_text(re.sub(r"crow\d{21}", lambda found: new.get(found[0], found[0]), path.read_text()))
            environment = {"LABELBOX_API_KEY": "key", "VMI_LABELBOX_URL": url, "VMI_DATA_DIR": str(folder / "data")}
            yield World(url, sdk, root, load(environment, folder))
            sdk._request_client._connection.close()


@pytest.fixture
def project(world: World) -> Any:
    return world.sdk.create_project(name=f"labelling {uuid.uuid4()}", media_type=MediaType.Text)


def pages(world: World, *, key: str | None = "key") -> TestClient:
    settings = world.settings
    if key not in (None, "key"):
        settings = load({"LABELBOX_API_KEY": key, "VMI_LABELBOX_URL": world.url}, world.root)
    connect = None if key is None else partial(open_labelbox, settings)
    app = pages_of(world.settings, Access(_TOKEN), world.root, connect=connect)
    return TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)


@pytest.fixture
def client(world: World) -> Iterator[TestClient]:
    with pages(world) as client:
        yield enter(client)


def enter(client: TestClient) -> TestClient:
    assert client.post("/login", data={"token": _TOKEN}).status_code == 303
    return client


def form(client: TestClient, query: str = "") -> dict[str, str]:
    """The fields of the page's form as it is."""
    page = client.get(f"/runs/{RUN}/rows?{query}").text
    found = re.search(r'<form[^>]*action="[^"]*/rows/label".*?</form>', page, re.DOTALL)
    assert found is not None
    return {
        name[1]: value[1]
        for tag in re.findall(r"<input[^>]*>", found[0])
        if (name := re.search(r'name="([^"]*)"', tag)) and (value := re.search(r'value="([^"]*)"', tag))
    }


def ids(client: TestClient, query: str = "") -> list[str]:
    return [row["data_row_id"] for row in client.get(f"/runs/{RUN}/rows.json?{query}").json()]


def batches(world: World, project: Any) -> dict[str, int]:
    """Name of a batch -> how many rows it has."""
    found = httpx2.get(f"{world.url}/_sandbox/projects/{project.uid}").raise_for_status().json()
    return {batch["name"]: batch["size"] for batch in found["batches"]}


def rows_of(project: Any) -> set[str]:
    """The rows of all batches, as the SDK exports them."""
    task = project.export()
    task.wait_till_done()
    return {line.json["data_row"]["id"] for line in task.get_buffered_stream()}


def test_the_rows_of_a_view_become_a_batch_once(world: World, project: Any, client: TestClient) -> None:
    query = "split=training&order=wrong"
    chosen = [row_id for row_id in ids(client, query) if row_id != _GONE][:7]
    fields = form(client, query) | {"project": f"https://app.labelbox.com/projects/{project.uid}/overview", "most": "7"}
    answer = client.post(_URL, data=fields)
    assert answer.status_code == 303
    page = client.get(answer.headers["location"]).text
    assert f"7 rows are sent to project {project.name} as batch vmi-{RUN}-rows-" in page
    assert 'value="training" selected' in page
    found = batches(world, project)
    assert list(found.values()) == [7]
    assert rows_of(project) == set(chosen)
    again = client.post(_URL, data=fields | {"project": project.uid})
    assert f"All 7 rows are in project {project.name} already" in client.get(again.headers["location"]).text
    assert batches(world, project) == found


def test_a_form_that_is_sent_many_times_makes_one_batch(world: World, project: Any, client: TestClient) -> None:
    wanted = set(ids(client, "split=test")) - {_GONE}
    with pages(world) as other, ThreadPoolExecutor(4) as pool:
        # Two servers, which know nothing of each other.
        forms = [(each, form(each, "split=test") | {"project": project.uid}) for each in (client, enter(other))]
        answers = list(pool.map(lambda one: one[0].post(_URL, data=one[1]), forms * 3))
    assert [answer.status_code for answer in answers] == [303] * 6
    assert list(batches(world, project).values()) == [len(wanted)]
    assert rows_of(project) == wanted


def test_rows_that_are_there_stay_where_they_are_and_lost_ones_are_told(
    world: World, project: Any, client: TestClient
) -> None:
    every = ids(client)
    assert _GONE in every
    project.create_batch("by hand", every[:5])
    fields = form(client) | {"project": project.uid}
    assert fields["most"] == str(_ROWS)
    page = client.get(client.post(_URL, data=fields).headers["location"]).text
    assert f"{_ROWS - 6} rows are sent" in page
    assert "5 rows are there already." in page
    assert "1 row is not listed by the project" in page
    found = batches(world, project)
    assert found.pop("by hand") == 5
    assert list(found.values()) == [_ROWS - 6]
    assert rows_of(project) == set(every) - {_GONE}


def test_what_cannot_be_sent_is_told_in_words(world: World, project: Any, client: TestClient) -> None:
    fields = form(client, "split=test") | {"project": project.uid}
    for changes, status, words in (
        ({"project": "c" * 25}, 404, "Labelbox knows no project"),
        ({"project": ""}, 400, "No project is named."),
        ({"project": "../../etc"}, 400, "is no id of a Labelbox project"),
        ({"most": "25001"}, 400, "not one from 1 to 25,000"),
        ({"most": "0"}, 400, "not one from 1 to 25,000"),
        ({"q": "nothing"}, 400, "No row is chosen"),
        ({"csrf": "0" * 64}, 400, "was not sent by a page of this session"),
    ):
        answer = client.post(_URL, data=fields | changes)
        assert (answer.status_code, words in answer.text) == (status, True), (changes, answer.text)
    refusal = {"errors": [{"message": "This project takes no rows.", "extensions": {"code": "INVALID_REQUEST"}}]}
    httpx2.post(
        f"{world.url}/_sandbox/faults", json={"match": "addDataRowsToBatchAsync*", "json": refusal}
    ).raise_for_status()
    try:
        answer = client.post(_URL, data=fields)
    finally:
        httpx2.delete(f"{world.url}/_sandbox/faults").raise_for_status()
    assert answer.status_code == 502
    assert "This project takes no rows" in answer.text
    # What was begun is taken up by the next try.
    assert client.post(_URL, data=fields).status_code == 303
    wanted = set(ids(client, "split=test")) - {_GONE}
    assert list(batches(world, project).values()) == [len(wanted)]
    assert rows_of(project) == wanted


def test_a_wrong_key_is_told_and_not_shown(world: World, project: Any) -> None:
    with pages(world, key="another-key-entirely") as client:
        enter(client)
        answer = client.post(_URL, data=form(client) | {"project": project.uid})
    assert answer.status_code == 502
    assert "does not accept the API key" in answer.text
    assert "another-key-entirely" not in answer.text


def test_pages_without_labelbox_have_no_form_and_send_nothing(world: World, project: Any) -> None:
    with pages(world, key=None) as client:
        page = enter(client).get(f"/runs/{RUN}/rows").text
        assert "/rows/label" not in page
        csrf = re.search(r'name="csrf" value="([0-9a-f]{64})"', page)
        assert csrf is not None
        answer = client.post(_URL, data={"csrf": csrf[1], "project": project.uid, "most": "5"})
    assert answer.status_code == 400
    assert "send nothing to Labelbox" in answer.text
    assert batches(world, project) == {}
