"""Good rows of every kind, damaged at one place: the check answers, and what it still takes can be exported."""

from __future__ import annotations

import base64
import copy
from typing import Any

import numpy as np
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from vertex_model_inference.geometry.masks import png
from vertex_model_inference.sandbox.labelbox import export_form, label_form, video_masks
from vertex_model_inference.sandbox.labelbox.normalized import complete
from vertex_model_inference.sandbox.labelbox.validation import Asset, FeatureIndex, Kind, Rules, check

TEXT = {"type": "text", "instructions": "t"}
KINDS = ("rectangle", "polygon", "line", "point", "raster-segmentation", "named-entity", "edge", "message-ranking")
RADIO = {"type": "radio", "instructions": "r", "options": [{"value": "a", "options": [TEXT]}, {"value": "b"}]}
ONTOLOGY = complete(
    {
        "tools": [{"tool": kind, "name": kind, "classifications": [RADIO]} for kind in KINDS],
        "classifications": [
            RADIO,
            TEXT,
            {"type": "checklist", "instructions": "c", "options": [{"value": "a"}, {"value": "b"}]},
        ],
    }
)
INDEX = FeatureIndex.of(ONTOLOGY)
ASSETS = {
    ("globalKey", media): Asset(id=media, member=True, media_type=media, width=100, height=100, frame_count=7)
    for media in ("IMAGE", "TEXT", "PDF", "VIDEO", "CONVERSATIONAL", "UNKNOWN")
}
RULES = [Rules("DataRowNotInModelRun", "the model run", both_allowed=both) for both in (False, True)]
BOX = {"left": 1, "top": 2, "width": 10, "height": 20}
PATH = [{"x": 0, "y": 0}, {"x": 5, "y": 0}, {"x": 5.5, "y": 5}]
NESTED = [{"name": "r", "answer": {"name": "a", "confidence": 0.5, "classifications": [{"name": "t", "answer": "x"}]}}]
RANKED = {"parentMessageId": "m", "rankedMessages": [{"messageId": "n", "modelConfigName": "c", "order": 1}]}
MASK_ID = next(tool["featureSchemaId"] for tool in ONTOLOGY["tools"] if tool["name"] == "raster-segmentation")
PNG = base64.b64encode(png(np.zeros((100, 100), dtype=np.bool_))).decode()
GOOD: list[dict[str, Any]] = [
    {"name": "rectangle", "bbox": BOX, "confidence": 0.5, "customMetrics": [{"name": "m", "value": 1}]},
    {"name": "rectangle", "bbox": BOX, "classifications": NESTED},
    {"name": "rectangle", "bbox": BOX, "page": 1, "unit": "POINTS"},
    {"name": "polygon", "polygon": PATH},
    {"name": "line", "line": PATH},
    {"name": "point", "point": {"x": 1, "y": 2}},
    {"name": "raster-segmentation", "mask": {"instanceURI": "https://x/m.png", "colorRGB": [1, 2, 3]}},
    {"name": "raster-segmentation", "mask": {"size": [2, 3], "counts": [1, 2, 3]}},
    {"name": "named-entity", "location": {"start": 0, "end": 9}, "messageId": "4"},
    {"name": "named-entity", "textSelections": [{"tokenIds": ["t"], "groupId": "g", "page": 1}]},
    {"name": "rectangle", "segments": [{"keyframes": [{"frame": 1, "bbox": BOX}, {"frame": 5, "bbox": BOX}]}]},
    {"name": "edge", "relationship": {"source": "s", "target": "t", "type": "bidirectional"}},
    {"name": "message-ranking", "messageEvaluationTask": {"format": "message-ranking", "data": RANKED}},
    {
        "masks": {
            "frames": [{"index": 1, "instanceURI": "https://x/1.png"}],
            "instances": [{"name": "raster-segmentation", "colorRGB": [0, 0, 255]}],
        }
    },
    {
        "confidence": 0.5,
        "masks": {
            "frames": [{"index": 1, "imBytes": PNG}, {"index": 7, "imBytes": PNG}],
            "instances": [
                {"name": "raster-segmentation", "featureSchemaId": MASK_ID, "colorRGB": [0, 0, 255]},
                {"schemaId": MASK_ID, "colorRGB": [255, 0, 0]},
            ],
        },
    },
    {"name": "rectangle", "segments": [{"keyframes": [{"frame": 7, "bbox": BOX, "classifications": NESTED}]}]},
    *NESTED,
    {"name": "r", "answer": [{"name": "a", "frames": [{"start": 1, "end": 2}]}]},
    {"name": "r", "answer": {"name": "a"}, "frames": [{"start": 1, "end": 2}]},
    {"name": "r", "answer": {"name": "a"}, "messageId": "1"},
    {"name": "c", "answer": [{"name": "a"}, {"name": "b", "confidence": 0.5}]},
    {"name": "c", "answers": [{"name": "a"}]},
    {"name": "t", "answer": "x", "confidence": 0.5},
    {"name": "t", "answer": [{"value": "x", "frames": [{"start": 1, "end": 2}]}]},
    {"metricName": "m", "metricValue": {"0.1": 1, "0.2": 2}, "aggregation": "SUM"},
]


def paths(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [before] if before else []
    if isinstance(value, dict):
        for name, inner in value.items():
            found += paths(inner, (*before, name))
    elif isinstance(value, list):
        for n, inner in enumerate(value):
            found += paths(inner, (*before, n))
    return found


PLACES = [(n, path) for n, good in enumerate(GOOD) for path in paths(good)]
damage = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from([[], {}, [[]], [{}], [None], {"name": "a"}, [{"name": "a"}], [{"x": 1, "y": 1}], "a", "r", 1, 0.5]),
)
GONE = object()


@settings(max_examples=3000, deadline=None)
@given(
    st.sampled_from(PLACES),
    damage | st.just(GONE),
    st.sampled_from(sorted(key for _, key in ASSETS)),
    st.sampled_from(RULES),
)
def test_damage(place: tuple[int, tuple[Any, ...]], new: Any, media: str, rules: Rules) -> None:
    n, path = place
    row = copy.deepcopy(GOOD[n])
    target: Any = row
    for step in path[:-1]:
        target = target[step]
    if new is GONE:
        del target[path[-1]]
    else:
        target[path[-1]] = new
    row["dataRow"] = {"globalKey": media}
    checked = check(row, INDEX, ASSETS, rules)
    if checked.problems:
        return
    assert checked.kind is not None
    assert checked.asset is not None
    relation = row.get("relationship", {})
    ends = {relation[end]: "f" for end in ("source", "target") if end in relation}
    for scored in (True, False):
        if checked.kind is Kind.VIDEO_MASKS:
            form, pictures = video_masks.expand(row, INDEX, "f" * 25, str, scored=scored)
            assert len(pictures) == len(row["masks"]["frames"]) * len(row["masks"]["instances"])
        else:
            form = export_form.annotation_of(
                row,
                checked.kind,
                checked.feature,
                checked.asset,
                "f" * 25,
                scored=scored,
                mask_url="http://m",
                ends=ends,
            )
        text = orjson.dumps(form).decode()
        label_form.assemble([(export_form.place_of(checked.kind, row), text)])


def test_the_undamaged_rows_are_good() -> None:
    for good in GOOD:
        row = {**good, "dataRow": {"globalKey": "UNKNOWN"}}
        assert check(row, INDEX, ASSETS, RULES[0]).problems == ()
