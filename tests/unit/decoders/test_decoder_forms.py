from __future__ import annotations

import pytest

from vertex_model_inference.decoders.registry import by_name
from vertex_model_inference.errors import DecodeError
from vertex_model_inference.findings import Finding, FoundBox, FoundLabel
from vertex_model_inference.rows import DataRow

ROW = DataRow(id="row-1", row_data="gs://b/o.jpg", width=200, height=100)
NO_SIZE = DataRow(id="row-2", row_data="gs://b/p.jpg")
NAMES = ("background", "cat", "dog")

GOOD: list[tuple[str, bytes, tuple[Finding, ...]]] = [
    (
        "automl-classification",
        b'{"ids":["1","2"],"displayNames":["cat","dog"],"confidences":[0.7,0.0]}',
        (FoundLabel("cat", 0.7), FoundLabel("dog", 0.0)),
    ),
    ("automl-classification", b"{}", ()),
    ("automl-classification", b'{"displayNames":["a"],"confidences":[1.00000012]}', (FoundLabel("a", 1.0),)),
    (
        "automl-detection",
        b'{"ids":["1"],"displayNames":["cat"],"confidences":[0.5],"bboxes":[[0.25,0.75,0.5,1]]}',
        (FoundBox("cat", 50, 50, 100, 50, 0.5),),
    ),
    (
        "automl-detection",
        b'{"displayNames":["cat"],"confidences":[0.5],"bboxes":[{"xMax":0.5,"yMax":0.25}]}',
        (FoundBox("cat", 0, 0, 100, 25, 0.5),),
    ),
    (
        "automl-detection",
        b'{"displayNames":["cat"],"confidences":[0.5],"bboxes":[[-0.25,0.5,0,1.5]]}',
        (FoundBox("cat", 0, 0, 100, 100, 0.5),),
    ),
    ("automl-detection", b'{"ids":[]}', ()),
    ("displaynames", b'{"displayNames":["cat"],"confidences":[0.5]}', (FoundLabel("cat", 0.5),)),
    ("displaynames", b'{"display_names":["cat"]}', (FoundLabel("cat"),)),
    ("displaynames", b'{"displayName":"cat","confidence":0.5}', (FoundLabel("cat", 0.5),)),
    ("displaynames", b'[{"displayName":"cat"},{"display_name":"dog"}]', (FoundLabel("cat"), FoundLabel("dog"))),
    (
        "hf-detection",
        b'[{"label":"line","score":0.9,"box":{"xmin":10,"ymin":20.5,"xmax":110,"ymax":40},"text":"Hi"}]',
        (FoundBox("line", 10, 20.5, 100, 19.5, 0.9, "Hi"),),
    ),
    (
        "hf-detection",
        b'[{"label":2,"box":{"xmin":-1,"ymin":0,"xmax":201,"ymax":40}}]',
        (FoundBox("dog", 0, 0, 200, 40),),
    ),
    (
        "hf-classification",
        b'[{"label":"cat","score":0.98},{"label":"dog","score":0.02}]',
        (FoundLabel("cat", 0.98), FoundLabel("dog", 0.02)),
    ),
    ("hf-classification", b'{"label":1,"score":1}', (FoundLabel("cat", 1.0),)),
    (
        "boxes-arrays:xyxy",
        b'{"boxes":[[10,20,110,40]],"scores":[0.9],"labels":[1]}',
        (FoundBox("cat", 10, 20, 100, 20, 0.9),),
    ),
    ("boxes-arrays:xywh", b'{"boxes":[[10,20,110,40]],"labels":["x"]}', (FoundBox("x", 10, 20, 110, 40),)),
    (
        "boxes-arrays:cxcywh:relative",
        b'{"boxes":[[0.5,0.5,0.5,0.5]],"scores":[1],"classes":[2.0]}',
        (FoundBox("dog", 50, 25, 100, 50, 1.0),),
    ),
    (
        "boxes-arrays",
        (
            b'{"detection_boxes":[[0,0.5,1,1],[0,0,0,0]],"detection_scores":[0.5,0],"detection_classes":[1.0,1.0],'
            b'"num_detections":1.0}'
        ),
        (FoundBox("cat", 100, 0, 100, 100, 0.5),),
    ),
    ("plain", b'"cat"', (FoundLabel("cat"),)),
    ("plain", b"2", (FoundLabel("dog"),)),
    ("plain", b"2.0", (FoundLabel("dog"),)),
    ("plain", b'["cat"]', (FoundLabel("cat"),)),
]


@pytest.mark.parametrize(("name", "prediction", "findings"), GOOD)
def test_reads_its_form(name: str, prediction: bytes, findings: tuple[Finding, ...]) -> None:
    assert by_name(name, NAMES).decode(prediction, ROW) == findings


def _detection(box: str, confidence: str = "0.5") -> bytes:
    return f'{{"displayNames":["cat"],"confidences":[{confidence}],"bboxes":[{box}]}}'.encode()


def _hf(box: tuple[float, float, float, float], label: str = '"cat"', score: str = "0.5") -> bytes:
    corners = '{{"xmin":{},"ymin":{},"xmax":{},"ymax":{}}}'.format(*box)
    return f'[{{"label":{label},"score":{score},"box":{corners}}}]'.encode()


BAD: list[tuple[str, bytes, str]] = [
    ("automl-classification", b'{"displayNames":["a","b"],"confidences":[0.5]}', "2 displayNames but 1 confidences"),
    ("automl-classification", b'{"displayNames":["a"],"confidences":[1.1]}', r"'a' is 1\.1"),
    ("automl-classification", b'{"displayNames":["a"],"confidences":[NaN]}', "NaN or Infinity"),
    ("automl-classification", b'{"displayNames":["a"],"confidences":["x"]}', r"\$\.confidences\[0\]"),
    ("automl-classification", b'{"displayNames":["a"]', "truncated"),
    ("automl-classification", b"[" * 100_000, "not of the form"),
    ("automl-classification", b'{"displayNames":["\xff"],"confidences":[1]}', "utf-8"),
    ("automl-detection", b'{"displayNames":["a"],"confidences":[1],"bboxes":[]}', "and 0 bboxes"),
    ("automl-detection", _detection("[0.5,0.4,0,1]"), "negative"),
    ("automl-detection", _detection("[1.2,1.4,0,1]"), "wholly outside"),
    ("automl-detection", _detection("[0,150,0,80]"), "far outside"),
    ("automl-detection", _detection("[0,1e300,0,1e308]"), "far outside|finite"),
    ("automl-detection", _detection("[0,1,0,1]", "-0.5"), "from 0 to 1"),
    ("automl-detection", _detection("[0,1,0]"), "length 4"),
    ("displaynames", b"{}", "neither displayNames nor displayName"),
    ("displaynames", b'{"displayNames":["a"],"confidences":[]}', "1 displayNames but 0"),
    ("hf-detection", _hf((10, 0, 5, 5)), "negative"),
    ("hf-detection", _hf((300, 0, 350, 5)), r"wholly outside the asset of 200 x 100"),
    ("hf-detection", _hf((0, 0, 5, 5), label="7"), "there are 3 class names"),
    ("hf-detection", _hf((0, 0, 5, 5), score="99.1"), r"\[0\]\.score is 99\.1"),
    ("hf-detection", b'[{"label":"cat","score":1}]', "box"),
    ("hf-classification", b'[{"score":1}]', "label"),
    ("boxes-arrays:xywh", b'{"boxes":[[10,20,-1,40]],"labels":["x"]}', "negative size"),
    ("boxes-arrays:xyxy", b'{"boxes":[[10,20,15,40]],"labels":[]}', "1 boxes but 0 labels"),
    ("boxes-arrays:xyxy", b'{"boxes":[[10,20,15,40]]}', "no labels"),
    ("boxes-arrays:xyxy", b'{"boxes":[[1,2,15,40]],"labels":["x"],"scores":[]}', "1 boxes but 0 scores"),
    ("boxes-arrays", b'{"boxes":[[10,20,15,40]],"labels":["x"]}', "in which order"),
    ("boxes-arrays:xyxy", b"{}", "neither boxes nor"),
    ("boxes-arrays", b'{"detection_boxes":[],"detection_classes":[],"num_detections":3}', "num_detections is 3"),
    ("plain", b"1.5", "whole number"),
    ("plain", b"-1", "3 class names"),
    ("plain", b'["a","b"]', "list of 2"),
    ("plain", b'""', "empty text"),
    ("plain", b"null", "null"),
]


@pytest.mark.parametrize(("name", "prediction", "message"), BAD)
def test_says_what_is_wrong_and_where(name: str, prediction: bytes, message: str) -> None:
    with pytest.raises(DecodeError, match=message) as caught:
        by_name(name, NAMES).decode(prediction, ROW)
    assert "row-1" in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("name", "prediction"),
    [
        ("automl-detection", _detection("[0,1,0,1]")),
        ("boxes-arrays:xyxy:relative", b'{"boxes":[[0,0,1,1]],"labels":["x"]}'),
    ],
)
def test_relative_boxes_need_the_size(name: str, prediction: bytes) -> None:
    with pytest.raises(DecodeError, match="size of the asset is not known"):
        by_name(name).decode(prediction, NO_SIZE)


def test_pixel_boxes_do_not_need_the_size() -> None:
    assert by_name("hf-detection").decode(_hf((-2, 3, 5, 5000)), NO_SIZE) == (FoundBox("cat", 0, 3, 5, 4997, 0.5),)


def test_numbers_stand_for_themselves_without_class_names() -> None:
    assert by_name("plain").decode(b"3", ROW) == (FoundLabel("3"),)
