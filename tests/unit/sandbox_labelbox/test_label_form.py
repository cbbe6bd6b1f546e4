from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from vertex_model_inference.sandbox.labelbox import export_form, label_form
from vertex_model_inference.sandbox.labelbox.normalized import complete
from vertex_model_inference.sandbox.labelbox.validation import Asset, FeatureIndex, Rules, check

INDEX = FeatureIndex.of(
    complete(
        {
            "tools": [{"tool": "rectangle", "name": "Box 1"}],
            "classifications": [
                {"type": "checklist", "instructions": "c", "options": [{"value": "a"}, {"value": "b"}]},
                {"type": "text", "instructions": "t"},
            ],
        }
    )
)
ASSETS = {("globalKey", "v"): Asset(id="v", member=True, media_type="VIDEO")}
BOX = {"left": 1, "top": 2, "width": 3, "height": 4}


def assembled(*rows: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    items = []
    for n, row in enumerate(rows):
        given = {**row, "dataRow": {"globalKey": "v"}}
        checked = check(given, INDEX, ASSETS, Rules("x", "y", both_allowed=False))
        assert checked.problems == ()
        assert checked.kind is not None
        assert checked.asset is not None
        form = export_form.annotation_of(
            given, checked.kind, checked.feature, checked.asset, f"f{n}", scored=True, mask_url="", ends={}
        )
        items.append((export_form.place_of(checked.kind, given), orjson.dumps(form).decode()))
    kind, text = label_form.assemble(items)
    return kind, json.loads(text)


def test_video_objects_are_spread_over_their_key_frames() -> None:
    frames = [{"frame": 7, "bbox": BOX}, {"frame": 13, "bbox": {**BOX, "left": 9}}]
    kind, found = assembled(
        {"name": "Box 1", "segments": [{"keyframes": frames}, {"keyframes": [{**frames[0], "frame": 18}]}]}
    )
    assert kind == "Video"
    assert found["segments"] == {"f0": [[7, 13], [18, 18]]}
    assert found["key_frame_feature_map"] == {"f0": [7, 13, 18]}
    assert list(found["frames"]) == ["7", "13", "18"]
    box = found["frames"]["13"]["objects"]["f0"]
    assert (box["annotation_kind"], box["value"], box["bounding_box"]["left"]) == ("VideoBoundingBox", "box_1", 9)


@pytest.mark.parametrize(
    "row",
    [
        {"name": "c", "answer": [{"name": "a"}], "frames": [{"start": 7, "end": 13}, {"start": 18, "end": 19}]},
        {"name": "c", "answer": [{"name": "a", "frames": [{"start": 7, "end": 13}, {"start": 18, "end": 19}]}]},
    ],
)
def test_framed_answers(row: dict[str, Any]) -> None:
    kind, found = assembled(row)
    assert kind == "Video"
    assert found["segments"] == {"f0": [[7, 13], [18, 19]]}
    assert found["key_frame_feature_map"] == {"f0": [7, 13, 18, 19]}
    for number in ("7", "13", "18", "19"):
        (answered,) = found["frames"][number]["classifications"]
        assert [answer["name"] for answer in answered["checklist_answers"]] == ["a"]
        assert "frames" not in answered["checklist_answers"][0]


def test_framed_texts() -> None:
    pieces = [{"value": "hi", "frames": [{"start": 1, "end": 2}]}, {"value": "bye", "frames": [{"start": 3, "end": 3}]}]
    _, found = assembled({"name": "t", "answer": pieces})
    texts = {frame: form["classifications"][0]["text_answer"]["content"] for frame, form in found["frames"].items()}
    assert texts == {"1": "hi", "2": "hi", "3": "bye"}


def test_without_frames_a_video_has_a_plain_label() -> None:
    kind, found = assembled({"name": "t", "answer": "whole", "confidence": 0.5})
    assert kind == "Default"
    assert found["classifications"][0]["text_answer"] == {"content": "whole", "classifications": [], "confidence": 0.5}
