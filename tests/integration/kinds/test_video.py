"""What a model finds in a video: matched, written, imported into Labelbox, exported, and still what the model said."""

from __future__ import annotations

import io
import json
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
import numpy.typing as npt
import pytest
from PIL import Image
from tests.videos import video

from vertex_model_inference.decoders.registry import by_name
from vertex_model_inference.findings import (
    Finding,
    FoundFrame,
    FoundFrameMask,
    FoundLabel,
    FoundText,
    FoundTrack,
    FoundVideoMask,
)
from vertex_model_inference.geometry.runs import encode
from vertex_model_inference.labelbox.exports import parse_export_row
from vertex_model_inference.labelbox.ndjson import lines, row_uuids
from vertex_model_inference.labelbox.ontologies import parse_ontology
from vertex_model_inference.models import MatchRules
from vertex_model_inference.ontology import Ontology
from vertex_model_inference.rows import DataRow, MediaType
from vertex_model_inference.sandbox.child import run_in_thread
from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.labelbox.app import create_app
from vertex_model_inference.steps.match import Matcher
from vertex_model_inference.steps.video_files import video_header

WIDTH, HEIGHT, COUNT = 64, 48, 100
CONFIDENCES = [0.0, 0.1234567, 1.0]
STATES = ("still", "moving")


class Scene(msgspec.Struct):
    """A run with one video of 100 frames at 25 a second."""

    run: Any
    model_id: str
    ontology: Ontology
    row: DataRow
    seen: set[str] = set()

    def exported(self, *found: Finding, **rules: Any) -> list[dict[str, Any]]:
        """Import what is found; give the annotations of each prediction, with nothing of earlier imports."""
        matched = Matcher(self.ontology, MatchRules(**rules)).match(found, self.row)
        made = lines(matched.annotations, self.row, row_uuids(uuid.uuid4().hex, self.row.id))
        job = self.run.add_predictions(f"import {uuid.uuid4()}", [msgspec.json.decode(line) for line in made])
        end = time.monotonic() + 30
        while job.state.value == "RUNNING":
            assert time.monotonic() < end, "the import did not end"
            time.sleep(0.02)
            job.refresh()
        assert job.errors == []
        (row,) = self._rows()
        given = row["experiments"][self.model_id]["runs"][self.run.uid]["predictions"]
        assert {each["label_kind"] for each in given} == {"Video"}
        fresh = []
        for prediction in given:
            annotations = prediction["annotations"]
            new = {key for key in annotations["segments"] if key not in self.seen}
            self.seen |= new
            fresh.append({key: _only(annotations[key], new) for key in ("segments", "key_frame_feature_map")})
            fresh[-1]["frames"] = {
                number: {
                    "objects": _only(frame["objects"], new),
                    "classifications": [each for each in frame["classifications"] if each["feature_id"] in new],
                }
                for number, frame in annotations["frames"].items()
            }
        return fresh

    def _rows(self) -> list[dict[str, Any]]:
        task = self.run.export(params={"predictions": True})
        task.wait_till_done()
        return [each.json for each in task.get_buffered_stream()]

    def objects(self, *found: Finding, **rules: Any) -> list[dict[str, Any]]:
        """The objects of an import: each its segments, key frames, and what it is in each frame."""
        made = []
        for given in self.exported(*found, **rules):
            for key, segments in given["segments"].items():
                frames = {
                    int(number): frame["objects"][key]
                    for number, frame in given["frames"].items()
                    if key in frame["objects"]
                }
                assert sorted(frames) == given["key_frame_feature_map"][key]
                made.append({"segments": segments, "frames": frames})
        return made

    def answers(self, *found: Finding, **rules: Any) -> list[tuple[str, list[list[int]], Any]]:
        """The answers of an import: question, ranges of frames, and the answer in its first frame."""
        made = []
        for given in self.exported(*found, **rules):
            for key, segments in given["segments"].items():
                first = given["frames"][str(segments[0][0])]["classifications"]
                (item,) = [each for each in first if each["feature_id"] == key]
                answer = item.get("radio_answer") or item.get("checklist_answers")
                made.append((item["name"], segments, answer))
        return made


def _only(values: dict[str, Any], keys: set[str]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key in keys}


def question(kind: str, name: str, scope: str, *options: str) -> dict[str, Any]:
    choices = [{"label": each, "value": each} for each in options]
    return {"type": kind, "name": name, "instructions": name, "scope": scope, "options": choices}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("video")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        config = SandboxConfig(state=folder / "state", labelbox_port=port, storage_port=1, vertex_port=1)
        with run_in_thread(create_app(config), sock):
            yield _scene(config, folder)


def _scene(config: SandboxConfig, folder: Path) -> Scene:
    url = config.labelbox_url
    client: Any = lb.Client(api_key="any", endpoint=f"{url}/graphql", rest_endpoint=f"{url}/api/v1")
    film = video([40 * n for n in range(COUNT)], size=(WIDTH, HEIGHT))
    (folder / "film.mp4").write_bytes(film)
    dataset = client.create_dataset(name="videos")
    given = {"row_data": client.upload_file(str(folder / "film.mp4")), "global_key": "film", "media_type": "VIDEO"}
    task = dataset.create_data_rows([given])
    task.wait_till_done()
    assert task.errors is None
    about = [question("radio", "is", "global", *STATES), question("text", "plate", "global")]
    tools = [
        {"tool": "rectangle", "name": "car", "color": "#ff0000", "classifications": about},
        {"tool": "raster-segmentation", "name": "dog", "color": "#00ff00", "classifications": []},
    ]
    questions = [
        question("radio", "camera", "index", *STATES),
        question("checklist", "scene", "index", "day", "night"),
    ]
    made = client.create_ontology("videos", {"tools": tools, "classifications": questions}, lb.MediaType.Video)
    model = client.create_model("videos", made.uid)
    run = model.create_model_run("run")
    run.upsert_data_rows(global_keys=["film"])
    task = run.export()
    task.wait_till_done()
    (row,) = [parse_export_row(json.dumps(each.json).encode(), run.uid) for each in task.get_buffered_stream()]
    assert (row.media_type, row.mime_type, row.width, row.height) == (MediaType.VIDEO, "video/mp4", WIDTH, HEIGHT)
    assert row.frame_count == COUNT
    assert row.frame_rate == pytest.approx(25, rel=0.01)
    header = video_header(film, "film")  # as the assets step does: Labelbox's own rate is rounded
    assert (header.rate, header.count) == (25, COUNT)
    row = msgspec.structs.replace(row, frame_rate=header.rate)
    ontology = parse_ontology({"id": made.uid, "name": made.name, "normalized": made.normalized})
    return Scene(run, model.uid, ontology, row)


def boxes(*places: tuple[int, float]) -> tuple[FoundFrame, ...]:
    return tuple(FoundFrame(frame, left, 5.25, 10.5, 20) for frame, left in places)


def test_a_track(scene: Scene) -> None:
    moving = boxes((3, 0), (4, 1), (5, 2.5), (6, 4), (9, 30))
    (found,) = scene.objects(FoundTrack("car", (moving, boxes((50, 7))), 0.5), simplify_px=0.0)
    assert found["segments"] == [[3, 9], [50, 50]]
    expected = {3: 0, 4: 1, 6: 4, 9: 30, 50: 7}  # frame 5 lies on the line from 4 to 6
    assert {frame: item["bounding_box"]["left"] for frame, item in found["frames"].items()} == expected
    for item in found["frames"].values():
        assert (item["name"], item["annotation_kind"]) == ("car", "VideoBoundingBox")
        box = item["bounding_box"]
        assert (box["top"], box["width"], box["height"]) == (5.25, 10.5, 20)
        assert item["classifications"] == []
        assert "confidence" not in item  # Labelbox has none for objects in frames


def test_answers_about_a_track(scene: Scene) -> None:
    answers = (
        FoundLabel("still", 0.25, frames=((1, 3),)),
        FoundLabel("moving", 0.75, frames=((4, 9),)),
        FoundText("plate", "VMI 1"),
    )
    (found,) = scene.objects(FoundTrack("car", (boxes((1, 0), (4, 0), (9, 0)),), answers=answers))
    told = {
        frame: {each["name"]: each.get("radio_answer") or each["text_answer"] for each in item["classifications"]}
        for frame, item in found["frames"].items()
    }
    assert list(told) == [1, 4, 9]
    assert [(each["is"]["name"], each["is"]["confidence"]) for each in told.values()] == [
        ("still", 0.25),
        ("moving", 0.75),
        ("moving", 0.75),
    ]
    assert {each["plate"]["content"] for each in told.values()} == {"VMI 1"}


BitMask = npt.NDArray[np.bool_]


def _pixels(item: dict[str, Any]) -> BitMask:
    answer = httpx2.get(item["mask"]["url"], trust_env=False)
    with Image.open(io.BytesIO(answer.content)) as image:
        drawn: BitMask = np.asarray(image.convert("L")) == 255
        return drawn


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_masks_of_two_objects_that_overlap(scene: Scene, confidence: float) -> None:
    shapes = np.zeros((3, HEIGHT, WIDTH), dtype=np.bool_)
    shapes[0, 4:20, 5:25] = True
    shapes[0, 8:12, 10:15] = False
    shapes[1, 6:22, 5:25] = True
    shapes[2, 10:40, 15:60] = True
    one, later, other = (encode(mask) for mask in shapes)
    frames = (FoundFrameMask(2, one), FoundFrameMask(3, later), FoundFrameMask(9, one))
    found = scene.objects(
        FoundVideoMask("dog", frames, WIDTH, HEIGHT, confidence),
        FoundVideoMask("dog", (FoundFrameMask(3, other),), WIDTH, HEIGHT, confidence),
    )
    assert [each["segments"] for each in found] == [[[2, 3], [9, 9]], [[3, 3]]]
    for each, wanted in zip(found, ({2: 0, 3: 1, 9: 0}, {3: 2}), strict=True):
        assert list(each["frames"]) == list(wanted)
        for frame, item in each["frames"].items():
            assert (item["name"], item["annotation_kind"]) == ("dog", "VideoSegmentationMask")
            assert item["confidence"] == pytest.approx(confidence, abs=1e-6)
            assert np.array_equal(_pixels(item), shapes[wanted[frame]])


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_answers_frame_by_frame(scene: Scene, confidence: float) -> None:
    found = scene.answers(
        FoundLabel("still", confidence, frames=((1, 30), (41, 50))),
        FoundLabel("day", confidence, frames=((7, 9),)),
        FoundLabel("night", confidence, frames=((7, 9),)),
        threshold=0.0,
    )
    radio, checklist = found
    assert radio[:2] == ("camera", [[1, 30], [41, 50]])
    assert (radio[2]["name"], radio[2]["confidence"]) == ("still", pytest.approx(confidence, abs=1e-6))
    assert checklist[:2] == ("scene", [[7, 9]])
    assert [each["name"] for each in checklist[2]] == ["day", "night"]
    assert [each["confidence"] for each in checklist[2]] == pytest.approx([confidence] * 2, abs=1e-6)


def test_a_radio_that_changes_is_several_answers(scene: Scene) -> None:
    found = scene.answers(FoundLabel("still", 0.5), FoundLabel("moving", 0.75, frames=((31, 40),)))
    assert [(segments, answer["name"], answer["confidence"]) for _, segments, answer in found] == [
        ([[1, 30], [41, COUNT]], "still", 0.5),
        ([[31, 40]], "moving", 0.75),
    ]


def test_answers_of_a_checklist_with_frames_of_their_own(scene: Scene) -> None:
    ((_, segments, first),) = scene.answers(
        FoundLabel("day", 0.75, frames=((1, 9),)), FoundLabel("night", 0.5, frames=((5, 20),))
    )
    assert sorted(map(tuple, segments)) == [(1, 9), (5, 20)]
    assert [each["name"] for each in first] == ["day"]


STRETCH = {"displayName": "still", "timeSegmentStart": "0.4s", "timeSegmentEnd": "1.2s", "confidence": 0.75}
BOX = {"xmin": 8, "ymin": 6, "xmax": 24, "ymax": 30}
AT_START, AT_END = {"timeOffset": "0.4s"}, {"timeOffset": "1.16s"}
RELATIVE = {"xMin": 0.125, "yMin": 0.125, "xMax": 0.375, "yMax": 0.625}
RUNS = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * 8 + 6, 24, HEIGHT * (WIDTH - 8) - 30]}
FAMILIES: dict[str, tuple[Any, str]] = {
    "automl-video-classification": ([{**STRETCH, "type": "shot-classification"}], "answer"),
    "automl-action-recognition": ([STRETCH], "answer"),
    "video-segments": ([{"label": "still", "score": 0.75, "start": 0.4, "end": 1.2}], "answer"),
    "automl-object-tracking": (
        [{"displayName": "car", "confidence": 0.75, "frames": [{**AT_START, **RELATIVE}, {**AT_END, **RELATIVE}]}],
        "track",
    ),
    "video-tracks": (
        [{"label": "car", "score": 0.75, "frames": [{"frame": 10, "box": BOX}, {"time": 1.16, "box": BOX}]}],
        "track",
    ),
    "frame-detections": (
        {str(frame): [{"label": "car", "score": 0.75, "box": BOX, "track_id": 1}] for frame in (10, 29)},
        "track",
    ),
    "video-masks": (
        [{"label": "dog", "score": 0.75, "frames": [{"frame": n, "segmentation": RUNS} for n in (10, 29)]}],
        "mask",
    ),
}
"""Each family saying the same: frames 11 to 30, and the same place."""

VIDEO_WAYS = {"answer": ("radio", "checklist"), "track": ("FoundTrack",), "mask": ("FoundVideoMask",)}
"""What a family of videos gives -> the ways of the matrix that are tried here."""


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family(scene: Scene, family: str) -> None:
    said, what = FAMILIES[family]
    found = by_name(family).decode(json.dumps(said).encode(), scene.row)
    if what == "answer":
        checked = [msgspec.structs.replace(each, label="day") for each in found if isinstance(each, FoundLabel)]
        ((name, segments, several),) = scene.answers(*checked)
        assert (name, segments, [each["name"] for each in several]) == ("scene", [[11, 30]], ["day"])
        ((name, segments, answer),) = scene.answers(*found)
        assert (name, segments, answer["name"], answer["confidence"]) == ("camera", [[11, 30]], "still", 0.75)
        return
    (item,) = scene.objects(*found)
    assert list(item["frames"]) == [11, 30]
    if what == "track":
        assert item["segments"] == [[11, 30]]
        box = {"left": 8, "top": 6, "width": 16, "height": 24}
        assert [each["bounding_box"] for each in item["frames"].values()] == [box, box]
    else:
        expected = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
        expected[6:30, 8] = True
        for each in item["frames"].values():
            assert np.array_equal(_pixels(each), expected)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ({"name": "car", "segments": [{"keyframes": [{"frame": 101, "bbox": {}}]}]}, "the video has 100 frames"),
        ({"name": "car", "segments": [{"keyframes": [{"frame": 0, "bbox": {}}]}]}, "a whole number from 1"),
        ({"name": "car", "confidence": 0.5, "segments": [{"keyframes": []}]}, "confidence"),
        ({"name": "camera", "answer": {"name": "still"}, "frames": [{"start": 0, "end": 5}]}, "frames 1 to 100"),
        ({"name": "camera", "answer": {"name": "still"}, "frames": [{"start": 90, "end": 101}]}, "frames 1 to 100"),
        (
            {
                "masks": {
                    "frames": [{"index": 1, "imBytes": "x"}],
                    "instances": [{"name": "dog", "colorRGB": [1, 1, 1]}],
                }
            },
            "not a base64-encoded PNG",
        ),
        (
            {
                "masks": {
                    "frames": [{"index": 101, "instanceURI": "https://h/x.png"}],
                    "instances": [{"name": "car", "colorRGB": [1, 1, 1]}],
                }
            },
            "frames 1 to 100",
        ),
    ],
)
def test_what_labelbox_would_refuse_is_refused(scene: Scene, value: dict[str, Any], what: str) -> None:
    row = {"uuid": str(uuid.uuid4()), "dataRow": {"id": scene.row.id}, **value}
    job = scene.run.add_predictions(f"bad {uuid.uuid4()}", [row])
    end = time.monotonic() + 30
    while job.state.value == "RUNNING":
        assert time.monotonic() < end, "the import did not end"
        time.sleep(0.02)
        job.refresh()
    (status,) = job.errors
    assert what in " ".join(each["message"] for each in status["errors"])
