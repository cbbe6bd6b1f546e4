"""The matrix for videos: every family by every kind of annotation, imported into Labelbox and exported again."""

from __future__ import annotations

import base64
import io
import json
import socket
import time
import uuid
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import httpx2
import labelbox as lb
import msgspec
import numpy as np
import pytest
from PIL import Image
from tests.integration.kinds.video_cells import (
    COUNT,
    HEIGHT,
    MASKS,
    RATE,
    STRETCHES,
    TRACKS,
    VIDEO_CELLS,
    WIDTH,
    VideoCell,
)

from vertex_model_inference.decoders.registry import by_name, recognise
from vertex_model_inference.labelbox.ndjson import lines, row_uuids
from vertex_model_inference.labelbox.ontologies import parse_ontology
from vertex_model_inference.models import MatchRules, ModelOption, Predictor
from vertex_model_inference.ontology import Ontology
from vertex_model_inference.rows import DataRow, MediaType
from vertex_model_inference.sandbox.child import run_in_thread
from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.labelbox.app import create_app
from vertex_model_inference.steps.match import Matcher

FEATURES = {"radio": "animal/{}", "checklist": "traits/{}", "track": "box", "video mask": "pixels"}


def _write_video(path: Path) -> None:
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.time_base = Fraction(1, RATE)
        for number in range(COUNT):
            frame = av.VideoFrame.from_ndarray(np.full((HEIGHT, WIDTH, 3), 12 * number, dtype=np.uint8), "rgb24")
            frame.pts = number
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


class Cinema(msgspec.Struct):
    """A model of an ontology, and a video."""

    client: Any
    model: Any
    ontology: Ontology
    row: DataRow

    def annotations(self, found: Any, **rules: Any) -> dict[str, Any]:
        """Import what is found into a fresh model run, and give the export's annotations."""
        run = self.model.create_model_run(uuid.uuid4().hex)
        run.upsert_data_rows(global_keys=["video"])
        matched = Matcher(self.ontology, MatchRules(**rules)).match(found, self.row)
        assert matched.dropped == {}
        made = lines(matched.annotations, self.row, row_uuids(uuid.uuid4().hex, self.row.id))
        job = run.add_predictions(f"import {uuid.uuid4()}", [msgspec.json.decode(line) for line in made])
        end = time.monotonic() + 30
        while job.state.value == "RUNNING":
            assert time.monotonic() < end, "the import did not end"
            time.sleep(0.02)
            job.refresh()
        assert job.errors == []
        task = run.export(params={"predictions": True})
        task.wait_till_done()
        (row,) = [each.json for each in task.get_buffered_stream()]
        (prediction,) = row["experiments"][self.model.uid]["runs"][run.uid]["predictions"]
        assert prediction["label_kind"] == "Video"
        exported: dict[str, Any] = prediction["annotations"]
        return exported


@pytest.fixture(scope="module")
def cinema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cinema]:
    folder = tmp_path_factory.mktemp("video-families")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        config = SandboxConfig(state=folder / "state", labelbox_port=port, storage_port=1, vertex_port=1)
        with run_in_thread(create_app(config), sock):
            yield _cinema(config, folder)


def _cinema(config: SandboxConfig, folder: Path) -> Cinema:
    url = config.labelbox_url
    client: Any = lb.Client(api_key="any", endpoint=f"{url}/graphql", rest_endpoint=f"{url}/api/v1")
    _write_video(folder / "video.mp4")
    item = {"row_data": client.upload_file(str(folder / "video.mp4")), "global_key": "video", "media_type": "VIDEO"}
    task = client.create_dataset(name="videos").create_data_rows([item])
    task.wait_till_done()
    assert task.errors is None
    tools = [
        {"tool": kind, "name": name, "color": "#ff0000", "classifications": []}
        for name, kind in (("box", "rectangle"), ("pixels", "raster-segmentation"))
    ]
    options = [{"label": name, "value": name} for name in ("cat", "dog")]
    questions = [
        {"type": kind, "name": name, "instructions": name, "scope": "index", "options": options}
        for name, kind in (("animal", "radio"), ("traits", "checklist"))
    ]
    made = client.create_ontology("videos", {"tools": tools, "classifications": questions}, lb.MediaType.Video)
    row = DataRow(
        id=task.result[0]["id"],
        row_data="video",
        media_type=MediaType.VIDEO,
        width=WIDTH,
        height=HEIGHT,
        frame_rate=RATE,
        frame_count=COUNT,
    )
    ontology = parse_ontology({"id": made.uid, "name": made.name, "normalized": made.normalized})
    return Cinema(client, client.create_model("videos", made.uid), ontology, row)


@pytest.mark.parametrize("cell", VIDEO_CELLS, ids=lambda cell: f"{cell.family}-by-{cell.way}")
def test_a_cell(cinema: Cinema, cell: VideoCell) -> None:
    said = json.dumps(cell.answer()).encode()
    if cell.known:
        option = ModelOption(name="m", predictor=Predictor.BATCH)
        assert recognise([said], option).name == cell.family
    findings = by_name(cell.family).decode(said, cinema.row)
    classes = {name: FEATURES[cell.way].format(name) for name in ("cat", "dog")}
    exported = cinema.annotations(findings, threshold=0.0, simplify_px=0.0, classes=classes)
    check = {"radio": _radio, "checklist": _checklist, "track": _tracks, "video mask": _masks}[cell.way]
    check(exported)


def _edges(exported: dict[str, Any]) -> dict[tuple[int, int], list[dict[str, Any]]]:
    """First and last frame of each range -> what is answered at its beginning."""
    found = {}
    for feature_id, ranges in exported["segments"].items():
        for first, last in ranges:
            there = exported["frames"][str(first)]["classifications"]
            found[first, last] = [each for each in there if each["feature_id"] == feature_id]
    return found


def _radio(exported: dict[str, Any]) -> None:
    found = _edges(exported)
    assert set(found) == {frames for _, frames in STRETCHES.values()}
    for name, (score, frames) in STRETCHES.items():
        (each,) = found[frames]
        assert (each["name"], each["radio_answer"]["name"]) == ("animal", name)
        assert each["radio_answer"]["confidence"] == pytest.approx(score, abs=1e-6)


def _checklist(exported: dict[str, Any]) -> None:
    found = _edges(exported)
    assert set(found) == {frames for _, frames in STRETCHES.values()}
    for name, (score, frames) in STRETCHES.items():
        answers = [answer for each in found[frames] for answer in each["checklist_answers"]]
        (answer,) = [answer for answer in answers if answer["name"] == name]
        assert answer["confidence"] == pytest.approx(score, abs=1e-6)


def _tracks(exported: dict[str, Any]) -> None:
    wanted = {(min(boxes), max(boxes)): boxes for _, boxes in TRACKS.values()}
    ids = {tuple(ranges[0]): feature_id for feature_id, ranges in exported["segments"].items()}
    assert ids.keys() == wanted.keys()
    for frames, boxes in wanted.items():
        feature_id = ids[frames]
        assert sorted(map(int, exported["key_frame_feature_map"][feature_id])) == sorted(boxes)
        for frame, right in boxes.items():
            thing = exported["frames"][str(frame)]["objects"][feature_id]
            assert thing["name"] == "box"
            box = thing["bounding_box"]
            edges = (box["left"], box["top"], box["left"] + box["width"], box["top"] + box["height"])
            assert edges == pytest.approx(right, abs=0.011)


def _masks(exported: dict[str, Any]) -> None:
    found = sorted(exported["objects"], key=lambda each: -each["confidence"])
    assert len(found) == len(MASKS)
    for each, (score, masks) in zip(found, MASKS.values(), strict=True):
        assert each["name"] == "pixels"
        assert each["confidence"] == pytest.approx(score, abs=1e-6)
        pictures = {frame["index"]: _pixels(frame) for frame in each["masks"]["frames"]}
        assert pictures.keys() == masks.keys()
        for frame, pixels in masks.items():
            assert np.array_equal(pictures[frame], pixels)


def _pixels(frame: dict[str, Any]) -> Any:
    data = frame.get("imBytes")
    raw = base64.b64decode(data) if data else httpx2.get(frame["instanceURI"], trust_env=False).content
    with Image.open(io.BytesIO(raw)) as image:
        return np.asarray(image.convert("L")) == 255
