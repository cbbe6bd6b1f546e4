"""What becomes of a run when something fails for all of its rows, or when there is nothing to do."""

from __future__ import annotations

import io
import json
import uuid
from pathlib import Path
from typing import Any

import labelbox as lb
import pytest
from PIL import Image
from tests.integration.fates.lab import Assets, Container, Done, Lab, Scene, picture, radio

from vertex_model_inference.sandbox.datasets.bucket import Bucket
from vertex_model_inference.sandbox.datasets.material import ModelPlan
from vertex_model_inference.sandbox.datasets.registry import upload_model
from vertex_model_inference.sandbox.datasets.target import Target

METADATA = "gs://google-cloud-aiplatform/schema/model/metadata/automl_image_classification_1.0.0.yaml"


def texts(lab: Lab, count: int = 10) -> Scene:
    mark = uuid.uuid4().hex[:8]
    return lab.scene(
        {f"text-{mark}-{n:04d}": f"some text number {n}" for n in range(count)},
        classifications=[radio("tone", "kind", "rude")],
        media_type=lb.MediaType.Text,
    )


def kindness(instance: dict[str, Any]) -> Any:
    return [{"label": "kind", "score": 0.0}, {"label": "rude", "score": 0.0}]


@pytest.fixture
def polite(lab: Lab, container: Container, request: pytest.FixtureRequest) -> str:
    """A registered text classifier; the menu's name of it."""
    name = f"polite {request.node.name}"[:120]
    container.answer = kindness
    lab.upload(container, name)
    return name


def accounted(done: Done, scene: Scene) -> dict[str, int]:
    """Outcomes by code, after checking that they add up."""
    counts = done.finished.counts
    assert set(done.outcomes) == set(scene.keys)
    assert counts.ended == counts.exported == len(scene.keys)
    found: dict[str, int] = {}
    for outcome in done.outcomes.values():
        word = outcome.code or outcome.status.value
        found[word] = found.get(word, 0) + 1
    return found


def test_confidence_zero_is_a_prediction(lab: Lab, polite: str, tmp_path: Path) -> None:
    scene = texts(lab)
    done = lab.perform(scene, polite, tmp_path)
    assert accounted(done, scene) == {"predicted": 10}
    assert scene.glance()["error_message"] in (None, "")
    for [answer] in scene.predictions().values():
        assert (answer["radio_answer"]["name"], answer["radio_answer"]["confidence"]) == ("kind", 0.0)


def test_an_import_that_failed_as_a_whole_is_sent_again(lab: Lab, polite: str, tmp_path: Path) -> None:
    scene = texts(lab)
    gave_up = {
        "id": "x" * 25,
        "modelRunId": scene.run.uid,
        "name": "lost",
        "state": "FAILED",
        "progress": "0%",
        "inputFileUrl": None,
        "statusFileUrl": None,
        "errorFileUrl": None,
    }
    lab.fault(
        match="createMEAPredictionImportByFile*",
        json={"data": {"createModelErrorAnalysisPredictionImport": gave_up}},
    )
    done = lab.perform(scene, polite, tmp_path)
    assert accounted(done, scene) == {"predicted": 10}
    assert done.finished.state == "COMPLETE"
    [sent] = scene.glance()["imports"]
    assert (sent["name"].endswith("-r1"), sent["succeeded"], sent["failed"]) == (True, 10, 0)


def test_an_import_that_always_fails_is_the_fate_of_its_rows(lab: Lab, polite: str, tmp_path: Path) -> None:
    scene = texts(lab)
    gave_up = {"id": "x" * 25, "modelRunId": scene.run.uid, "name": "lost", "state": "FAILED", "progress": "0%"}
    lab.fault(
        match="createMEAPredictionImportByFile*",
        times=0,
        json={"data": {"createModelErrorAnalysisPredictionImport": gave_up}},
    )
    done = lab.perform(scene, polite, tmp_path)
    assert accounted(done, scene) == {"import_failed": 10}
    assert {outcome.step for outcome in done.outcomes.values()} == {"upload"}
    assert all(outcome.retryable for outcome in done.outcomes.values())
    assert done.finished.state == "FAILED"
    assert "gave up the import" in scene.glance()["error_message"]


def test_a_job_that_fails_says_why(lab: Lab, polite: str, tmp_path: Path) -> None:
    scene = texts(lab)
    lab.mischief(end_state="FAILED", stop_after=0, message="The machines are on strike.")
    done = lab.perform(scene, polite, tmp_path)
    assert accounted(done, scene) == {"job_failed": 10}
    outcome = done.outcomes[scene.keys[0]]
    assert (outcome.step, outcome.retryable) == ("predict", True)
    assert "FAILED" in str(outcome.message)
    assert "The machines are on strike." in str(outcome.message)
    assert done.finished.state == "FAILED"
    glance = scene.glance()
    assert glance["status"] == "FAILED"
    assert "job_failed 10" in glance["error_message"]
    assert "The machines are on strike." in glance["error_message"]


def test_a_job_that_stops_half_way_keeps_what_it_has(lab: Lab, polite: str, tmp_path: Path) -> None:
    scene = texts(lab)
    lab.mischief(stop_after=6)
    done = lab.perform(scene, polite, tmp_path)
    assert accounted(done, scene) == {"predicted": 6, "job_failed": 4}
    assert done.finished.state == "COMPLETE"
    assert "6 of 10 data rows predicted, 4 failed (job_failed 4)" in scene.glance()["error_message"]
    [message] = {outcome.message for outcome in done.outcomes.values() if outcome.code}
    assert "PARTIALLY_SUCCEEDED" in str(message)
    assert sum(bool(found) for found in scene.predictions().values()) == 6


def test_a_job_that_is_refused_says_so(lab: Lab, polite: str, tmp_path: Path) -> None:
    scene = texts(lab)
    lab.vertex.post(
        "/_sandbox/faults",
        json={
            "match": "*/batchPredictionJobs",
            "method": "POST",
            "times": 0,
            "status": 403,
            "json": {"error": {"code": 403, "message": "no permission to create jobs", "status": "PERMISSION_DENIED"}},
        },
    ).raise_for_status()
    try:
        done = lab.perform(scene, polite, tmp_path)
    finally:
        lab.vertex.delete("/_sandbox/faults").raise_for_status()
    assert accounted(done, scene) == {"vertex": 10}
    assert done.finished.state == "FAILED"
    for words in ("no permission to create jobs", "roles/aiplatform.user"):
        assert words in scene.glance()["error_message"]


def test_nothing_found_in_any_row_is_complete(lab: Lab, polite: str, container: Container, tmp_path: Path) -> None:
    container.answer = lambda _: []
    scene = texts(lab)
    done = lab.perform(scene, polite, tmp_path)
    assert accounted(done, scene) == {"empty": 10}
    assert done.finished.state == "COMPLETE"
    assert done.finished.message == "0 of 10 data rows predicted, 10 empty."


def test_answers_of_no_known_form(lab: Lab, polite: str, container: Container, tmp_path: Path) -> None:
    container.answer = lambda _: {"logits": [0.1, 0.2]}
    scene = texts(lab)
    done = lab.perform(scene, polite, tmp_path)
    assert accounted(done, scene) == {"unknown_output": 10}
    assert done.finished.state == "FAILED"
    for words in ("logits", "vmi.toml"):
        assert words in scene.glance()["error_message"]


def test_a_run_without_rows(lab: Lab, polite: str, tmp_path: Path) -> None:
    scene = lab.scene({}, classifications=[radio("tone", "kind", "rude")])
    done = lab.perform(scene, polite, tmp_path)
    assert done.finished.state == "FAILED"
    assert done.finished.counts.exported == 0
    assert "no data rows" in scene.glance()["error_message"]


def test_files_as_the_only_destination(lab: Lab, polite: str, tmp_path: Path) -> None:
    scene = texts(lab)
    done = lab.perform(scene, polite, tmp_path, VMI_DESTINATION="files")
    assert accounted(done, scene) == {"predicted": 10}
    assert done.finished.state == "COMPLETE"
    glance = scene.glance()
    assert (glance["status"], glance["imports"]) == ("COMPLETE", [])
    assert len(kept(lab, done)) == 10


def kept(lab: Lab, done: Done) -> list[dict[str, Any]]:
    """The prediction files of a run, read with Google's SDK."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage  # google-cloud-storage has no types

    client: Any = storage.Client(
        project="sandbox",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": lab.config.storage_url},
    )
    try:
        lines: list[dict[str, Any]] = []
        for blob in client.list_blobs("vmi-sandbox", prefix=f"runs/{done.run_id}/predictions/"):
            lines += [json.loads(line) for line in blob.download_as_bytes().splitlines()]
        return lines
    finally:
        client.close()


def test_what_automl_cannot_read_is_skipped(lab: Lab, container: Container, assets: Assets, tmp_path: Path) -> None:
    environment = Target.of(lab.config.environment())
    plan = ModelPlan(
        display_name="automl tones",
        description="",
        image=container.url,
        metadata_schema_uri=METADATA,
    )
    upload_model(plan, environment, Bucket(environment))
    container.answer = lambda _: {"ids": ["1"], "displayNames": ["light"], "confidences": [0.75]}
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PPM")
    rows: dict[str, str | dict[str, Any]] = {
        "automl-png": assets.put("automl.png", picture(9)),
        "automl-same": assets.put("automl-same.png", picture(9)),  # the same bytes: one instance for both
        "automl-ppm": assets.put("automl.ppm", out.getvalue()),
    }
    scene = lab.scene(rows, classifications=[radio("tone", "light", "dark")])
    done = lab.perform(scene, "automl tones", tmp_path)
    assert done.fate("automl-ppm") == ("skipped", "assets", "unsupported_type")
    assert "png" in str(done.outcomes["automl-ppm"].message)
    assert done.fate("automl-png")[0] == done.fate("automl-same")[0] == "predicted"
    assert len(container.seen) == 1
    found = scene.predictions()
    for key in ("automl-png", "automl-same"):
        assert found[key][0]["radio_answer"]["confidence"] == 0.75
