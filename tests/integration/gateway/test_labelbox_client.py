"""Our Labelbox client against the sandbox, whose data is made with the real SDK."""

from __future__ import annotations

import json
import socket
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from vertex_model_inference.errors import LabelboxError, NotFoundError, SettingsError, UploadRefusedError
from vertex_model_inference.labelbox.client import LabelboxClient
from vertex_model_inference.labelbox.exports import labels_of, parse_export_row
from vertex_model_inference.labelbox.gateway import ExportChunk, ImportPlace, Labelbox
from vertex_model_inference.labelbox.lookup import ModelRunLookup
from vertex_model_inference.rows import MediaType, Split
from vertex_model_inference.sandbox.child import run_in_thread
from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.labelbox.app import create_app
from vertex_model_inference.settings import Settings, load

ROWS = 23
KEY = "the-only-key"


class World(NamedTuple):
    settings: Settings
    url: str
    model_id: str
    model_name: str
    ontology_id: str
    run_id: str
    run_name: str

    @property
    def place(self) -> ImportPlace:
        return ImportPlace("model-run", self.run_id)


def settings_for(url: str, folder: Path, key: str = KEY) -> Settings:
    return load({"LABELBOX_API_KEY": key, "VMI_LABELBOX_URL": url, "VMI_DATA_DIR": str(folder)}, folder)


@pytest.fixture(scope="module", params=["accept"])
def world(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[World]:
    from labelbox import Client
    from labelbox.schema.media_type import MediaType as SdkMediaType

    folder = tmp_path_factory.mktemp("labelbox")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        config = SandboxConfig(
            state=folder,
            labelbox_port=sock.getsockname()[1],
            storage_port=1,
            vertex_port=1,
            api_key=KEY,
            prediction_imports=request.param,
        )
        with run_in_thread(create_app(config), sock):
            url = config.labelbox_url
            put_settings(url, export_lines_per_file=5, import_seconds=0.3)
            sdk = Client(KEY, f"{url}/graphql", enable_experimental=True, rest_endpoint=f"{url}/api/v1")
            dataset = sdk.create_dataset(name="texts")
            task = dataset.create_data_rows(
                [
                    {"row_data": f"text {n} \u2028 ü", "global_key": f"key-{n}", "media_type": "TEXT"}
                    for n in range(ROWS)
                ]
            )
            task.wait_till_done()
            ontology = sdk.create_ontology("ontology", ONTOLOGY, media_type=SdkMediaType.Text)
            model = sdk.create_model("the model", ontology.uid)
            run = model.create_model_run("the run")
            run.upsert_data_rows(global_keys=[f"key-{n}" for n in range(ROWS)])
            run.assign_data_rows_to_split(split="TEST", global_keys=["key-0", "key-1"])
            sdk._request_client._connection.close()
            settings = settings_for(url, folder)
            yield World(settings, url, model.uid, "the model", ontology.uid, run.uid, "the run")


ONTOLOGY: dict[str, Any] = {
    "tools": [],
    "classifications": [
        {
            "type": "radio",
            "name": "mood",
            "instructions": "mood",
            "required": False,
            "options": [
                {"label": "Good", "value": "good", "options": []},
                {
                    "label": "Bad",
                    "value": "bad",
                    "options": [
                        {"type": "text", "name": "why", "instructions": "why", "required": False, "options": []}
                    ],
                },
            ],
        }
    ],
}


@pytest.fixture
def client(world: World) -> Iterator[LabelboxClient]:
    with LabelboxClient(world.settings) as client:
        as_protocol: Labelbox = client
        assert as_protocol is client
        yield client


@pytest.fixture(autouse=True)
def _no_faults_left(world: World) -> Iterator[None]:
    yield
    httpx2.delete(f"{world.url}/_sandbox/faults")


def put_settings(url: str, **values: Any) -> None:
    httpx2.put(f"{url}/_sandbox/settings", json=values).raise_for_status()


def fault(world: World, match: str, **rule: Any) -> None:
    httpx2.post(f"{world.url}/_sandbox/faults", json={"match": match, **rule}).raise_for_status()


def fired(world: World) -> int:
    return sum(rule["fired"] for rule in httpx2.get(f"{world.url}/_sandbox/faults").json()["faults"])


def export(client: LabelboxClient, world: World) -> tuple[str, list[ExportChunk]]:
    task = client.start_export(world.run_id, "e")
    assert client.wait_export(task, 30).total_lines == ROWS
    return task, list(client.export_chunks(task))


def prediction(row_id: str, answer: str = "good") -> dict[str, Any]:
    return {
        "uuid": str(uuid.uuid4()),
        "dataRow": {"id": row_id},
        "name": "mood",
        "answer": {"name": answer, "confidence": 0.0},
    }


def ndjson(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def row_ids(client: LabelboxClient, world: World) -> list[str]:
    task, chunks = export(client, world)
    return [parse_export_row(line, world.run_id).id for c in chunks for line in client.read_chunk(task, c)]


def test_the_model_run_and_its_ontology(client: LabelboxClient, world: World) -> None:
    run = client.model_run(world.run_id)
    assert (run.name, run.model_id, run.model_name, run.ontology_id) == (
        world.run_name,
        world.model_id,
        world.model_name,
        world.ontology_id,
    )
    (mood,) = client.ontology(run.ontology_id).classifications
    assert (mood.kind, mood.name) == ("radio", "mood")
    assert [(option.name, option.label) for option in mood.options] == [("good", "Good"), ("bad", "Bad")]
    (why,) = mood.options[1].classifications
    assert (why.kind, why.name) == ("text", "why")
    assert len(why.feature_schema_id) == 25


def test_what_does_not_exist_is_named(client: LabelboxClient) -> None:
    with pytest.raises(NotFoundError, match="no model run clnope") as caught:
        client.model_run("clnope")
    assert caught.value.hint
    with pytest.raises(NotFoundError, match="no ontology clnope"):
        client.ontology("clnope")
    with pytest.raises(NotFoundError, match="no model run clnope"):
        client.set_status("clnope", "COMPLETE")


def test_a_wrong_key_is_said_and_not_shown(world: World, tmp_path: Path) -> None:
    wrong = settings_for(world.url, tmp_path, "a-wrong-key")
    with LabelboxClient(wrong) as client, pytest.raises(LabelboxError, match="LABELBOX_API_KEY") as caught:
        client.model_run(world.run_id)
    assert caught.value.error_code == "labelbox_auth"
    assert not caught.value.retryable
    assert "a-wrong-key" not in str(caught.value)
    with pytest.raises(SettingsError, match="LABELBOX_API_KEY"):
        LabelboxClient(load({}, tmp_path))


def test_nothing_there_is_retryable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vertex_model_inference.labelbox.retry.ATTEMPTS", 2)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # not listening: connections are refused
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        silent = settings_for(url, tmp_path)
        with LabelboxClient(silent) as client, pytest.raises(LabelboxError, match="did not answer") as caught:
            client.model_run("x")
    assert (caught.value.error_code, caught.value.retryable) == ("labelbox_unavailable", True)
    assert url in str(caught.value)


def test_status_and_metadata_reach_labelbox(client: LabelboxClient, world: World) -> None:
    client.set_status(world.run_id, "TRAINING_MODEL", metadata={"rows": 3})
    client.set_status(world.run_id, "FAILED", error_message="It is so.", metadata={"url": "u"})
    query = (
        "query trainingPipelinePyApi($modelRunId: ID!){trainingPipeline(where: {id : $modelRunId})"
        "{status, errorMessage, metadata}}"
    )
    answer = client._connection.execute(query, {"modelRunId": world.run_id}, experimental=True)
    assert answer is not None
    assert answer["trainingPipeline"] == {
        "status": "FAILED",
        "errorMessage": "It is so.",
        "metadata": {"rows": 3, "url": "u"},
    }


def test_the_export_comes_whole_in_files(client: LabelboxClient, world: World) -> None:
    task, chunks = export(client, world)
    assert [(c.first_line, c.last_line) for c in chunks] == [(0, 4), (5, 9), (10, 14), (15, 19), (20, 22)]
    lines = [line for chunk in chunks for line in client.read_chunk(task, chunk)]
    rows = [parse_export_row(line, world.run_id) for line in lines]
    assert {row.global_key for row in rows} == {f"key-{n}" for n in range(ROWS)}
    assert {row.row_data for row in rows} == {f"text {n} \u2028 ü" for n in range(ROWS)}
    assert {row.media_type for row in rows} == {MediaType.TEXT}
    assert {row.global_key for row in rows if row.split is Split.TEST} == {"key-0", "key-1"}
    assert all(labels_of(line, world.run_id) == () for line in lines)
    assert [c.start for c in client.export_chunks(task, chunks[3].start)] == [c.start for c in chunks[3:]]
    assert list(client.export_chunks(task, chunks[-1].end + 1)) == []


@pytest.mark.parametrize(
    "rule",
    [
        {"truncate": 700},
        {"truncate": 0},
        {"status": 500},
        {"status": 403},
        {"reset": True},
        {"status": 429, "headers": {"Retry-After": "0"}},
    ],
)
def test_a_broken_download_goes_on_where_it_was(client: LabelboxClient, world: World, rule: dict[str, Any]) -> None:
    task, chunks = export(client, world)
    whole = [line for chunk in chunks for line in client.read_chunk(task, chunk)]
    path = httpx2.URL(chunks[1].url).path
    fault(world, path, method="GET", times=2, **rule)
    assert [line for chunk in chunks for line in client.read_chunk(task, chunk)] == whole
    assert fired(world) == 2


def test_an_unknown_export_is_expired(client: LabelboxClient) -> None:
    for call in (lambda: client.wait_export("nope", 1), lambda: list(client.export_chunks("nope"))):
        with pytest.raises(LabelboxError) as caught:
            call()
        assert (caught.value.error_code, caught.value.retryable) == ("export_expired", True)


@pytest.mark.parametrize(
    "rule",
    [
        {"status": 429, "json": {"message": "You have exceeded the limit"}, "headers": {"Retry-After": "0"}},
        {"status": 429, "body": "busy", "headers": {"Retry-After": "0"}},
        {"status": 503},
        {"status": 502, "body": "<html>"},
        {"reset": True},
        {"truncate": 10},
    ],
)
@pytest.mark.parametrize("operation", ["GetModelRunPyApi", "setPipelineStatusPyApi"])
def test_what_passes_is_tried_again(client: LabelboxClient, world: World, rule: dict[str, Any], operation: str) -> None:
    fault(world, operation, times=2, **rule)
    client.model_run(world.run_id)
    client.set_status(world.run_id, "PREPARING_DATA")
    assert fired(world) == 2


def test_retry_after_beyond_patience_is_not_waited_for(client: LabelboxClient, world: World) -> None:
    fault(world, "GetModelRunPyApi", times=0, status=429, body="busy", headers={"Retry-After": "3600"})
    with pytest.raises(LabelboxError) as caught:
        client.model_run(world.run_id)
    assert (caught.value.error_code, caught.value.retryable) == ("labelbox_limit", True)
    assert fired(world) == 1


def test_predictions_arrive_and_each_line_has_its_status(client: LabelboxClient, world: World) -> None:
    ids = row_ids(client, world)
    good = [prediction(row_id) for row_id in ids[:3]]
    bad = prediction(ids[3], "ugly")
    name = f"import {uuid.uuid4()}"
    assert client.find_import(world.place, name) is None
    started = client.start_import(world.place, name, ndjson(*good, bad))
    ended = client.wait_import(world.place, name, 30)
    assert (started.id, ended.state, ended.ended) == (ended.id, "FINISHED", True)
    assert client.find_import(world.place, name) == ended
    rows = {row.uuid: row for row in client.import_statuses(ended)}
    assert len(rows) == 4
    assert [rows[each["uuid"]].ok for each in [*good, bad]] == [True, True, True, False]
    assert [rows[each["uuid"]].data_row_id for each in good] == ids[:3]
    refusal = rows[bad["uuid"]].errors
    assert refusal
    assert "ugly" in refusal[0].message


def test_starting_again_joins(client: LabelboxClient, world: World) -> None:
    ids = row_ids(client, world)
    name = f"import {uuid.uuid4()}"
    first = client.start_import(world.place, name, ndjson(prediction(ids[0])))
    assert client.start_import(world.place, name, ndjson(prediction(ids[1]))).id == first.id
    ended = client.wait_import(world.place, name, 30)
    assert [row.data_row_id for row in client.import_statuses(ended)] == [ids[0]]


@pytest.mark.parametrize("rule", [{"truncate": 5}, {"status": 503}, {"reset": True}, {"status": 502, "body": "<html>"}])
def test_a_lost_answer_uploads_nothing_twice(client: LabelboxClient, world: World, rule: dict[str, Any]) -> None:
    ids = row_ids(client, world)
    name = f"import {uuid.uuid4()}"
    fault(world, "createMEAPredictionImportByFilePyApi", **rule)
    sent = prediction(ids[0])
    client.start_import(world.place, name, ndjson(sent))
    assert fired(world) == 1
    ended = client.wait_import(world.place, name, 30)
    assert [(row.uuid, row.ok) for row in client.import_statuses(ended)] == [(sent["uuid"], True)]


@pytest.mark.parametrize("rule", [{"truncate": 300}, {"status": 500}, {"status": 404}, {"reset": True}])
def test_statuses_come_once_each_in_spite_of_trouble(
    client: LabelboxClient, world: World, rule: dict[str, Any]
) -> None:
    sent = [prediction(row_id) for row_id in row_ids(client, world)]
    name = f"import {uuid.uuid4()}"
    client.start_import(world.place, name, ndjson(*sent))
    ended = client.wait_import(world.place, name, 30)
    assert ended.status_url is not None
    fault(world, httpx2.URL(ended.status_url).path, method="GET", times=2, **rule)
    counted = Counter(row.uuid for row in client.import_statuses(ended))
    assert counted == Counter(each["uuid"] for each in sent)
    assert fired(world) == 2


def test_an_unknown_import_is_named(client: LabelboxClient, world: World) -> None:
    with pytest.raises(LabelboxError, match="no import nope") as caught:
        client.wait_import(world.place, "nope", 1)
    assert (caught.value.error_code, caught.value.retryable) == ("import_unknown", True)


def test_an_import_that_takes_too_long_can_be_waited_for_again(client: LabelboxClient, world: World) -> None:
    put_settings(world.url, import_seconds=2)
    try:
        name = f"import {uuid.uuid4()}"
        client.start_import(world.place, name, ndjson(prediction(row_ids(client, world)[0])))
        with pytest.raises(LabelboxError) as caught:
            client.wait_import(world.place, name, 0.1)
        assert (caught.value.error_code, caught.value.retryable) == ("import_timeout", True)
        assert client.wait_import(world.place, name, 30).state == "FINISHED"
    finally:
        put_settings(world.url, import_seconds=0.3)


@pytest.mark.parametrize("world", ["deprecated"], indirect=True)
def test_the_deprecation_is_recognised_and_not_tried_again(client: LabelboxClient, world: World) -> None:
    with pytest.raises(UploadRefusedError, match="VMI_DESTINATION") as caught:
        client.start_import(world.place, "i", ndjson(prediction("x")))
    assert not caught.value.retryable
    assert "deprecated" in caught.value.message
    refusal = client.import_refusal()
    assert refusal is not None
    assert "has been deprecated" in refusal.message
    assert "VMI_FALLBACK" in str(refusal)


@pytest.mark.parametrize("rule", [None, {"status": 500, "times": 0}, {"status": 429, "times": 0}, {"reset": True}])
def test_asking_for_a_refusal_has_no_effect(client: LabelboxClient, world: World, rule: dict[str, Any] | None) -> None:
    imports = f"{world.url}/_sandbox/model_runs/{world.run_id}"
    before = httpx2.get(imports).json()["imports"]
    if rule is not None:
        fault(world, "createMEAPredictionImportByUrlPyApi", **rule)
    assert client.import_refusal() is None
    if rule is not None:
        assert fired(world) == 1  # asked once: another try would only take time
    assert httpx2.get(imports).json()["imports"] == before


def test_one_client_serves_many_threads(client: LabelboxClient, world: World) -> None:
    barrier = threading.Barrier(8)

    def ask(_: int) -> str:
        barrier.wait()
        return client.model_run(world.run_id).name

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {world.run_name}


async def _look(settings: Settings, *ids: str) -> list[bool | None]:
    assert settings.labelbox_api_key is not None
    lookup = ModelRunLookup(settings.labelbox_api_key, settings.labelbox_graphql)
    try:
        return [await lookup(each) for each in ids]
    finally:
        await lookup.close()


def test_the_light_lookup(world: World, tmp_path: Path) -> None:
    import asyncio

    assert asyncio.run(_look(world.settings, world.run_id, "clnope")) == [True, False]
    # The second time it is known, and Labelbox is not asked.
    fault(world, "GetModelRunPyApi", times=1, after=1, status=500)
    assert asyncio.run(_look(world.settings, world.run_id, world.run_id, "clnope")) == [True, True, None]
    assert asyncio.run(_look(settings_for(world.url, tmp_path, "a-wrong-key"), world.run_id)) == [None]
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        silent = settings_for(f"http://127.0.0.1:{sock.getsockname()[1]}", tmp_path)
        assert asyncio.run(_look(silent, world.run_id)) == [None]
