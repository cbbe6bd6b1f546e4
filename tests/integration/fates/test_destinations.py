"""Where predictions go: model run, project, files, any of them together, and elsewhere when one is refused."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import labelbox as lb
import pytest
from labelbox.schema.annotation_import import MALPredictionImport
from tests.integration.fates.lab import Container, Done, Lab, Scene, radio

from vertex_model_inference.sandbox.launcher import running

ROWS = 30
SHARDS = {"VMI_SHARD_ROWS": "10", "VMI_CANARY_ROWS": "6"}
TONE = radio("tone", "kind", "rude")


def kind(instance: dict[str, Any]) -> Any:
    """Nothing in every fifth text."""
    number = int(instance["text"].rsplit(" ", 1)[-1])
    return [{"label": "kind", "score": 0.75}] if number % 5 else []


def new_scene(lab: Lab) -> Scene:
    mark = uuid.uuid4().hex[:8]
    return lab.scene(
        {f"text-{mark}-{n:04d}": f"some text number {n}" for n in range(ROWS)},
        classifications=[TONE],
        media_type=lb.MediaType.Text,
    )


@pytest.fixture
def scene(lab: Lab) -> Scene:
    return new_scene(lab)


@pytest.fixture
def toml(container: Container) -> str:
    container.answer = kind
    return f'[models."polite"]\ncontainer = "{container.url}/predict"\n'


def project_of(scene: Scene, classifications: list[dict[str, Any]] | None = None) -> Any:
    """A project with the model's ontology, or one of its own."""
    client = scene.lab.client
    project = client.create_project(name=f"labelling {uuid.uuid4().hex[:8]}", media_type=lb.MediaType.Text)
    if classifications is None:
        ontology = client.get_ontology(scene.model.ontology_id)
    else:
        normalized = {"tools": [], "classifications": classifications}
        ontology = client.create_ontology(f"other {uuid.uuid4().hex[:8]}", normalized, lb.MediaType.Text)
    project.connect_ontology(ontology)
    return project


def glance(scene: Scene, project: Any) -> dict[str, Any]:
    """The sandbox's own view of the project."""
    found: dict[str, Any] = scene.lab.labelbox.get(f"/_sandbox/projects/{project.uid}").raise_for_status().json()
    return found


def pre_labels(scene: Scene, project: Any) -> dict[str, str]:
    """Global key -> the answer of its pre-label."""
    answer = scene.lab.labelbox.get(f"/_sandbox/projects/{project.uid}/pre_labels", params={"first": "1000"})
    found = answer.raise_for_status().json()["pre_labels"]
    return {each["global_key"]: each["annotation"]["radio_answer"]["name"] for each in found}


def codes(done: Done) -> Counter[str]:
    counts = done.finished.counts
    assert counts.ended == counts.exported == len(done.outcomes) == ROWS
    return Counter(outcome.code or outcome.status.value for outcome in done.outcomes.values())


FULL = {"predicted": 24, "empty": 6}


def test_pre_labels_of_a_project(lab: Lab, scene: Scene, toml: str, tmp_path: Path) -> None:
    project = project_of(scene)
    text = f'{toml}destination = "project"\nproject = "{project.uid}"\n'
    done = lab.perform(scene, "polite", tmp_path, text, **SHARDS)
    assert codes(done) == FULL
    assert done.finished.state == "COMPLETE"
    assert f"Predictions of 24 rows in project {project.uid}." in done.finished.message
    assert scene.glance()["imports"] == []
    full = [key for key in scene.keys if done.outcomes[key].status == "predicted"]
    assert pre_labels(scene, project) == dict.fromkeys(full, "kind")
    found = glance(scene, project)
    assert found["pre_labels_shown"]
    assert found["counts"]["pre_labels"] == found["counts"]["data_rows"] == 24
    assert [(batch["name"], batch["size"]) for batch in found["batches"]] == [(f"vmi-{done.run_id}-00000", 24)]
    # The SDK reads the same imports back by their names.
    sent = 0
    for item in found["imports"]:
        imported = MALPredictionImport.from_name(lab.client, project.uid, item["name"])
        assert imported.state.value == "FINISHED"
        assert imported.errors == []
        sent += len(imported.statuses)
    assert sent == 24


def test_rows_that_the_project_has_stay_in_their_batch(lab: Lab, scene: Scene, toml: str, tmp_path: Path) -> None:
    project = project_of(scene)
    project.create_batch("by hand", global_keys=scene.keys[:12])
    done = lab.perform(
        scene, "polite", tmp_path, toml, VMI_DESTINATION="project", VMI_LABELBOX_PROJECT=project.uid, **SHARDS
    )
    assert codes(done) == FULL
    batches = {batch["name"]: batch["size"] for batch in glance(scene, project)["batches"]}
    assert batches == {"by hand": 12, f"vmi-{done.run_id}-00000": 15}  # 15 of the other 18 have a prediction
    (tmp_path / "again").mkdir()
    again = lab.perform(
        scene, "polite", tmp_path / "again", f'{toml}project = "{project.uid}"\n', VMI_DESTINATION="project", **SHARDS
    )
    assert codes(again) == FULL
    assert len(glance(scene, project)["batches"]) == 2  # there was nothing to add


def test_all_three_together(lab: Lab, scene: Scene, toml: str, tmp_path: Path) -> None:
    project = project_of(scene)
    more = {"VMI_DESTINATION": "model-run,project,files", "VMI_LABELBOX_PROJECT": project.uid, **SHARDS}
    done = lab.perform(scene, "polite", tmp_path, toml, **more)
    assert codes(done) == FULL
    delivered = {outcome.delivered for outcome in done.outcomes.values() if outcome.annotations}
    assert delivered == {("model-run", "project", "files")}
    for words in ("24 rows in the model run", f"24 rows in project {project.uid}", "24 rows as NDJSON in gs://"):
        assert words in done.finished.message
    assert scene.glance()["counts"]["predictions"] == glance(scene, project)["counts"]["pre_labels"] == 24


def test_a_row_that_one_destination_refuses_fails_and_names_it(
    lab: Lab, scene: Scene, toml: str, container: Container, tmp_path: Path
) -> None:
    project = project_of(scene)
    victim = scene.keys[17]

    def answer(instance: dict[str, Any]) -> Any:
        if instance["text"].endswith(" 17"):
            scene.run.delete_model_run_data_rows([scene.ids[victim]])
        return kind(instance)

    container.answer = answer
    more = {"VMI_DESTINATION": "model-run,project", "VMI_LABELBOX_PROJECT": project.uid, **SHARDS}
    done = lab.perform(scene, "polite", tmp_path, toml, **more)
    assert codes(done) == {"predicted": 23, "empty": 6, "import_refused": 1}
    outcome = done.outcomes[victim]
    assert outcome.delivered == ("project",)
    assert str(outcome.message).startswith("model-run: Labelbox refused 1 of 1 annotations: DataRowNotInModelRun")
    assert victim in pre_labels(scene, project)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ([radio("mood", "kind", "rude")], ["radio 'tone'", "lacks"]),
        ([radio("tone", "kind")], ["radio 'tone' / 'rude'"]),
        ([radio("tone", "kind", "rude", kind="checklist")], ["radio 'tone'"]),
    ],
    ids=["question", "option", "kind"],
)
def test_a_project_of_another_ontology_is_refused_before_anything_is_spent(
    lab: Lab,
    scene: Scene,
    toml: str,
    container: Container,
    tmp_path: Path,
    other: list[dict[str, Any]],
    words: list[str],
) -> None:
    project = project_of(scene, other)
    more = {"VMI_DESTINATION": "project", "VMI_LABELBOX_PROJECT": project.uid}
    done = lab.perform(scene, "polite", tmp_path, toml, **more)
    assert (done.finished.state, container.seen) == ("FAILED", [])
    for word in words:
        assert word in scene.glance()["error_message"]


def test_a_project_that_does_not_exist(lab: Lab, scene: Scene, toml: str, container: Container, tmp_path: Path) -> None:
    done = lab.perform(
        scene, "polite", tmp_path, toml, VMI_DESTINATION="project", VMI_LABELBOX_PROJECT="cnope0000000000000000none"
    )
    assert (done.finished.state, container.seen) == ("FAILED", [])
    assert "no project cnope0000000000000000none" in done.finished.message


# -- the refusal ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Labelbox as it may be since 2026: every import into a model run is refused."""
    with running(state=tmp_path_factory.mktemp("refusing"), prediction_imports="deprecated") as config:
        lab = Lab(config)
        yield lab
        lab.close()


def test_the_refusal_is_learnt_before_the_model_is_asked(
    refusing: Lab, toml: str, container: Container, tmp_path: Path
) -> None:
    scene = new_scene(refusing)
    done = refusing.perform(scene, "polite", tmp_path, toml, VMI_CANARY_ROWS="0")
    assert (done.finished.state, container.seen) == ("FAILED", [])
    for words in ("has been deprecated", "VMI_FALLBACK", "VMI_DESTINATION=files", "VMI_DESTINATION=project"):
        assert words in scene.glance()["error_message"]


def test_the_refusal_is_answered_by_a_project(refusing: Lab, toml: str, tmp_path: Path) -> None:
    scene = new_scene(refusing)
    project = project_of(scene)
    more = {"VMI_FALLBACK": "project", "VMI_LABELBOX_PROJECT": project.uid, **SHARDS}
    done = refusing.perform(scene, "polite", tmp_path, toml, **more)
    assert codes(done) == FULL
    assert len(pre_labels(scene, project)) == 24
    found = scene.glance()
    assert (found["status"], found["imports"]) == ("COMPLETE", [])
    for words in (f"24 rows in project {project.uid}", "not in the model run", "has been deprecated"):
        assert words in found["error_message"]
    assert found["metadata"]["vmi_delivered"] == {"project": 24}


def test_the_refusal_is_answered_by_files(refusing: Lab, toml: str, tmp_path: Path) -> None:
    scene = new_scene(refusing)
    done = refusing.perform(scene, "polite", tmp_path, f'{toml}fallback = "files"\n', **SHARDS)
    assert codes(done) == FULL
    assert f"24 rows as NDJSON in gs://vmi-sandbox/runs/{done.run_id}/predictions" in done.finished.message
    assert scene.glance()["status"] == "COMPLETE"


def test_a_fallback_that_does_not_fit_says_so(refusing: Lab, toml: str, container: Container, tmp_path: Path) -> None:
    scene = new_scene(refusing)
    project = project_of(scene, [radio("mood", "kind")])
    more = {"VMI_FALLBACK": "project", "VMI_LABELBOX_PROJECT": project.uid}
    done = refusing.perform(scene, "polite", tmp_path, toml, **more)
    assert (done.finished.state, container.seen) == ("FAILED", [])
    assert "radio 'tone'" in done.finished.message


# -- imports and exports that Labelbox breaks off ---------------------------------------------------------------------


@pytest.mark.parametrize("kept", [0, 1, 5, 24])
@pytest.mark.parametrize("destination", ["model-run", "project"])
def test_what_a_failed_import_left_behind_is_there(
    lab: Lab, scene: Scene, toml: str, tmp_path: Path, kept: int, destination: str
) -> None:
    project = project_of(scene)
    lab.labelbox.put("/_sandbox/settings", json={"import_fails_after": kept}).raise_for_status()
    more = {"VMI_DESTINATION": destination, "VMI_LABELBOX_PROJECT": project.uid, "VMI_CANARY_ROWS": "0"}
    done = lab.perform(scene, "polite", tmp_path, toml, **more)
    assert codes(done) == FULL
    found = scene.glance() if destination == "model-run" else glance(scene, project)
    failed, again = found["imports"]
    assert (failed["state"], again["state"], again["name"]) == ("FAILED", "FINISHED", f"{failed['name']}-r1")
    assert (again["succeeded"], again["failed"]) == (24 - kept, kept)  # what was there was refused as such
    counts = found["counts"]
    assert counts["predictions" if destination == "model-run" else "pre_labels"] == 24


def test_a_uuid_that_somebody_else_used_is_no_success(lab: Lab, scene: Scene, toml: str, tmp_path: Path) -> None:
    """Without a failed import of ours before it, a duplicate is what it seems to be."""
    first = lab.perform(scene, "polite", tmp_path, toml, VMI_DESTINATION="files", VMI_CANARY_ROWS="0")
    from vertex_model_inference.labelbox import ndjson

    run_id = first.run_id  # another data directory counts its runs anew, so the next run has the same id
    key = scene.keys[1]
    line = {
        "uuid": ndjson.row_uuid(run_id, scene.ids[key], 0),
        "dataRow": {"id": scene.ids[key]},
        "name": "tone",
        "answer": {"name": "rude"},
    }
    assert scene.run.add_predictions("by hand", [line]).statuses[0]["status"] == "SUCCESS"
    (tmp_path / "again").mkdir()
    again = lab.perform(scene, "polite", tmp_path / "again", toml, VMI_CANARY_ROWS="0")
    assert again.run_id == run_id
    assert again.fate(key) == ("failed", "upload", "import_refused")
    assert codes(again) == {"predicted": 23, "empty": 6, "import_refused": 1}


@pytest.fixture
def in_files_of_four(lab: Lab) -> Iterator[None]:
    lab.labelbox.put("/_sandbox/settings", json={"export_lines_per_file": 4}).raise_for_status()
    yield
    calm = {"export_lines_per_file": None, "export_backwards": None}
    lab.labelbox.put("/_sandbox/settings", json=calm).raise_for_status()


@pytest.mark.usefixtures("in_files_of_four")
@pytest.mark.parametrize("backwards", [False, True], ids=["same-order", "other-order"])
@pytest.mark.parametrize("after", [0, 1, 4, 7])
def test_an_export_that_expires_is_begun_again_at_the_rows_that_are_left(
    lab: Lab, scene: Scene, toml: str, container: Container, tmp_path: Path, after: int, backwards: bool
) -> None:
    gone = {"data": {"task": {"exportFileFromOffset": None}}}
    lab.fault(match="GetExportFileFromOffset*", after=after, json=gone)

    def answer(instance: dict[str, Any]) -> Any:
        if backwards:  # from now on: the first export is over once the model is asked
            lab.labelbox.put("/_sandbox/settings", json={"export_backwards": True}).raise_for_status()
        return kind(instance)

    container.answer = answer
    done = lab.perform(scene, "polite", tmp_path, toml, VMI_SHARD_ROWS="5", VMI_CANARY_ROWS="3")
    assert codes(done) == FULL
    assert set(done.outcomes) == set(scene.keys)
    assert sorted(Counter(instance["text"] for instance in container.seen).values()) == [1] * ROWS
    fired = lab.labelbox.get("/_sandbox/faults").json()["faults"]
    assert [rule["fired"] for rule in fired] == [1]


@pytest.mark.usefixtures("in_files_of_four")
def test_exports_that_always_expire_end_the_run(lab: Lab, scene: Scene, toml: str, tmp_path: Path) -> None:
    gone = {"data": {"task": {"exportFileFromOffset": None}}}
    lab.fault(match="GetExportFileFromOffset*", after=3, times=0, json=gone)
    done = lab.perform(scene, "polite", tmp_path, toml, VMI_SHARD_ROWS="4", VMI_CANARY_ROWS="0")
    assert done.finished.state == "FAILED"
    assert "3 exports of the model run expired" in done.finished.message
    counts = done.finished.counts
    assert counts.exported == counts.ended == len(done.outcomes) == 8  # what was read before
