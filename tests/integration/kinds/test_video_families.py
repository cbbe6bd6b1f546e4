"""The matrix for videos: every family by every kind of annotation, imported into Labelbox and exported again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import labelbox as lb
import numpy as np
import pytest
from tests.integration.kinds.stage import Stage, question, tool
from tests.integration.kinds.test_video import _pixels
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
from vertex_model_inference.models import MatchRules, ModelOption, Predictor
from vertex_model_inference.rows import DataRow, MediaType
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


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("video-families")
    _write_video(folder / "video.mp4")
    normalized = {
        "tools": [tool("box", "rectangle"), tool("pixels", "raster-segmentation")],
        "classifications": [
            question("animal", "radio", "cat", "dog", scope="index"),
            question("traits", "checklist", "cat", "dog", scope="index"),
        ],
    }
    with Stage.open(folder, folder / "video.mp4", lb.MediaType.Video, normalized) as made:
        yield made


@pytest.mark.parametrize("cell", VIDEO_CELLS, ids=lambda cell: f"{cell.family}-by-{cell.way}")
def test_a_cell(stage: Stage, cell: VideoCell) -> None:
    row = DataRow(
        id=stage.row_id,
        row_data="video",
        media_type=MediaType.VIDEO,
        width=WIDTH,
        height=HEIGHT,
        frame_rate=RATE,
        frame_count=COUNT,
    )
    said = json.dumps(cell.answer()).encode()
    if cell.known:
        option = ModelOption(name="m", predictor=Predictor.BATCH)
        assert recognise([said], option).name == cell.family
    findings = by_name(cell.family).decode(said, row)
    classes: dict[str, str | tuple[str, ...]] = {name: FEATURES[cell.way].format(name) for name in ("cat", "dog")}
    rules = MatchRules(threshold=0.0, simplify_px=0.0, classes=classes)
    matched = Matcher(stage.ontology, rules).match(findings, row)
    assert matched.dropped == {}
    prediction = stage.export(matched.annotations, row)
    assert prediction["label_kind"] == "Video"
    check = {"radio": _radio, "checklist": _checklist, "track": _tracks, "video mask": _masks}[cell.way]
    check(prediction["annotations"])


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
    objects: dict[str, dict[int, dict[str, Any]]] = {}
    for frame, held in exported["frames"].items():
        for feature_id, each in held["objects"].items():
            objects.setdefault(feature_id, {})[int(frame)] = each
    found = sorted(objects.values(), key=lambda frames: -next(iter(frames.values()))["confidence"])
    assert len(found) == len(MASKS)
    for frames, (score, masks) in zip(found, MASKS.values(), strict=True):
        assert frames.keys() == masks.keys()
        for frame, each in frames.items():
            assert each["name"] == "pixels"
            assert each["confidence"] == pytest.approx(score, abs=1e-6)
            assert np.array_equal(_pixels(each), masks[frame])
