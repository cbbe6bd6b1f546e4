"""The whole story as a customer lives it, with the real SDKs only, and a ``vmi serve`` that knows nothing of the test.

Create data rows, an ontology, labels, a model and a model run; upload a container as a Vertex model; press Train Model
by a signed POST; wait; export the predictions, and compare each confidence with what the container said.
"""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx2
import labelbox as lb
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage  # google-cloud-storage has no types
from tests.integration.fates.lab import Container, Lab, Scene, eventually, picture, radio
from tests.integration.fates.serving import Server, serving

TOML = """
[models."story reader"]
batch_size = 3

[models."by url"]
container = "{container}/predict"
task = "image-classification"
threshold = 0.25
instance = {{ uri = "{{uri}}", key = "{{key}}" }}

[models."story boxes"]
task = "image-object-detection"
"""

READER, ENDPOINT, BY_URL, BOXES = "story reader", "story endpoint (endpoint)", "by url", "story boxes"
PETS = ("cat", "dog", "bird", "fish")
ORDER = ["EXPORTING_DATA", "PREPARING_DATA", "TRAINING_MODEL", "COMPLETE"]


class Said:
    """The container's models; remembers what it said of what."""

    def __init__(self) -> None:
        self.of: dict[str, Any] = {}

    def __call__(self, instance: dict[str, Any]) -> Any:
        if "text" in instance:
            assert set(instance) == {"text"}, "the key must not reach the model"
            number = int(instance["text"].rsplit(" ", 1)[-1])
            self.of[instance["text"]] = number / 9
            return {"displayNames": ["good", "bad"], "confidences": [number / 9, 0.0]}
        if "uri" in instance:
            scores = {pet: n * len(instance["key"]) % 7 / 10 for n, pet in enumerate(PETS)}
            self.of[instance["key"]] = scores
            return [{"label": pet, "score": score} for pet, score in scores.items()]
        boxes = [
            {"label": "sign", "score": 0.0, "box": {"xmin": 1, "ymin": 2, "xmax": 11, "ymax": 22}, "text": "STOP é"},
            {"label": "sign", "score": 0.625, "box": {"xmin": 5, "ymin": 5, "xmax": 35, "ymax": 25}, "text": "GO"},
        ]
        self.of[instance["content"]] = boxes
        return boxes


@pytest.fixture(scope="module")
def said(container: Container) -> Said:
    model = Said()
    container.answer = model
    return model


@pytest.fixture(scope="module")
def server(lab: Lab, container: Container, said: Said, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    lab.upload(container, READER)
    lab.upload(container, BOXES)
    model = lab.upload(container, "story endpoint model", labels={"vmi-decoder": "displaynames"})
    endpoint = model.deploy(deployed_model_display_name="story", machine_type="n1-standard-2", min_replica_count=1)
    endpoint.update(display_name="story endpoint")
    folder = tmp_path_factory.mktemp("serve")
    (folder / "vmi.toml").write_text(TOML.format(container=container.url))
    with serving(folder, lab.config.environment()) as started:
        menu = eventually(lambda: {READER, ENDPOINT, BY_URL, BOXES} <= set(started.menu()))
        assert menu
        yield started
    assert started.process.returncode == 0


def run_and_watch(lab: Lab, server: Server, scene: Scene, option: str) -> dict[str, Any]:
    """Press Train Model and look on until the run has ended; gives the last look."""
    # Each status stays for a moment, so that an onlooker sees it.
    lab.fault(match="setPipelineStatus*", times=0, delay_s=0.15)
    try:
        answer = server.press(scene.model.uid, scene.run.uid, option)
        assert answer.status_code == 200, answer.text
        assert answer.json()["joined"] is False
        again = server.press(scene.model.uid, scene.run.uid, option)
        assert again.json() == {"runId": answer.json()["runId"], "joined": True}
        seen: list[str] = []
        last: dict[str, Any] = {}

        def ended() -> bool:
            last.update(scene.glance())
            if last["status"] and (not seen or seen[-1] != last["status"]):
                seen.append(last["status"])
            return last["status"] in ("COMPLETE", "FAILED")

        eventually(ended, 90)
    finally:
        lab.labelbox.delete("/_sandbox/faults").raise_for_status()
    # A fresh model run may show its first state for a moment before we say anything.
    assert [status for status in seen if status in ORDER] == ORDER, (seen, last["error_message"])
    metadata = last["metadata"]
    assert metadata["vmi_run"] == answer.json()["runId"]
    assert metadata["vmi_model"] == option
    assert metadata["vmi_rows"] == len(scene.keys)
    # The run's URL leads somewhere.
    opened = httpx2.get(metadata["vmi_run_url"], trust_env=False)
    assert (opened.status_code, opened.json()["run_id"]) == (200, answer.json()["runId"])
    assert set(metadata["vmi_progress"].values()) == {len(scene.keys)}
    return last


def same(answer: dict[str, Any], name: str, confidence: float) -> None:
    """The exported answer is what the model said; confidences are sent to 6 places, 0.0 is 0.0."""
    assert answer["name"] == name
    assert answer["confidence"] == round(confidence, 6)
    assert isinstance(answer["confidence"], float)


def text_scene(lab: Lab, name: str, mark: str) -> tuple[Scene, list[str]]:
    rows: dict[str, str | dict[str, Any]] = {f"{name}-{mark}-{n}": f"the {name} text {n}" for n in range(10)}
    scene = lab.scene(rows, classifications=[radio("mood", "good", "bad")], media_type=lb.MediaType.Text)
    return scene, list(rows)


def test_batch_by_key_from_data_rows_to_predictions(lab: Lab, server: Server, said: Said) -> None:
    mark = uuid.uuid4().hex[:8]
    scene, keys = text_scene(lab, "batch", mark)
    # Ground truth and splits, as a labeling team has them.
    project = lab.client.create_project(name=f"story {mark}", media_type=lb.MediaType.Text)
    project.connect_ontology(lab.client.get_ontology(scene.model.ontology_id))
    project.create_batch(f"batch {mark}", global_keys=keys)
    labels = [
        {"uuid": str(uuid.uuid4()), "dataRow": {"globalKey": key}, "name": "mood", "answer": {"name": "good"}}
        for key in keys
    ]
    job = lb.LabelImport.create_from_objects(lab.client, project.uid, f"labels {mark}", labels)
    job.wait_till_done(sleep_time_seconds=1)
    assert job.errors == []
    scene.run.upsert_labels(project_id=project.uid)
    scene.run.assign_data_rows_to_split(global_keys=keys[:7], split="TRAINING")
    scene.run.assign_data_rows_to_split(global_keys=keys[7:], split="TEST")

    last = run_and_watch(lab, server, scene, READER)
    assert last["metadata"]["vmi_outcomes"] == {"predicted": 10, "empty": 0, "skipped": 0, "failed": 0}
    assert last["error_message"] in (None, "")
    for n, (key, [answer]) in enumerate(scene.predictions().items()):
        assert answer["name"] == "mood"
        same(answer["radio_answer"], "good", said.of[f"the batch text {n}"])
        assert key == keys[n]
    exported = scene.export()
    assert exported[keys[0]]["experiments"][scene.model.uid]["runs"][scene.run.uid]["labels"], "labels are untouched"
    lines = outcome_files(lab, last["metadata"]["vmi_run"])
    assert {line["global_key"]: line["status"] for line in lines} == dict.fromkeys(keys, "predicted")


def outcome_files(lab: Lab, run_id: str) -> list[dict[str, Any]]:
    """The run's outcomes, with Google's SDK from the bucket."""
    client: Any = storage.Client(
        project="sandbox",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": lab.config.storage_url},
    )
    try:
        blobs = client.list_blobs("vmi-sandbox", prefix=f"runs/{run_id}/outcomes/")
        return [json.loads(line) for blob in blobs for line in blob.download_as_bytes().splitlines()]
    finally:
        client.close()


def test_online_by_an_endpoint(lab: Lab, server: Server, said: Said) -> None:
    scene, _ = text_scene(lab, "online", uuid.uuid4().hex[:8])
    run_and_watch(lab, server, scene, ENDPOINT)
    for n, [answer] in enumerate(scene.predictions().values()):
        same(answer["radio_answer"], "good", said.of[f"the online text {n}"])


def upload_pictures(lab: Lab, name: str, count: int) -> dict[str, str | dict[str, Any]]:
    """Pictures of 40 x 30 in the bucket; global key -> its URI."""
    client: Any = storage.Client(
        project="sandbox",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": lab.config.storage_url},
    )
    mark = uuid.uuid4().hex[:8]
    rows: dict[str, str | dict[str, Any]] = {}
    try:
        for n in range(count):
            path = f"story/{mark}/{n}.png"
            client.bucket("vmi-sandbox").blob(path).upload_from_file(io.BytesIO(picture(n)), content_type="image/png")
            rows[f"{name}-{mark}-{n}"] = f"gs://vmi-sandbox/{path}"
    finally:
        client.close()
    return rows


def test_a_plain_container_and_a_checklist_with_a_threshold(lab: Lab, server: Server, said: Said) -> None:
    rows = upload_pictures(lab, "pets", 6)
    scene = lab.scene(rows, classifications=[radio("pets", *PETS, kind="checklist")])
    run_and_watch(lab, server, scene, BY_URL)
    for key, [answer] in scene.predictions().items():
        given = {item["name"]: item["confidence"] for item in answer["checklist_answers"]}
        wanted = {pet: score for pet, score in said.of[scene.ids[key]].items() if score >= 0.25}
        assert given == wanted
        assert 0 < len(given) < len(PETS), "the threshold must matter"


def test_boxes_with_a_nested_text(lab: Lab, server: Server, said: Said) -> None:
    rows = upload_pictures(lab, "signs", 4)
    tool = {
        "tool": "rectangle",
        "name": "sign",
        "color": "#ff0000",
        "classifications": [{"type": "text", "name": "writing", "instructions": "writing", "options": []}],
    }
    scene = lab.scene(rows, tools=[tool])
    last = run_and_watch(lab, server, scene, BOXES)
    assert last["metadata"]["vmi_annotations"] == 8
    for key, found in scene.predictions().items():
        got = [
            (
                item["name"],
                item["confidence"],
                item["bounding_box"],
                item["classifications"][0]["text_answer"]["content"],
                item["classifications"][0]["text_answer"]["confidence"],
            )
            for item in sorted(found, key=lambda item: item["confidence"])
        ]
        assert got == [
            ("sign", 0.0, {"left": 1, "top": 2, "width": 10, "height": 20}, "STOP é", 0.0),
            ("sign", 0.625, {"left": 5, "top": 5, "width": 30, "height": 20}, "GO", 0.625),
        ], key
        assert said.of[str(rows[key])][0]["score"] == 0.0


def test_nothing_unexpected_is_in_the_log(server: Server) -> None:
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "sandbox-key" not in log
    assert server.secret not in log
