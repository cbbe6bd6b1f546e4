"""Masks of videos: labels are pictures of frames, predictions are drawn; they are compared frame by frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from vertex_model_inference.annotations import FrameMask, VideoMask
from vertex_model_inference.geometry.runs import encode
from vertex_model_inference.labelbox.ndjson import lines, row_uuids
from vertex_model_inference.models import ModelOption, Predictor
from vertex_model_inference.rows import DataRow, MediaType
from vertex_model_inference.spec import Decoded, Files, RunSpec
from vertex_model_inference.steps.evaluate import evaluate
from vertex_model_inference.storage.places import open_store
from vertex_model_inference.storage.store import Store

ROW = DataRow(id="r" * 25, row_data="gs://videos/one.mp4", media_type=MediaType.VIDEO)
FILES = Files("run")
SIZE = (8, 4)


def drawn(left: int) -> bytes:
    mask = np.zeros((SIZE[1], SIZE[0]), dtype=np.bool_)
    mask[:, left : left + 4] = True
    return encode(mask)


def run_of(folder: Path, kept: list[dict[str, Any]]) -> Store:
    store = open_store(str(folder), endpoint=None, token=lambda: ("", None))
    option = ModelOption(name="m", predictor=Predictor.ONLINE)
    spec = RunSpec(run_id="run", model_run_id="m", option=option, created_at="2024-01-01T00:00:00Z")
    store.put(FILES.spec, msgspec.json.encode(spec))
    said = VideoMask("cell", "", (FrameMask(1, drawn(0)), FrameMask(2, drawn(2)), FrameMask(3, drawn(0))), *SIZE, 0.75)
    head = {"name": "cell", "annotation_kind": "VideoSegmentationMask"}
    frames = {str(number): {"objects": {"o": {**head, "mask": {"url": f"https://x/{number}"}}}} for number in (1, 2)}
    label = {"data_row_id": ROW.id, "labels": [{"annotations": {"frames": frames, "segments": {"o": [[1, 2]]}}}]}
    for kind, found in (
        ("rows", [ROW]),
        ("labels", [label]),
        ("decoded", [Decoded(data_row_id=ROW.id, annotations=1)]),
        ("label_masks", [{"data_row_id": ROW.id, "index": 0, **one} for one in kept]),
    ):
        store.put_lines(FILES.shard(kind, 0), [msgspec.json.encode(one) for one in found])
    store.put_lines(FILES.shard("predictions", 0, "ndjson"), lines([said], ROW, row_uuids("run", ROW.id)))
    return store


def of_frame(number: int) -> dict[str, Any]:
    return {"frame": number, "counts": drawn(0).decode(), "width": SIZE[0], "height": SIZE[1]}


def test_each_frame_is_a_picture(tmp_path: Path) -> None:
    found = evaluate(run_of(tmp_path, [of_frame(1), of_frame(2)]), FILES, None)
    assert found.unsupported == {}
    [masks] = found.splits[0].objects
    assert (masks.kind, masks.labels, masks.predictions) == ("video_mask", 2, 3)
    levels = {one.level: one.right for one in masks.levels}
    assert (levels["0.5"], levels["0.95"]) == (1, 1)  # frame 2 overlaps by a third, nothing is labelled in frame 3


def test_a_mask_of_which_a_frame_is_missing_is_not_judged(tmp_path: Path) -> None:
    kept = [of_frame(1), {"frame": 2, "error": "gone"}]
    found = evaluate(run_of(tmp_path, kept), FILES, None)
    assert found.unsupported == {"mask that cannot be fetched": 1}
    assert found.splits[0].objects == ()
