"""The first rows go the whole way before the rest is launched, and stop it where all would go wrong."""

from __future__ import annotations

import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import labelbox as lb
import pytest
from tests.integration.fates.lab import Container, Done, Lab, Scene, radio

DEPRECATED = {
    "errors": [
        {
            "message": "9 FAILED_PRECONDITION: MEA prediction import has been deprecated",
            "extensions": {"code": "INTERNAL_SERVER_ERROR"},
        }
    ],
    "data": None,
}
ROWS = 30
CANARY = {"VMI_CANARY_ROWS": "6", "VMI_SHARD_ROWS": "10"}


@pytest.fixture
def scene(lab: Lab) -> Scene:
    mark = uuid.uuid4().hex[:8]
    return lab.scene(
        {f"text-{mark}-{n:04d}": f"some text number {n}" for n in range(ROWS)},
        classifications=[radio("tone", "kind", "rude")],
        media_type=lb.MediaType.Text,
    )


@pytest.fixture
def toml(container: Container) -> str:
    return f'[models."polite"]\ncontainer = "{container.url}/predict"\n'


def kind(_: dict[str, Any]) -> Any:
    return [{"label": "kind", "score": 0.75}, {"label": "rude", "score": 0.25}]


def codes(done: Done) -> Counter[str]:
    """Outcomes by code, after checking that they add up to the export."""
    counts = done.finished.counts
    assert counts.ended == counts.exported == len(done.outcomes) == ROWS
    return Counter(outcome.code or outcome.status.value for outcome in done.outcomes.values())


def test_a_good_canary_launches_the_rest_and_nothing_happens_twice(
    lab: Lab, scene: Scene, container: Container, toml: str, tmp_path: Path
) -> None:
    container.answer = kind
    done = lab.perform(scene, "polite", tmp_path, toml, **CANARY)
    assert codes(done) == {"predicted": ROWS}
    assert (done.finished.state, done.finished.message) == ("COMPLETE", "30 of 30 data rows predicted.")
    assert sorted(Counter(instance["text"] for instance in container.seen).values()) == [1] * ROWS
    glance = scene.glance()
    assert glance["counts"]["predictions"] == glance["counts"]["predicted_data_rows"] == ROWS
    assert next(each["succeeded"] for each in glance["imports"]) == 6  # the canary's own, before all others
    assert sum(each["succeeded"] for each in glance["imports"]) == ROWS


def test_answers_of_no_known_form_cost_six_rows(
    lab: Lab, scene: Scene, container: Container, toml: str, tmp_path: Path
) -> None:
    container.answer = lambda _: {"logits": [0.125, 0.25]}
    done = lab.perform(scene, "polite", tmp_path, toml, **CANARY)
    assert codes(done) == {"unknown_output": 6, "canary": ROWS - 6}
    assert len(container.seen) == 6
    assert done.finished.state == "FAILED"
    left = done.outcomes[scene.keys[-1]]
    assert (left.step, left.retryable) == ("canary", True)
    for words in ("first 6 rows", "logits"):
        assert words in str(left.message)
    glance = scene.glance()
    assert glance["status"] == "FAILED"
    for words in ("stopped at its canary", '{"logits":[0.125,0.25]}', "vmi.toml", "24 data rows were not sent"):
        assert words in glance["error_message"]
    assert "unknown_output" not in done.finished.message


def test_classes_that_fit_no_feature_stop_the_run(
    lab: Lab, scene: Scene, container: Container, toml: str, tmp_path: Path
) -> None:
    container.answer = lambda _: [{"label": "zebra", "score": 0.75}]
    done = lab.perform(scene, "polite", tmp_path, toml, **CANARY)
    assert codes(done) == {"unmapped": 6, "canary": ROWS - 6}
    for words in ("zebra", "at match", '"score":0.75'):
        assert words in done.finished.message


def test_a_model_that_answers_errors_stops_the_run(
    lab: Lab, scene: Scene, container: Container, toml: str, tmp_path: Path
) -> None:
    container.answer = lambda _: {"error": {"code": 3, "message": "the tokenizer is missing"}}
    done = lab.perform(scene, "polite", tmp_path, toml, **CANARY)
    assert codes(done) == {"model_error": 6, "canary": ROWS - 6}
    assert "the tokenizer is missing" in done.finished.message


def test_one_good_row_is_enough(lab: Lab, scene: Scene, container: Container, toml: str, tmp_path: Path) -> None:
    def answer(instance: dict[str, Any]) -> Any:
        number = int(instance["text"].rsplit(" ", 1)[-1])
        return kind(instance) if number in (3, 20) else [{"label": "zebra", "score": 0.75}]

    container.answer = answer
    done = lab.perform(scene, "polite", tmp_path, toml, **CANARY)
    assert codes(done) == {"predicted": 2, "unmapped": ROWS - 2}
    assert done.finished.state == "COMPLETE"


def test_nothing_found_stops_the_run_and_says_how_to_go_on(
    lab: Lab, scene: Scene, container: Container, toml: str, tmp_path: Path
) -> None:
    container.answer = lambda _: []
    done = lab.perform(scene, "polite", tmp_path, toml, **CANARY)
    assert codes(done) == {"empty": 6, "canary": ROWS - 6}
    for words in ("found nothing in any of 6", 'canary_empty = "go"', "The model answered: []. 24 data rows"):
        assert words in done.finished.message
    (tmp_path / "again").mkdir()
    again = lab.perform(scene, "polite", tmp_path / "again", f'{toml}canary_empty = "go"\n', **CANARY)
    assert codes(again) == {"empty": ROWS}
    assert again.finished.state == "COMPLETE"


def test_what_was_found_and_dropped_is_told_from_nothing(
    lab: Lab, scene: Scene, container: Container, toml: str, tmp_path: Path
) -> None:
    container.answer = kind
    done = lab.perform(scene, "polite", tmp_path, f"{toml}threshold = 0.9\n", **CANARY)
    assert codes(done) == {"empty": 6, "canary": ROWS - 6}
    for words in ("'kind' 6", "threshold", '"label":"kind"'):
        assert words in done.finished.message


def test_a_refused_upload_stops_the_run(
    lab: Lab, scene: Scene, container: Container, toml: str, tmp_path: Path
) -> None:
    """The refusal of the import itself, which the question before the export did not bring to light."""
    container.answer = kind
    lab.fault(match="createMEAPredictionImportByFile*", times=0, json=DEPRECATED)
    done = lab.perform(scene, "polite", tmp_path, toml, **CANARY)
    assert codes(done) == {"upload_refused": 6, "canary": ROWS - 6}
    assert len(container.seen) == 6
    for words in ("has been deprecated", "VMI_FALLBACK", "VMI_DESTINATION"):
        assert words in scene.glance()["error_message"]


def test_a_refused_upload_takes_the_fallback(
    lab: Lab, scene: Scene, container: Container, toml: str, tmp_path: Path
) -> None:
    container.answer = kind
    lab.fault(match="createMEAPredictionImportByFile*", times=0, json=DEPRECATED)
    done = lab.perform(scene, "polite", tmp_path, toml, VMI_FALLBACK="files", **CANARY)
    assert codes(done) == {"predicted": ROWS}
    assert {outcome.delivered for outcome in done.outcomes.values()} == {("files",)}
    assert done.finished.state == "COMPLETE"
    glance = scene.glance()
    assert (glance["status"], glance["imports"]) == ("COMPLETE", [])
    for words in (f"runs/{done.run_id}/predictions", "has been deprecated"):
        assert words in glance["error_message"]


def test_no_canary_where_none_is_wanted_or_worth_it(
    lab: Lab, scene: Scene, container: Container, toml: str, tmp_path: Path
) -> None:
    container.answer = lambda _: {"logits": [0.1]}
    for number, rows in enumerate(("0", "16")):  # more than half of all rows
        (tmp_path / str(number)).mkdir()
        done = lab.perform(scene, "polite", tmp_path / str(number), toml, VMI_CANARY_ROWS=rows)
        assert codes(done) == {"unknown_output": ROWS}


def test_rows_that_never_reach_the_model_tell_nothing_of_it(
    lab: Lab, container: Container, toml: str, tmp_path: Path
) -> None:
    mark = uuid.uuid4().hex[:8]
    rows = {f"text-{mark}-{n:04d}": "http://10.1.2.3/private.txt" if n < 8 else f"text {n}" for n in range(ROWS)}
    items = {key: {"row_data": data, "media_type": "TEXT"} for key, data in rows.items()}
    scene = lab.scene(items, classifications=[radio("tone", "kind", "rude")], media_type=lb.MediaType.Text)
    container.answer = kind
    done = lab.perform(scene, "polite", tmp_path, toml, **CANARY)
    assert codes(done) == {"asset_private_address": 8, "predicted": ROWS - 8}


def test_a_batch_model_without_an_endpoint_tries_a_small_job(
    lab: Lab, scene: Scene, container: Container, tmp_path: Path
) -> None:
    container.answer = kind
    lab.upload(container, "polite in jobs")
    done = lab.perform(scene, "polite in jobs", tmp_path, **CANARY)
    assert codes(done) == {"predicted": ROWS}
    assert jobs(lab, done) == [6, 24]


def test_a_batch_model_with_an_endpoint_tries_that(
    lab: Lab, scene: Scene, container: Container, tmp_path: Path
) -> None:
    container.answer = kind
    model = lab.upload(container, "polite and deployed")
    endpoint = model.deploy(machine_type="n1-standard-2", sync=True)
    try:
        done = lab.perform(scene, "polite and deployed", tmp_path, **CANARY)
    finally:
        endpoint.undeploy_all()
    assert codes(done) == {"predicted": ROWS}
    assert jobs(lab, done) == [24]
    assert sorted(Counter(instance["text"] for instance in container.seen).values()) == [1] * ROWS
    assert {tuple(sorted(instance)) for instance in container.seen} == {("text",)}  # the same instances both ways


def jobs(lab: Lab, done: Done) -> list[int]:
    """Instances of each of the run's jobs."""
    found = lab.vertex.get("/_sandbox/jobs").raise_for_status().json()["jobs"]
    return sorted(job["sent"] for job in found if done.run_id in job["displayName"])
