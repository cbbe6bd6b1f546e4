"""``vmi check`` as a process: the table, the lines for vmi.toml, the exit code; nothing is sent to the model."""

from __future__ import annotations

import json
import tomllib
import uuid
from pathlib import Path
from typing import Any

import labelbox as lb
import pytest
from tests.integration.fates.lab import Container, Lab, radio
from tests.integration.fates.serving import vmi


def section(container: Container, names: list[str], *more: str) -> str:
    return "\n".join(
        [
            '[models."mood"]',
            f'container = "{container.url}/predict"',
            'task = "text-classification"',
            f"class_names = {json.dumps(names)}",
            *more,
        ]
    )


@pytest.fixture(scope="module")
def run_id(lab: Lab) -> str:
    scene = lab.scene({}, classifications=[radio("mood", "good", "so so", "bad")], media_type=lb.MediaType.Text)
    return str(scene.run.uid)


def check(lab: Lab, folder: Path, run_id: str, *more: str) -> Any:
    return vmi(folder, lab.config.environment(), "check", run_id, "--model", "mood", *more)


def test_classes_that_fit(lab: Lab, container: Container, tmp_path: Path, run_id: str) -> None:
    (tmp_path / "vmi.toml").write_text(section(container, ["GOOD", "so_so"]))
    before = len(container.seen)
    done = check(lab, tmp_path, run_id)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 of 2 classes have a feature" in done.stdout
    assert "mood/bad" in done.stdout  # never given
    assert len(container.seen) == before


def test_classes_that_do_not_fit_until_the_suggested_lines_are_there(
    lab: Lab, container: Container, tmp_path: Path, run_id: str
) -> None:
    names = ["good", "baad", "xyzzy", "mood"]
    (tmp_path / "vmi.toml").write_text(section(container, names))
    done = check(lab, tmp_path, run_id)
    assert done.returncode == 1
    assert "3 classes fit no feature" in done.stdout
    told = check(lab, tmp_path, run_id, "--json")
    assert told.returncode == 1
    value = json.loads(told.stdout)
    assert [each["verdict"] for each in value["classes"]] == ["matched", "unmapped", "unmapped", "wrong kind"]
    lines = "\n".join(value["lines"])
    assert lines in done.stdout
    assert tomllib.loads(lines)["models"]["mood"]["classes"]["baad"] == "bad"
    (tmp_path / "vmi.toml").write_text(section(container, names, 'unmapped = "drop"', lines))
    mended = check(lab, tmp_path, run_id, "--json")
    assert mended.returncode == 0
    assert json.loads(mended.stdout)["classes"][1]["features"][0]["path"] == "mood/bad"


def test_a_model_whose_classes_nobody_names(lab: Lab, container: Container, tmp_path: Path, run_id: str) -> None:
    (tmp_path / "vmi.toml").write_text(section(container, []))
    done = check(lab, tmp_path, run_id)
    assert done.returncode == 0
    assert "are not known" in done.stdout
    assert f"{container.url}/info" in done.stdout
    assert check(lab, tmp_path, run_id, "--class", "good", "-c", "evil").returncode == 1


def test_gemini_is_asked_by_the_ontology_itself(lab: Lab, tmp_path: Path, run_id: str) -> None:
    (tmp_path / "vmi.toml").write_text('[models."mood"]\ngemini = "gemini-2.5-flash"\n')
    done = check(lab, tmp_path, run_id)
    assert done.returncode == 0, done.stderr
    assert "no names to match" in done.stdout
    assert "asked for questions: mood" in done.stdout
    boxes = lab.scene(
        {},
        tools=[{"tool": "rectangle", "name": "cat", "color": "#ff0000", "classifications": []}],
        media_type=lb.MediaType.Text,
    )
    told = check(lab, tmp_path, str(boxes.run.uid), "--json")
    assert told.returncode == 1
    assert json.loads(told.stdout)["not_asked"] == ["cat"]


def test_one_sentence_where_there_is_nothing_to_check(
    lab: Lab, container: Container, tmp_path: Path, run_id: str
) -> None:
    (tmp_path / "vmi.toml").write_text(section(container, ["good"]))
    for arguments, words in (
        (("check", "c" * 25, "--model", "mood"), "knows no model run"),
        (("check", run_id, "--model", "mode"), "There is no option 'mode'"),
    ):
        done = vmi(tmp_path, lab.config.environment(), *arguments)
        assert done.returncode == 1
        assert words in done.stderr
        assert "Traceback" not in done.stderr


PEOPLE = """
[models."people"]
container = "{url}/predict"
task = "text-extraction"
[models."people".mapping]
items = "things"
label = "kind"
start = "from"
end = "to"
score = "sure"
answers = {{ role = "job" }}
texts = {{ note = "said" }}
id = "id"
relations = "links"
relation = ["what", "0", "1"]
"""


def test_what_was_checked_runs_with_answers_and_relations(lab: Lab, container: Container, tmp_path: Path) -> None:
    role = radio("role", "painter", "poet")
    note = {"type": "text", "name": "note", "instructions": "note", "options": []}
    tools: list[dict[str, Any]] = [
        {"tool": "named-entity", "name": "person", "classifications": [role, note]},
        {"tool": "named-entity", "name": "city", "classifications": []},
        {"tool": "edge", "name": "lives in", "classifications": []},
    ]
    scene = lab.scene({f"people-{uuid.uuid4()}": "Ann lives in Rome."}, tools=tools, media_type=lb.MediaType.Text)
    (tmp_path / "vmi.toml").write_text(PEOPLE.format(url=container.url))
    before = container.answer
    container.answer = lambda _: {
        "things": [
            {"id": 1, "kind": "Person", "from": 0, "to": 3, "sure": 0.75, "job": "Poet", "said": "é"},
            {"id": 2, "kind": "City", "from": 13, "to": 17, "sure": 0.5},
            {"id": 3, "kind": "Planet", "from": 0, "to": 3, "sure": 0.5},
        ],
        "links": [{"what": "lives_in", "0": 1, "1": 2}, {"what": "lives_in", "0": 3, "1": 2}],
    }
    settings = lab.config.environment()
    try:
        arguments = [part for name in ("Person", "City", "Planet") for part in ("--class", name)]
        checked = vmi(tmp_path, settings, "check", scene.run.uid, "--model", "people", *arguments)
        assert checked.returncode == 1
        assert "'Planet' fits no entity tool" in checked.stdout
        text = PEOPLE.format(url=container.url).replace(
            '[models."people".mapping]', 'unmapped = "drop"\n[models."people".mapping]'
        )
        (tmp_path / "vmi.toml").write_text(text)
        assert vmi(tmp_path, settings, "check", scene.run.uid, "--model", "people", *arguments).returncode == 0
        done = vmi(tmp_path, settings, "run", scene.run.uid, "--model", "people")
        assert done.returncode == 0, done.stderr
    finally:
        container.answer = before
    outcomes = vmi(tmp_path, settings, "outcomes", scene.run.uid, "--format", "json")
    (outcome,) = [json.loads(line) for line in outcomes.stdout.splitlines()]
    assert outcome["dropped"] == {"Planet": 1, "lives_in": 1}
    assert "its source '3' was left out" in outcome["message"]
    task = scene.run.export(params={"predictions": True})
    task.wait_till_done()
    (row,) = [each.json for each in task.get_buffered_stream()]
    (experiment,) = row["experiments"].values()
    (prediction,) = experiment["runs"][scene.run.uid]["predictions"]
    objects = {each["name"]: each for each in prediction["annotations"]["objects"]}
    answered = {each["name"]: each for each in objects["person"]["classifications"]}
    assert answered["role"]["radio_answer"]["name"] == "poet"
    assert answered["note"]["text_answer"]["content"] == "é"
    (relation,) = prediction["annotations"]["relationships"]
    ends = relation["unidirectional_relationship"]
    assert (ends["source"], ends["target"]) == (objects["person"]["feature_id"], objects["city"]["feature_id"])
