"""Documents and conversations: what a model says by page and by message goes into Labelbox and comes back as it was."""

from __future__ import annotations

import io
import json
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

from vertex_model_inference.decoders.registry import recognise
from vertex_model_inference.labelbox.exports import parse_export_row
from vertex_model_inference.labelbox.ndjson import lines, row_uuids
from vertex_model_inference.labelbox.ontologies import parse_ontology
from vertex_model_inference.labelbox.text_layers import pages_of
from vertex_model_inference.models import MatchRules, ModelOption, Predictor
from vertex_model_inference.ontology import Ontology
from vertex_model_inference.rows import DataRow, MediaType
from vertex_model_inference.sandbox.child import run_in_thread
from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.labelbox.app import create_app
from vertex_model_inference.sources import Source
from vertex_model_inference.steps.match import Matcher
from vertex_model_inference.steps.place import place
from vertex_model_inference.steps.texts import source_of_text

OPTION = ModelOption(name="m", predictor=Predictor.BATCH)
SIZES = ((300.0, 400.0), (500.0, 200.0))
MESSAGES = [
    {"messageId": "m1", "content": "Zu\u0308rich 👩‍👩‍👧\r\nis nice", "user": {"name": "Bo"}, "canLabel": True},
    {"messageId": "m2", "content": "So is Bern.", "user": {"name": "Al"}, "canLabel": True},
]
CONVERSATION = {"type": "application/vnd.labelbox.conversational", "version": 1, "messages": MESSAGES}


def _word(name: str, text: str) -> dict[str, Any]:
    return {"id": name, "content": text, "geometry": {"left": 1, "top": 2, "width": 30, "height": 9}}


LAYER = [
    {
        "number": number,
        "units": "POINTS",
        "width": width,
        "height": height,
        "groups": [
            {
                "id": f"g{number}",
                "content": "Ada Lovelace",
                "geometry": {"left": 1, "top": 2, "width": 60, "height": 9},
                "tokens": [_word(f"t{number}1", "Ada"), _word(f"t{number}2", "Lovelace,")],
            }
        ],
    }
    for number, (width, height) in enumerate(SIZES, 1)
]


class Scene(msgspec.Struct):
    """A run with a document, a scan without text layer, a conversation and a page of HTML."""

    run: Any
    model_id: str
    ontology: Ontology
    rows: dict[str, DataRow]

    def said(self, key: str, answer: Any, source: Source | None = None) -> dict[str, list[dict[str, Any]]]:
        """Decode, place, match, write and import; the export's annotations of the row."""
        row = self.rows[key]
        said = json.dumps(answer).encode()
        found = recognise([said], OPTION).decode(said, row)
        matched = Matcher(self.ontology, MatchRules(threshold=0)).match(place(found, row, source).findings, row)
        made = lines(matched.annotations, row, row_uuids(uuid.uuid4().hex, row.id))
        assert self.refusals([msgspec.json.decode(line) for line in made]) == []
        return self.exported(row.id)

    def refusals(self, rows: list[dict[str, Any]]) -> list[str]:
        """Import; names of the errors."""
        job = self.run.add_predictions(f"import {uuid.uuid4()}", rows)
        end = time.monotonic() + 60
        while job.state.value == "RUNNING":
            assert time.monotonic() < end, "the import did not end"
            time.sleep(0.02)
            job.refresh()
        assert len(job.statuses) == len(rows)
        return [error["name"] for status in job.statuses for error in status["errors"]]

    def exported(self, row_id: str) -> dict[str, list[dict[str, Any]]]:
        """The row's predictions."""
        for line in self.lines():
            if line["data_row"]["id"] == row_id:
                predictions = line["experiments"][self.model_id]["runs"][self.run.uid]["predictions"]
                found: dict[str, list[dict[str, Any]]] = {"objects": [], "classifications": []}
                for each in predictions:
                    for kind, several in found.items():
                        several += each["annotations"][kind]
                return found
        raise AssertionError(row_id)

    def lines(self) -> list[dict[str, Any]]:
        """The export."""
        task = self.run.export(params={"predictions": True})
        task.wait_till_done()
        return [each.json for each in task.get_buffered_stream()]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("documents")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        config = SandboxConfig(state=folder / "state", labelbox_port=port, storage_port=1, vertex_port=1)
        with run_in_thread(create_app(config), sock):
            yield _scene(config, folder)


def _scene(config: SandboxConfig, folder: Path) -> Scene:
    url = config.labelbox_url
    client: Any = lb.Client(api_key="any", endpoint=f"{url}/graphql", rest_endpoint=f"{url}/api/v1")
    pages = [Image.new("L", (int(width), int(height)), 230) for width, height in SIZES]
    buffer = io.BytesIO()
    pages[0].save(buffer, "PDF", save_all=True, append_images=pages[1:], resolution=72)
    (folder / "paper.pdf").write_bytes(buffer.getvalue())
    (folder / "layer.json").write_text(json.dumps(LAYER))
    (folder / "page.html").write_text("<p>hello")
    pdf, layer, html = (client.upload_file(str(folder / name)) for name in ("paper.pdf", "layer.json", "page.html"))
    dataset = client.create_dataset(name="documents")
    task = dataset.create_data_rows(
        [
            {"row_data": {"pdf_url": pdf, "text_layer_url": layer}, "global_key": "paper", "media_type": "PDF"},
            {"row_data": pdf, "global_key": "scan", "media_type": "PDF"},
            {"row_data": CONVERSATION, "global_key": "talk"},
            {"row_data": html, "global_key": "page", "media_type": "HTML"},
        ]
    )
    task.wait_till_done()
    assert task.errors is None
    kinds = {"table": "rectangle", "name": "named-entity"}
    tools = [{"tool": kind, "name": name, "color": "#ff0000", "classifications": []} for name, kind in kinds.items()]
    options = [{"label": word, "value": word} for word in ("happy", "sad")]
    questions = [
        {"type": "radio", "name": "mood", "instructions": "mood", "scope": "index", "options": options},
        {"type": "text", "name": "summary", "instructions": "summary", "scope": "index", "options": []},
    ]
    made = client.create_ontology("documents", {"tools": tools, "classifications": questions}, lb.MediaType.Document)
    ontology = parse_ontology({"id": made.uid, "name": made.name, "normalized": made.normalized})
    model = client.create_model("documents", made.uid)
    run = model.create_model_run("run")
    run.upsert_data_rows(global_keys=["paper", "scan", "talk", "page"])
    scene = Scene(run, model.uid, ontology, {})
    ids = [row["id"] for row in task.result]
    assert client.execute("query CheckAllDataRowsHaveBeenProcessedPyApi {x}", {"dataRowIds": ids})
    for line in scene.lines():
        row = parse_export_row(json.dumps(line).encode(), run.uid)
        scene.rows[str(row.global_key)] = (
            msgspec.structs.replace(row, page_sizes=SIZES) if row.media_type is MediaType.DOCUMENT else row
        )
    return scene


def test_what_the_export_says_of_the_rows(scene: Scene) -> None:
    kinds = {key: row.media_type for key, row in scene.rows.items()}
    assert kinds == {
        "paper": MediaType.DOCUMENT,
        "scan": MediaType.DOCUMENT,
        "talk": MediaType.CONVERSATION,
        "page": MediaType.HTML,
    }
    assert scene.rows["paper"].row_data.endswith("paper.pdf")
    assert str(scene.rows["paper"].text_layer).endswith("layer.json")
    assert scene.rows["scan"].text_layer is None
    assert json.loads(scene.rows["talk"].row_data) == CONVERSATION


@pytest.mark.parametrize("score", [0.0, 0.1234567, 1.0])
def test_boxes_and_words_of_a_document(scene: Scene, score: float) -> None:
    row = scene.rows["paper"]
    answer = {
        "pages": [
            {"width": 600, "height": 800, "detections": [{"label": "table", "score": score, "box": [3, 20, 40, 80]}]},
            {"entities": [{"label": "name", "score": score, "text": "ada\nLOVELACE"}]},
        ]
    }
    before = {each["feature_id"] for each in scene.exported(row.id)["objects"]}
    objects = scene.said("paper", answer, Source(pages=pages_of(json.dumps(LAYER).encode(), row.id)))["objects"]
    box, words = (each for each in objects if each["feature_id"] not in before)
    assert box["annotation_kind"] == "DocumentBoundingBox"
    assert box["page_number"] == 1
    expected = {"left": 1.5, "top": 10.0, "width": 18.5, "height": 30.0, "unit": "points"}
    assert box["bounding_box"] == expected
    assert box["page_dimensions"] == {"width": 300.0, "height": 400.0, "unit": "points"}
    assert words["annotation_kind"] == "DocumentEntityToken"
    (group,) = words["location"]["groups"]
    assert group == {"id": "g2", "page_number": 2, "tokens": ["t21", "t22"], "text": "Ada Lovelace,"}
    assert [each["confidence"] for each in (box, words)] == pytest.approx([score, score], abs=1e-6)


def test_what_is_said_of_messages(scene: Scene) -> None:
    answer = {
        "messages": {
            "m1": [
                {"label": "happy", "score": 0.75},
                {"label": "name", "quote": "ZÜRICH 👩‍👩‍👧", "score": 0.5},
                {"label": "summary", "text": "a city"},
            ],
            "m2": [{"label": "sad", "question": "mood", "score": 0.25}, {"label": "name", "start": 6, "end": 10}],
        }
    }
    source = source_of_text(json.dumps(CONVERSATION).encode(), MediaType.CONVERSATION, "r")
    found = scene.said("talk", answer, source)
    assert [each["annotation_kind"] for each in found["objects"]] == ["ConversationalTextEntity"] * 2
    places = {
        each["conversational_location"]["message_id"]: each["conversational_location"]["location"]
        for each in found["objects"]
    }
    assert places == {"m1": {"start": 0, "end": 12}, "m2": {"start": 6, "end": 9}}
    moods = {e["message_id"]: e["conversational_radio_answer"] for e in found["classifications"] if e["name"] == "mood"}
    assert {key: (mood["name"], mood["confidence"]) for key, mood in moods.items()} == {
        "m1": ("happy", 0.75),
        "m2": ("sad", 0.25),
    }
    (text,) = [each for each in found["classifications"] if each["name"] == "summary"]
    assert (text["message_id"], text["conversational_text_answer"]["content"]) == ("m1", "a city")


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("paper", {"name": "table", "page": 3, "unit": "POINTS"}, "PageNotFound"),
        ("paper", {"name": "table", "page": 2, "unit": "POINTS", "left": 480}, "BoundingBoxOutOfBounds"),
        ("paper", {"name": "table"}, "MissingValue"),
        (
            "paper",
            {"name": "name", "textSelections": [{"tokenIds": ["t9"], "groupId": "g1", "page": 1}]},
            "TokenNotFound",
        ),
        ("paper", {"name": "name", "location": {"start": 0, "end": 1}}, "MediaTypeMismatch"),
        ("page", {"name": "name", "location": {"start": 0, "end": 1}}, "MediaTypeMismatch"),
        ("talk", {"name": "name", "location": {"start": 0, "end": 1}, "messageId": "m9"}, "MessageNotFound"),
        ("talk", {"name": "name", "location": {"start": 0, "end": 99}, "messageId": "m1"}, "InvalidGeometry"),
        ("talk", {"name": "mood", "answer": {"name": "sad"}, "messageId": "m9"}, "MessageNotFound"),
        ("page", {"name": "mood", "answer": {"name": "sad"}, "messageId": "m1"}, "UnknownField"),
    ],
)
def test_what_labelbox_refuses(scene: Scene, key: str, value: dict[str, Any], error: str) -> None:
    value = dict(value)
    if value["name"] == "table":
        value["bbox"] = {"left": value.pop("left", 1), "top": 1, "width": 50, "height": 50}
    row = {"uuid": str(uuid.uuid4()), "dataRow": {"id": scene.rows[key].id}, **value}
    assert scene.refusals([row]) == [error]
