"""Each kind a model can find: matched, written, imported into Labelbox, exported, and still what the model said."""

from __future__ import annotations

import io
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import labelbox as lb
import msgspec
import numpy as np
import pytest
from PIL import Image

from vertex_model_inference.decoders.mapping import Mapping
from vertex_model_inference.findings import (
    Finding,
    FoundBox,
    FoundEntity,
    FoundLabel,
    FoundLine,
    FoundMask,
    FoundPoint,
    FoundPolygon,
    FoundText,
)
from vertex_model_inference.geometry.masks import draw
from vertex_model_inference.geometry.runs import BitMask, encode
from vertex_model_inference.labelbox.ndjson import lines, row_uuids
from vertex_model_inference.labelbox.ontologies import parse_ontology
from vertex_model_inference.models import MappingRules, MatchRules
from vertex_model_inference.ontology import Ontology
from vertex_model_inference.rows import DataRow
from vertex_model_inference.sandbox.child import run_in_thread
from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.labelbox.app import create_app
from vertex_model_inference.steps.match import Matcher

WIDTH, HEIGHT = 40, 30
TEXT = "Zu\u0308rich 👩‍👩‍👧 lies\r\nin Switzerland"
TOOLS = {
    "box": "rectangle",
    "outline": "polygon",
    "path": "line",
    "spot": "point",
    "pixels": "raster-segmentation",
    "place": "named-entity",
}
QUESTIONS = {"animal": "radio", "traits": "checklist", "caption": "text"}
RING = ((2.0, 3.0), (22.0, 3.0), (22.0, 13.5), (2.0, 20.0))


def _mask() -> BitMask:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    mask[4:20, 5:25] = True
    mask[8:12, 10:15] = False  # a hole
    mask[25:28, 30:38] = True  # a second part
    return mask


class Scene(msgspec.Struct):
    """A run with one picture and one text."""

    run: Any
    model_id: str
    ontology: Ontology
    image: DataRow
    text: DataRow

    def objects(self, row: DataRow, found: list[Finding], **rules: Any) -> dict[str, list[dict[str, Any]]]:
        """Import what is found and give the export's objects and classifications of this import."""
        matched = Matcher(self.ontology, MatchRules(**rules)).match(found, row)
        made = lines(matched.annotations, row, row_uuids(uuid.uuid4().hex, row.id))
        before = self._exported(row)
        job = self.run.add_predictions(f"import {uuid.uuid4()}", [msgspec.json.decode(line) for line in made])
        end = time.monotonic() + 30
        while job.state.value == "RUNNING":
            assert time.monotonic() < end, "the import did not end"
            time.sleep(0.02)
            job.refresh()
        assert job.errors == []
        known = {each["feature_id"] for kind in before.values() for each in kind}
        return {
            kind: [each for each in several if each["feature_id"] not in known]
            for kind, several in self._exported(row).items()
        }

    def _exported(self, row: DataRow) -> dict[str, list[dict[str, Any]]]:
        task = self.run.export(params={"predictions": True})
        task.wait_till_done()
        found: dict[str, list[dict[str, Any]]] = {"objects": [], "classifications": []}
        for each in task.get_buffered_stream():
            if each.json["data_row"]["id"] == row.id:
                for prediction in each.json["experiments"][self.model_id]["runs"][self.run.uid]["predictions"]:
                    for kind, several in found.items():
                        several += prediction["annotations"][kind]
        return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("kinds")
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
    dataset = client.create_dataset(name="kinds")
    task = dataset.create_data_rows(
        [
            {"row_data": client.upload_file(str(folder / "picture.png")), "global_key": "image"},
            {"row_data": TEXT, "global_key": "text"},
        ]
    )
    task.wait_till_done()
    assert task.errors is None
    ids = {row["global_key"]: row["id"] for row in task.result}
    tools = [{"tool": kind, "name": name, "color": "#ff0000", "classifications": []} for name, kind in TOOLS.items()]
    questions = [
        {
            "type": kind,
            "name": name,
            "instructions": name,
            "options": [] if kind == "text" else [{"label": o, "value": o} for o in ("cat", "dog")],
        }
        for name, kind in QUESTIONS.items()
    ]
    made = client.create_ontology("kinds", {"tools": tools, "classifications": questions}, lb.MediaType.Image)
    ontology = parse_ontology({"id": made.uid, "name": made.name, "normalized": made.normalized})
    model = client.create_model("kinds", made.uid)
    run = model.create_model_run("run")
    run.upsert_data_rows(global_keys=list(ids))
    image = DataRow(id=ids["image"], row_data="image", width=WIDTH, height=HEIGHT)
    return Scene(run, model.uid, ontology, image, DataRow(id=ids["text"], row_data=TEXT))


def _points(ring: tuple[tuple[float, float], ...]) -> list[dict[str, float]]:
    return [{"x": x, "y": y} for x, y in ring]


CONFIDENCES = [0.0, 0.1234567, 1.0]


@pytest.mark.parametrize("confidence", CONFIDENCES)
@pytest.mark.parametrize(
    ("finding", "field", "value"),
    [
        (FoundBox("box", 1.5, 2, 10, 20.25), "bounding_box", {"left": 1.5, "top": 2, "width": 10, "height": 20.25}),
        (FoundPolygon("outline", RING), "polygon", _points((*RING, RING[0]))),
        (FoundLine("path", RING), "line", _points(RING)),
        (FoundPoint("spot", 3.25, 4), "point", {"x": 3.25, "y": 4}),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, msgspec.Struct) else "",
)
def test_shapes(scene: Scene, finding: Finding, field: str, value: Any, confidence: float) -> None:
    scored = msgspec.structs.replace(finding, confidence=confidence)
    (found,) = scene.objects(scene.image, [scored])["objects"]
    assert (found["name"], found[field]) == (finding.label, value)
    assert found["confidence"] == pytest.approx(confidence, abs=1e-6)


def _pixels(found: dict[str, Any]) -> BitMask:
    answer = httpx2.get(found["mask"]["url"], trust_env=False)
    with Image.open(io.BytesIO(answer.content)) as image:
        drawn: BitMask = np.asarray(image.convert("L")) == 255
        return drawn


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_a_mask_and_a_polygon_drawn_as_one(scene: Scene, confidence: float) -> None:
    mask = _mask()
    (found,) = scene.objects(scene.image, [FoundMask("pixels", encode(mask), WIDTH, HEIGHT, confidence)])["objects"]
    assert np.array_equal(_pixels(found), mask)
    assert found["confidence"] == pytest.approx(confidence, abs=1e-6)
    (found,) = scene.objects(scene.image, [FoundPolygon("pixels", RING, confidence)])["objects"]
    assert np.array_equal(_pixels(found), draw(RING, WIDTH, HEIGHT))
    assert found["confidence"] == pytest.approx(confidence, abs=1e-6)


def test_a_mask_in_a_picture_that_labelbox_fetches(scene: Scene, tmp_path: Path) -> None:
    mask = _mask()
    picture = np.zeros((*mask.shape, 3), dtype=np.uint8)
    picture[mask] = (7, 0, 255)
    picture[30:, :10] = (255, 255, 255)  # another object's
    Image.fromarray(picture).save(tmp_path / "masks.png")
    answer = {"cls": "pixels", "at": scene.run.client.upload_file(str(tmp_path / "masks.png")), "rgb": [7, 0, 255]}
    rules = MappingRules(label="cls", mask="at", mask_color="rgb")
    findings = Mapping(rules).decode(msgspec.json.encode([answer]), scene.image)
    (found,) = scene.objects(scene.image, list(findings))["objects"]
    assert found["annotation_kind"] == "ImageSegmentationMask"
    assert np.array_equal(_pixels(found), mask)


def test_a_mask_becomes_polygons_that_cover_it(scene: Scene) -> None:
    mask = _mask()
    finding = FoundMask("outline", encode(mask), WIDTH, HEIGHT, 0.5)
    found = scene.objects(scene.image, [finding], simplify_px=0.0)["objects"]
    assert len(found) == 3  # the part with the hole in two, and the second part
    again = np.zeros(mask.shape, dtype=np.int64)
    for each in found:
        again += draw(tuple((point["x"], point["y"]) for point in each["polygon"][:-1]), WIDTH, HEIGHT)
        assert each["confidence"] == 0.5
    assert np.array_equal(again, mask.astype(np.int64))


@pytest.mark.parametrize("confidence", CONFIDENCES)
@pytest.mark.parametrize("word", ["Zu\u0308rich", "👩‍👩‍👧", "lies", "Switzerland"])
def test_entities(scene: Scene, word: str, confidence: float) -> None:
    start = TEXT.index(word)
    (found,) = scene.objects(scene.text, [FoundEntity("place", start, start + len(word) - 1, confidence)])["objects"]
    assert found["location"] == {"start": start, "end": start + len(word) - 1, "token": word}
    assert found["confidence"] == pytest.approx(confidence, abs=1e-6)


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_answers(scene: Scene, confidence: float) -> None:
    found = scene.objects(
        scene.image,
        [
            FoundLabel("animal/dog", confidence),
            FoundLabel("traits/cat", confidence),
            FoundText("caption", "a dög", confidence),
        ],
        threshold=0.0,
    )["classifications"]
    by_name = {each["name"]: each for each in found}
    answers = [
        by_name["animal"]["radio_answer"],
        by_name["traits"]["checklist_answers"][0],
        by_name["caption"]["text_answer"],
    ]
    assert [answers[0]["name"], answers[1]["name"], answers[2]["content"]] == ["dog", "cat", "a dög"]
    assert [answer["confidence"] for answer in answers] == pytest.approx([confidence] * 3, abs=1e-6)
