"""Answers under every tool and option, at any depth, and relations: imported, exported, still what the model said."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import labelbox as lb
import msgspec
import pytest
from PIL import Image

from vertex_model_inference.findings import (
    Finding,
    FoundBox,
    FoundEntity,
    FoundLabel,
    FoundLine,
    FoundMask,
    FoundPoint,
    FoundPolygon,
    FoundRelation,
    FoundText,
)
from vertex_model_inference.geometry.masks import draw
from vertex_model_inference.geometry.runs import encode
from vertex_model_inference.labelbox.ndjson import lines, row_uuids
from vertex_model_inference.labelbox.ontologies import parse_ontology
from vertex_model_inference.models import MatchRules
from vertex_model_inference.ontology import Ontology
from vertex_model_inference.rows import DataRow
from vertex_model_inference.sandbox.child import run_in_thread
from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.labelbox.app import create_app
from vertex_model_inference.steps.match import Matcher

WIDTH, HEIGHT = 40, 30
TEXT = "Ann lives in Zürich 👩‍👩‍👧"
TOOLS = {
    "box": "rectangle",
    "outline": "polygon",
    "path": "line",
    "spot": "point",
    "pixels": "raster-segmentation",
    "patch": "superpixel",
    "place": "named-entity",
    "lives in": "edge",
}
RING = ((2.0, 3.0), (22.0, 3.0), (22.0, 13.5), (2.0, 20.0))
COUNTS = encode(draw(RING, WIDTH, HEIGHT))


def _ask(kind: str, name: str, **options: list[dict[str, Any]]) -> dict[str, Any]:
    made = [{"label": option, "value": option, "options": asked} for option, asked in options.items()]
    return {"type": kind, "name": name, "instructions": name, "options": made}


def _questions() -> list[dict[str, Any]]:
    """Radio, checklist and text below one another, four deep."""
    coat = _ask("checklist", "coat", long=[_ask("text", "how long")], curly=[])
    breed = _ask("radio", "breed", poodle=[coat], other=[])
    return [_ask("radio", "animal", dog=[breed, _ask("text", "note")], cat=[]), _ask("checklist", "traits", loud=[])]


ANSWERS = (
    FoundLabel(
        "Dog",
        0.5,
        "Animal",
        (
            FoundText("note", "🐩 é", 0.0),
            FoundLabel(
                "poodle",
                0.25,
                answers=(FoundLabel("curly", 0.75), FoundLabel("long", 1.0, answers=(FoundText("how long", "2 cm"),))),
            ),
        ),
    ),
    FoundLabel("loud", 0.875, "traits"),
)
SAID = {
    "animal": [
        "dog",
        0.5,
        {
            "note": ["🐩 é", 0.0],
            "breed": ["poodle", 0.25, {"coat": [["curly", 0.75], ["long", 1.0, {"how long": ["2 cm", None]}]]}],
        },
    ],
    "traits": [["loud", 0.875]],
}


def said(classifications: list[dict[str, Any]]) -> dict[str, Any]:
    """Exported answers in short: question -> [answer, confidence, nested]."""
    found: dict[str, Any] = {}
    for each in classifications:
        if "text_answer" in each:
            found[each["name"]] = [each["text_answer"]["content"], each["text_answer"].get("confidence")]
        elif "radio_answer" in each:
            found[each["name"]] = _option(each["radio_answer"])
        else:
            found[each["name"]] = [_option(answer) for answer in each["checklist_answers"]]
    return found


def _option(answer: dict[str, Any]) -> list[Any]:
    nested = said(answer["classifications"])
    return [answer["name"], answer.get("confidence"), *([nested] if nested else [])]


class Scene(msgspec.Struct):
    """A run with one picture and one text."""

    run: Any
    model_id: str
    ontology: Ontology
    image: DataRow
    text: DataRow

    def imported(self, row: DataRow, found: list[Finding]) -> dict[str, list[dict[str, Any]]]:
        """Import what is found; the export's objects, classifications and relationships of this import."""
        matched = Matcher(self.ontology, MatchRules()).match(found, row)
        assert not matched.dropped
        made = lines(matched.annotations, row, row_uuids(uuid.uuid4().hex, row.id))
        before = {each["feature_id"] for several in self._exported(row).values() for each in several}
        job = self.run.add_predictions(f"import {uuid.uuid4()}", [msgspec.json.decode(line) for line in made])
        end = time.monotonic() + 30
        while job.state.value == "RUNNING":
            assert time.monotonic() < end, "the import did not end"
            time.sleep(0.02)
            job.refresh()
        assert job.errors == []
        return {
            kind: [each for each in several if each["feature_id"] not in before]
            for kind, several in self._exported(row).items()
        }

    def _exported(self, row: DataRow) -> dict[str, list[dict[str, Any]]]:
        task = self.run.export(params={"predictions": True})
        task.wait_till_done()
        found: dict[str, list[dict[str, Any]]] = {"objects": [], "classifications": [], "relationships": []}
        for each in task.get_buffered_stream():
            if each.json["data_row"]["id"] == row.id:
                for prediction in each.json["experiments"][self.model_id]["runs"][self.run.uid]["predictions"]:
                    for kind, several in found.items():
                        several += prediction["annotations"][kind]
        return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("nested")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        config = SandboxConfig(state=folder / "state", labelbox_port=port, storage_port=1, vertex_port=1)
        with run_in_thread(create_app(config), sock):
            yield _scene(config, folder)


def _scene(config: SandboxConfig, folder: Path) -> Scene:
    url = config.labelbox_url
    client: Any = lb.Client(api_key="any", endpoint=f"{url}/graphql", rest_endpoint=f"{url}/api/v1")
    Image.new("L", (WIDTH, HEIGHT)).save(folder / "picture.png")
    dataset = client.create_dataset(name="nested")
    picture = client.upload_file(str(folder / "picture.png"))
    task = dataset.create_data_rows(
        [{"row_data": picture, "global_key": "image"}, {"row_data": TEXT, "global_key": "text"}]
    )
    task.wait_till_done()
    assert task.errors is None
    ids = {row["global_key"]: row["id"] for row in task.result}
    tools = [
        {"tool": kind, "name": name, "color": "#ff0000", "classifications": [] if kind == "edge" else _questions()}
        for name, kind in TOOLS.items()
    ]
    normalized = {"tools": tools, "classifications": _questions()}
    made = client.create_ontology("nested", normalized, lb.MediaType.Image)
    ontology = parse_ontology({"id": made.uid, "name": made.name, "normalized": made.normalized})
    model = client.create_model("nested", made.uid)
    run = model.create_model_run("run")
    run.upsert_data_rows(global_keys=list(ids))
    image = DataRow(id=ids["image"], row_data="image", width=WIDTH, height=HEIGHT)
    return Scene(run, model.uid, ontology, image, DataRow(id=ids["text"], row_data=TEXT))


@pytest.mark.parametrize(
    "finding",
    [
        FoundBox("box", 1, 2, 10, 20, 0.5, answers=ANSWERS),
        FoundPolygon("outline", RING, 0.5, ANSWERS),
        FoundLine("path", RING, 0.5, ANSWERS),
        FoundPoint("spot", 3, 4, 0.5, ANSWERS),
        FoundMask("pixels", COUNTS, WIDTH, HEIGHT, 0.5, ANSWERS),
        FoundMask("patch", COUNTS, WIDTH, HEIGHT, 0.5, ANSWERS),
        FoundPolygon("patch", RING, 0.5, ANSWERS),
    ],
    ids=lambda each: f"{type(each).__name__} {each.label}",
)
def test_answers_about_an_object_come_back_as_said(scene: Scene, finding: Finding) -> None:
    (found,) = scene.imported(scene.image, [finding])["objects"]
    assert (found["name"], found["confidence"]) == (finding.label, 0.5)
    assert said(found["classifications"]) == SAID


def test_answers_about_a_span_come_back_as_said(scene: Scene) -> None:
    (found,) = scene.imported(scene.text, [FoundEntity("place", 13, 18, 0.5, ANSWERS)])["objects"]
    assert found["location"]["token"] == "Zürich"
    assert said(found["classifications"]) == SAID


def test_answers_about_the_asset_come_back_as_said(scene: Scene) -> None:
    assert said(scene.imported(scene.image, list(ANSWERS))["classifications"]) == SAID


def test_a_nested_class_alone_chooses_what_it_stands_below(scene: Scene) -> None:
    found = scene.imported(scene.image, [FoundLabel("animal/dog/breed/poodle", 0.75)])["classifications"]
    assert said(found) == {"animal": ["dog", 0.75, {"breed": ["poodle", 0.75]}]}


@pytest.mark.parametrize("directed", [True, False])
def test_a_relation_comes_back_between_its_ends(scene: Scene, directed: bool) -> None:
    found = scene.imported(
        scene.text,
        [
            FoundRelation("lives in", "who", "where", 0.5, directed),
            FoundEntity("place", 13, 18, 0.5, id="where"),
            FoundEntity("place", 0, 2, 0.5, id="who"),
        ],
    )
    tokens = {each["feature_id"]: each["location"]["token"] for each in found["objects"]}
    (relation,) = found["relationships"]
    kind = "unidirectional" if directed else "bidirectional"
    ends = relation[f"{kind}_relationship"]
    assert relation["name"] == "lives in"
    assert [tokens[ends["source"]], tokens[ends["target"]]] == ["Ann", "Zürich"]
