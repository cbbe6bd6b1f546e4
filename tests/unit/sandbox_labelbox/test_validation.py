from __future__ import annotations

import base64
import io
import uuid
from typing import Any

import pytest
from PIL import Image

from vertex_model_inference.sandbox.labelbox.normalized import complete
from vertex_model_inference.sandbox.labelbox.validation import Asset, FeatureIndex, Kind, Rules, check

RULES = Rules("DataRowNotInModelRun", "the model run", both_allowed=False)
LABELS = Rules("DataRowNotInProject", "a batch of the project", both_allowed=True)


def radio(name: str, *values: str, **nested: list[Any]) -> dict[str, Any]:
    options = [{"label": v, "value": v, "options": nested.get(v, [])} for v in values]
    return {"type": "radio", "name": name, "instructions": name, "options": options}


TEXT = {"type": "text", "instructions": "note"}
ONTOLOGY = complete(
    {
        "tools": [
            {"tool": "rectangle", "name": "box", "classifications": [radio("sub", "x", "y", x=[TEXT]), TEXT]},
            {"tool": "polygon", "name": "poly"},
            {"tool": "line", "name": "line"},
            {"tool": "point", "name": "point"},
            {"tool": "raster-segmentation", "name": "mask"},
            {"tool": "named-entity", "name": "ner"},
            {"tool": "edge", "name": "rel"},
            {"tool": "message-ranking", "name": "rank"},
            {"tool": "message-single-selection", "name": "pick"},
        ],
        "classifications": [
            radio("q", "a", "b"),
            {"type": "checklist", "instructions": "c", "options": [{"label": "One", "value": "one"}, {"value": "two"}]},
            TEXT,
        ],
    }
)
INDEX = FeatureIndex.of(ONTOLOGY)
ASSETS = {
    ("globalKey", "img"): Asset(id="i" * 25, member=True, media_type="IMAGE", width=100, height=50),
    ("id", "i" * 25): Asset(id="i" * 25, member=True, media_type="IMAGE", width=100, height=50),
    ("globalKey", "txt"): Asset(id="t" * 25, member=True, media_type="TEXT", text_length=10),
    ("globalKey", "vid"): Asset(id="v" * 25, member=True, media_type="VIDEO"),
    ("globalKey", "pdf"): Asset(id="p" * 25, member=True, media_type="PDF"),
    ("globalKey", "conv"): Asset(id="c" * 25, member=True, media_type="CONVERSATIONAL"),
    ("globalKey", "any"): Asset(id="a" * 25, member=True),
    ("globalKey", "out"): Asset(id="o" * 25, member=False, media_type="IMAGE"),
}
BOX = {"left": 1, "top": 2, "width": 10, "height": 20}
TRIANGLE = [{"x": 0, "y": 0}, {"x": 5, "y": 0}, {"x": 5.5, "y": 5}]


def png() -> str:
    out = io.BytesIO()
    Image.new("L", (2, 2)).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def row(_key: str = "img", **fields: Any) -> dict[str, Any]:
    return {"uuid": str(uuid.uuid4()), "dataRow": {"globalKey": _key}, **fields}


def names(value: Any, rules: Rules = RULES) -> list[str]:
    return [problem.name for problem in check(value, INDEX, ASSETS, rules).problems]


SEGMENTS = [{"keyframes": [{"frame": 1, "bbox": BOX}, {"frame": 5, "bbox": BOX, "classifications": []}]}]
GOOD = [
    (row(name="box", bbox=BOX, confidence=0.0), Kind.BOX),
    (row(name="box", bbox={"left": 0, "top": 0, "width": 100, "height": 50.0}), Kind.BOX),
    (row(schemaId=INDEX.tools["box"].schema_id, bbox=BOX, confidence=1), Kind.BOX),
    (
        row(
            name="box",
            bbox=BOX,
            classifications=[
                {
                    "name": "sub",
                    "answer": {
                        "name": "x",
                        "confidence": 0.5,
                        "classifications": [{"name": "note", "answer": "hm", "confidence": 0.25}],
                    },
                }
            ],
        ),
        Kind.BOX,
    ),
    (row("pdf", name="box", bbox=BOX, page=1, unit="POINTS"), Kind.BOX),
    (row(name="poly", polygon=TRIANGLE), Kind.POLYGON),
    (row(name="poly", polygon=[*TRIANGLE, TRIANGLE[0]]), Kind.POLYGON),
    (row(name="line", line=TRIANGLE[:2]), Kind.LINE),
    (row(name="point", point={"x": 3, "y": 4.5}), Kind.POINT),
    (row(name="mask", mask={"instanceURI": "https://x/m.png", "colorRGB": [255, 0, 0]}), Kind.MASK),
    (row(name="mask", mask={"png": png()}), Kind.MASK),
    (row(name="mask", mask={"size": [2, 3], "counts": [1, 2, 3]}), Kind.MASK),
    (row("txt", name="ner", location={"start": 0, "end": 9}), Kind.ENTITY),
    (row("conv", name="ner", location={"start": 0, "end": 900}, messageId="4"), Kind.ENTITY),
    (
        row("pdf", name="ner", textSelections=[{"tokenIds": ["t"], "groupId": "g", "page": 1}]),
        Kind.DOCUMENT_ENTITY,
    ),
    (row("vid", name="box", segments=SEGMENTS), Kind.SEGMENTS),
    (
        row(
            "vid",
            masks={
                "frames": [{"index": 1, "instanceURI": "https://x/1.png"}],
                "instances": [{"name": "mask", "colorRGB": [0, 0, 255]}],
            },
        ),
        Kind.VIDEO_MASKS,
    ),
    (
        row(name="rel", relationship={"source": "s", "target": "t", "type": "unidirectional"}),
        Kind.RELATIONSHIP,
    ),
    (
        row(
            "conv",
            name="rank",
            messageEvaluationTask={
                "format": "message-ranking",
                "data": {
                    "parentMessageId": "m",
                    "rankedMessages": [{"messageId": "n", "modelConfigName": "c", "order": 1}],
                },
            },
        ),
        Kind.MESSAGES,
    ),
    (row(name="q", answer={"name": "a", "confidence": 0, "customMetrics": [{"name": "iou", "value": 1}]}), Kind.ANSWER),
    (row(name="q", answer={"schemaId": INDEX.questions["q"].options["a"].schema_id}), Kind.ANSWER),
    (row(name="c", answer=[{"name": "one"}, {"name": "two", "confidence": 0.1}]), Kind.ANSWER),
    (row(name="c", answers=[{"name": "One"}]), Kind.ANSWER),
    (row(name="note", answer="hello", confidence=0.5), Kind.ANSWER),
    (row("vid", name="q", answer={"name": "a"}, frames=[{"start": 1, "end": 1}]), Kind.ANSWER),
    (row("vid", name="note", answer=[{"value": "hi", "frames": [{"start": 1, "end": 2}]}]), Kind.ANSWER),
    ({"dataRow": {"globalKey": "img"}, "metricName": "m", "metricValue": 0.5, "aggregation": "SUM"}, Kind.METRIC),
    (
        {
            "dataRow": {"globalKey": "img"},
            "metricName": "cm",
            "metricValue": {"0.1": [1, 0, 2, 3], "0.5": [1, 1, 1, 1]},
            "aggregation": "CONFUSION_MATRIX",
        },
        Kind.METRIC,
    ),
]


@pytest.mark.parametrize(("value", "kind"), GOOD, ids=lambda v: v.value if isinstance(v, Kind) else "")
def test_good_rows_have_no_problems(value: dict[str, Any], kind: Kind) -> None:
    checked = check(value, INDEX, ASSETS, RULES)
    assert checked.problems == ()
    assert checked.kind is kind


NAN, INF = float("nan"), float("inf")
BAD: list[tuple[str, Any]] = [
    ("InvalidJson", ["not", "an", "object"]),
    ("InvalidJson", None),
    ("InvalidDataRow", {"name": "box", "bbox": BOX}),
    ("InvalidDataRow", {"name": "box", "bbox": BOX, "dataRow": {}}),
    ("InvalidDataRow", {"name": "box", "bbox": BOX, "dataRow": {"id": "i" * 25, "globalKey": "img"}}),
    ("DataRowNotFound", row("nope", name="box", bbox=BOX)),
    ("DataRowNotFound", {"name": "box", "bbox": BOX, "dataRow": {"id": ["x"]}}),
    ("DataRowNotInModelRun", row("out", name="box", bbox=BOX)),
    ("InvalidFeatureReference", row(bbox=BOX)),
    ("InvalidFeatureReference", row(name="box", schemaId=INDEX.tools["box"].schema_id, bbox=BOX)),
    ("InvalidFeatureReference", row(name="q", answer={"confidence": 0.5})),
    (
        "InvalidFeatureReference",
        row(name="q", answer={"name": "a", "schemaId": INDEX.questions["q"].options["a"].schema_id}),
    ),
    ("InvalidFeatureReference", row(name="box", bbox=BOX, classifications=[{"answer": "x"}])),
    ("FeatureNotFound", row(name="nope", bbox=BOX)),
    ("FeatureNotFound", row(name=["box"], bbox=BOX)),
    ("FeatureNotFound", row(schemaId="c" * 25, bbox=BOX)),
    ("FeatureNotFound", row(name="nope", answer="x")),
    ("FeatureNotFound", row(name="nope")),
    ("FeatureNotFound", row(name="box", bbox=BOX, classifications=[{"name": "q", "answer": {"name": "a"}}])),
    ("AnnotationKindMismatch", row(name="poly", bbox=BOX)),
    ("AnnotationKindMismatch", row(name="box", answer={"name": "a"})),
    ("AnnotationKindMismatch", row(name="q", bbox=BOX)),
    ("AnnotationKindMismatch", row(name="q", answer="a")),
    ("AnnotationKindMismatch", row(name="q", answer=[{"name": "a"}])),
    ("AnnotationKindMismatch", row(name="c", answer={"name": "one"})),
    ("AnnotationKindMismatch", row(name="note", answer={"name": "a"})),
    ("AnnotationKindMismatch", row(name="note", answer=7)),
    ("MediaTypeMismatch", row("txt", name="box", bbox=BOX)),
    ("MediaTypeMismatch", row("img", name="ner", location={"start": 0, "end": 1})),
    ("MediaTypeMismatch", row("img", name="box", segments=SEGMENTS)),
    ("MediaTypeMismatch", row("vid", name="poly", polygon=TRIANGLE)),
    ("MediaTypeMismatch", row("img", name="q", answer={"name": "a"}, frames=[{"start": 1, "end": 1}])),
    ("MediaTypeMismatch", row("txt", name="note", answer=[{"value": "hi", "frames": [{"start": 1, "end": 2}]}])),
    ("UnknownAnnotationKind", row(foo=1)),
    ("UnknownAnnotationKind", row(name="box", bbox=BOX, polygon=TRIANGLE)),
    ("UnknownAnnotationKind", row(name="box", cuboid={})),
    ("UnknownField", row(name="box", bbox=BOX, colour="red")),
    ("UnknownField", row(name="box", bbox={**BOX, "angle": 3})),
    ("UnknownField", row(name="q", answer={"name": "a", "value": "a"})),
    ("UnknownField", row(name="box", bbox=BOX, page=1)),
    ("OptionNotFound", row(name="q", answer={"name": "z"})),
    ("OptionNotFound", row(name="q", answer={"schemaId": "c" * 25})),
    ("OptionNotFound", row(name="c", answer=[{"name": "one"}, {"name": "three"}])),
    ("OptionNotFound", row(name="box", bbox=BOX, classifications=[{"name": "sub", "answer": {"name": "z"}}])),
    ("MissingValue", row(name="box")),
    ("MissingValue", row(name="box", bbox=None)),
    ("MissingValue", row(name="box", bbox={"left": 1, "top": 2, "width": 3})),
    ("MissingValue", row(name="q", answer=None)),
    ("MissingValue", row(name="c", answer=[])),
    ("MissingValue", row("txt", name="ner", location={"start": 1})),
    ("MissingValue", row("pdf", name="box", bbox=BOX)),
    ("MissingValue", row("conv", name="ner", location={"start": 0, "end": 1})),
    ("MissingValue", row(name="box", bbox=BOX, classifications=[{"name": "note"}])),
    ("InvalidValue", row(name="c", answer=[{"name": "one"}, {"name": "One"}])),
    ("InvalidValue", row(name="q", answer={"name": "a"}, answers=[{"name": "a"}])),
    ("InvalidValue", row("pdf", name="box", bbox=BOX, page=1, unit="FURLONGS")),
    ("InvalidValue", row("pdf", name="box", bbox=BOX, page=1, unit=["POINTS"])),
    ("InvalidMetric", {"dataRow": {"globalKey": "img"}, "metricName": "m", "metricValue": 1, "aggregation": []}),
    ("InvalidValue", row("vid", name="q", answer={"name": "a"}, frames=[])),
    ("InvalidValue", row(name="mask", mask={"instanceURI": "https://x", "colorRGB": [1, 2, 256]})),
    ("InvalidGeometry", row(name="box", bbox=[1, 2, 3, 4])),
    ("InvalidGeometry", row(name="box", bbox={**BOX, "width": 0})),
    ("InvalidGeometry", row(name="box", bbox={**BOX, "height": -3})),
    ("InvalidGeometry", row(name="box", bbox={**BOX, "left": "1"})),
    ("InvalidGeometry", row(name="box", bbox={**BOX, "left": True})),
    ("InvalidGeometry", row(name="box", bbox={**BOX, "left": NAN})),
    ("InvalidGeometry", row(name="box", bbox={**BOX, "width": INF})),
    ("InvalidGeometry", row(name="poly", polygon=TRIANGLE[:2])),
    ("InvalidGeometry", row(name="poly", polygon=[TRIANGLE[0]] * 5)),
    ("InvalidGeometry", row(name="poly", polygon=[{"x": 1}, *TRIANGLE])),
    ("InvalidGeometry", row(name="line", line=TRIANGLE[:1])),
    ("InvalidGeometry", row(name="point", point={"x": 1, "y": None})),
    ("InvalidGeometry", row(name="mask", mask={"png": "somedata"})),
    ("InvalidGeometry", row(name="mask", mask={"png": png(), "colorRGB": [0, 0, 0]})),
    ("InvalidGeometry", row(name="mask", mask={"size": [2, 2], "counts": [5]})),
    ("InvalidGeometry", row("txt", name="ner", location={"start": 3, "end": 2})),
    ("InvalidGeometry", row("txt", name="ner", location={"start": 3, "end": 10})),
    ("InvalidGeometry", row("txt", name="ner", location={"start": -1, "end": 2})),
    ("InvalidGeometry", row("pdf", name="ner", textSelections=[{"tokenIds": [], "groupId": "g", "page": 1}])),
    ("InvalidGeometry", row("vid", name="box", segments=[{"keyframes": [{"frame": 0, "bbox": BOX}]}])),
    ("InvalidGeometry", row("vid", name="box", segments=[SEGMENTS[0]["keyframes"]])),
    ("InvalidGeometry", row("vid", name="q", answer={"name": "a"}, frames=[{"start": 3, "end": 2}])),
    ("BoundingBoxOutOfBounds", row(name="box", bbox={**BOX, "left": -1})),
    ("BoundingBoxOutOfBounds", row(name="box", bbox={**BOX, "left": 91})),
    ("BoundingBoxOutOfBounds", row(name="box", bbox={**BOX, "top": 40})),
    ("BoundingBoxOutOfBounds", row("pdf", name="box", bbox={**BOX, "left": 95}, page=1, unit="PERCENT")),
    ("InvalidConfidence", row(name="box", bbox=BOX, confidence=1.01)),
    ("InvalidConfidence", row(name="box", bbox=BOX, confidence=-0.1)),
    ("InvalidConfidence", row(name="box", bbox=BOX, confidence="0.5")),
    ("InvalidConfidence", row(name="box", bbox=BOX, confidence=True)),
    ("InvalidConfidence", row(name="q", answer={"name": "a", "confidence": 2})),
    ("InvalidConfidence", row(name="q", answer={"name": "a"}, confidence=0.5)),
    ("InvalidConfidence", row(name="note", answer="x", confidence=NAN)),
    ("InvalidConfidence", row("vid", name="box", segments=SEGMENTS, confidence=0.5)),
    ("InvalidCustomMetrics", row(name="box", bbox=BOX, customMetrics=[{"name": "iou"}])),
    ("InvalidUuid", {**row(name="box", bbox=BOX), "uuid": "x"}),
    ("InvalidUuid", {**row(name="box", bbox=BOX), "uuid": 7}),
    ("InvalidRelationship", row(name="rel", relationship={"source": "s", "target": "s"})),
    ("InvalidRelationship", row(name="rel", relationship={"source": "s", "target": "t", "type": "sideways"})),
    ("MissingValue", row(name="rel", relationship={"source": "s"})),
    ("InvalidMetric", {"dataRow": {"globalKey": "img"}, "metricName": "iou", "metricValue": 1}),
    ("InvalidMetric", {"dataRow": {"globalKey": "img"}, "metricName": "m", "metricValue": {"0.5": 1}}),
    (
        "InvalidMetric",
        {"dataRow": {"globalKey": "img"}, "metricName": "m", "metricValue": [1, 2], "aggregation": "CONFUSION_MATRIX"},
    ),
    (
        "AnnotationKindMismatch",
        row(
            "conv",
            name="pick",
            messageEvaluationTask={"format": "message-ranking", "data": {"parentMessageId": "m"}},
        ),
    ),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_bad_rows_are_refused_by_name(name: str, value: Any) -> None:
    assert names(value) == [name]


def test_every_problem_of_a_row_is_told() -> None:
    value = {**row("nope", name="box", bbox={**BOX, "width": -1}, confidence=7), "uuid": "x"}
    assert set(names(value)) == {"DataRowNotFound", "InvalidUuid", "InvalidGeometry", "InvalidConfidence"}


def test_labels_may_name_a_feature_twice_when_both_agree() -> None:
    both = row(name="box", schemaId=INDEX.tools["box"].schema_id, bbox=BOX)
    assert names(both, LABELS) == []
    assert names({**both, "name": "poly"}, LABELS) == ["InvalidFeatureReference"]
    assert names(row("out", name="box", bbox=BOX), LABELS) == ["DataRowNotInProject"]


def test_a_row_of_unknown_media_takes_every_kind() -> None:
    for value, _ in GOOD:
        moved = {**value, "dataRow": {"globalKey": "any"}}
        assert "MediaTypeMismatch" not in names(moved)


def test_a_box_may_touch_the_border_with_rounding() -> None:
    assert names(row(name="box", bbox={"left": 90, "top": 0, "width": 10.0000001, "height": 50})) == []
