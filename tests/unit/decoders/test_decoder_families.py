"""Each further family: what a sound answer gives, and what is refused."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vertex_model_inference.decoders.registry import by_name, recognise
from vertex_model_inference.errors import DecodeError, UnknownOutputError
from vertex_model_inference.findings import (
    Finding,
    FoundBox,
    FoundEntity,
    FoundLabel,
    FoundMask,
    FoundPoint,
    FoundPolygon,
)
from vertex_model_inference.geometry import rle, runs
from vertex_model_inference.models import MappingRules, ModelOption, Predictor
from vertex_model_inference.rows import DataRow

ROW = DataRow(id="row-1", row_data="gs://b/o.png", width=4, height=2)
WIDE = DataRow(id="row-2", row_data="gs://b/o.png", width=200, height=100)
NAMES = ("background", "cat", "dog")


def png(pixels: Any) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.array(pixels, dtype=np.uint8)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def decode(name: str, answer: Any, row: DataRow = WIDE, names: tuple[str, ...] = ()) -> tuple[Finding, ...]:
    return by_name(name, names).decode(json.dumps(answer).encode(), row)


def mask(found: Finding) -> list[list[int]]:
    assert isinstance(found, FoundMask)
    return [[int(pixel) for pixel in line] for line in runs.decode(found.counts, found.width, found.height)]


MASKS: list[tuple[str, Any]] = [
    (
        "automl-segmentation",
        {
            "categoryMask": png([[0, 1, 1, 0], [0, 1, 2, 2]]),
            "confidenceMask": png([[0, 51, 255, 0], [0, 153, 102, 51]]),
        },
    ),
    (
        "hf-segmentation",
        [
            {"label": "cat", "score": 0.6, "mask": png([[0, 255, 255, 0], [0, 255, 0, 0]])},
            {"label": "dog", "score": 0.3, "mask": png([[0, 0, 0, 0], [0, 0, 255, 255]])},
        ],
    ),
    (
        "rle-masks",
        [
            {"category_id": 1, "score": 0.6, "segmentation": {"size": [2, 4], "counts": [2, 3, 3]}},
            {"label": "dog", "score": 0.3, "size": [2, 4], "counts": rle.pack([5, 1, 1, 1]).decode()},
        ],
    ),
    (
        "sam-masks",
        {
            "masks": [
                [[False, True, True, False], [False, True, False, False]],
                [[0, 0, 0, 0], [0, 0, 1, 1]],
            ],
            "scores": [0.6, 0.3],
            "labels": [1, "dog"],
        },
    ),
]


@pytest.mark.parametrize(("name", "answer"), MASKS)
def test_masks(name: str, answer: Any) -> None:
    found = decode(name, answer, ROW, NAMES)
    assert [one.label for one in found] == ["cat", "dog"]
    assert [one.confidence for one in found] == pytest.approx([0.6, 0.3])
    assert [mask(one) for one in found] == [[[0, 1, 1, 0], [0, 1, 0, 0]], [[0, 0, 0, 0], [0, 0, 1, 1]]]


@pytest.mark.parametrize(("name", "answer"), MASKS)
def test_a_mask_of_another_size_than_the_asset_is_left_for_match_to_scale_or_refuse(name: str, answer: Any) -> None:
    found = decode(name, answer, WIDE, NAMES)
    assert [(one.width, one.height) for one in found if isinstance(one, FoundMask)] == [(4, 2), (4, 2)]


def test_compressed_run_lengths_are_cocos() -> None:
    # from the fourth on a run stands as its difference to the one two before
    assert runs.encode(np.eye(3, dtype=np.bool_)) == rle.pack([0, 1, 3, 1, 3, 1]) == b"013000"
    assert rle.unpack(b"013000") == [0, 1, 3, 1, 3, 1]


def test_automl_segmentation_reads_colours() -> None:
    rgb = [[[0, 0, 0], [128, 64, 128], [0, 0, 142], [0, 0, 0]], [[0, 0, 0]] * 4]
    found = decode("automl-segmentation", {"categoryMask": png(rgb)}, ROW, ("road=#804080", "car=#00008E"))
    assert {(one.label, rle.area(rle.unpack(one.counts))) for one in found if isinstance(one, FoundMask)} == {
        ("road", 1),
        ("car", 1),
    }
    with pytest.raises(DecodeError, match="#00008e"):
        decode("automl-segmentation", {"categoryMask": png(rgb)}, ROW, ("road=#804080",))
    with pytest.raises(DecodeError, match="coloured"):
        decode("automl-segmentation", {"categoryMask": png(rgb)}, ROW, NAMES)


def test_a_png_that_claims_gigabytes_is_refused_unread() -> None:
    raw = bytearray(base64.b64decode(png([[0, 1, 1, 0], [0, 0, 0, 0]])))
    raw[16:24] = b"\x00\x01\x00\x00\x00\x01\x00\x00"
    no_size = DataRow(id="row-3", row_data="gs://b/o.png")
    with pytest.raises(DecodeError, match="65536 x 65536"):
        decode("hf-segmentation", [{"label": "a", "mask": base64.b64encode(raw).decode()}], no_size)


GOOD: list[tuple[str, Any, tuple[Finding, ...]]] = [
    (
        "automl-text-extraction",
        {
            "ids": ["1"],
            "displayNames": ["gene"],
            "textSegmentStartOffsets": ["10"],
            "textSegmentEndOffsets": ["14"],
            "confidences": [0.9],
        },
        (FoundEntity("gene", 10, 14, 0.9),),
    ),
    ("automl-sentiment", {"sentiment": 2}, (FoundLabel("dog"),)),
    (
        "hf-token-classification",
        [{"entity_group": "PER", "score": 0.9, "word": "Ada", "start": 0, "end": 3}],
        (FoundEntity("PER", 0, 2, 0.9),),
    ),
    (
        "hf-token-classification",
        [
            {"entity": "B-PER", "score": 1.0, "index": 1, "word": "Ada", "start": 0, "end": 3},
            {"entity": "I-PER", "score": 0.5, "index": 2, "word": "L", "start": 4, "end": 5},
            {"entity": "I-PER", "score": 0.75, "index": 3, "word": "##o", "start": 5, "end": 6},
            {"entity": "O", "score": 0.9, "index": 4, "word": "in", "start": 7, "end": 9},
            {"entity": "B-PER", "score": 0.5, "index": 5, "word": "Bo", "start": 10, "end": 12},
            {"entity": "I-LOC", "score": 0.5, "index": 6, "word": "X", "start": 13, "end": 14},
        ],
        (FoundEntity("PER", 0, 5, 0.75), FoundEntity("PER", 10, 11, 0.5), FoundEntity("LOC", 13, 13, 0.5)),
    ),
    (
        "spacy-entities",
        {"text": "Ada lived", "ents": [{"start": 0, "end": 3, "label": "PERSON"}]},
        (FoundEntity("PERSON", 0, 2),),
    ),
    (
        "polygons",
        [{"label": "cat", "score": 0.5, "points": [[10, 10], [50, 10], [50, 50], [10, 10]]}],
        (FoundPolygon("cat", ((10, 10), (50, 10), (50, 50)), 0.5),),
    ),
    (
        "polygons",
        [{"category_id": 1, "segmentation": [[0, 0, 9, 0, 9, 9], [20, 20, 30, 20, 30, 30]]}],
        (FoundPolygon("cat", ((0, 0), (9, 0), (9, 9))), FoundPolygon("cat", ((20, 20), (30, 20), (30, 30)))),
    ),
    (
        "polygons",  # cut at the right edge
        [{"label": "cat", "polygon": [190, 10, 210, 10, 210, 20, 190, 20]}],
        (FoundPolygon("cat", ((190, 10), (200, 10), (200, 20), (190, 20))),),
    ),
    (
        "keypoints",
        [{"label": "person", "score": 0.5, "keypoints": [1, 2, 2, 0, 0, 0, 5, 6, 1], "names": ["nose", "eye", "ear"]}],
        (FoundPoint("nose", 1, 2, 0.5), FoundPoint("ear", 5, 6, 0.5)),
    ),
    ("keypoints", [{"keypoints": [[1, 2, 1], [3, 4, 1]]}], (FoundPoint("background", 1, 2), FoundPoint("cat", 3, 4))),
    (
        "paligemma",
        {"response": "<loc0256><loc0512><loc0512><loc1023> cat ; <loc0000><loc0000><loc0512><loc0512><seg001> dog"},
        (FoundBox("cat", 100, 25, 511 / 1024 * 200, 25), FoundBox("dog", 0, 0, 100, 50)),
    ),
    (
        "owl-vit-v2",  # the second lies in the padding below
        {
            "predicted_boxes": [[0.0, 0.5, 0.25, 1.0], [0.6, 0, 0.9, 1]],
            "instance_logits_image": [[-1, 0, -2], [0, 0, 0]],
        },
        (FoundBox("cat", 100, 0, 100, 50, 0.5),),
    ),
    (
        "grounding-dino",
        [{"label": "cat", "score": 0.5, "box": {"xmin": 0, "ymin": 0, "xmax": 10, "ymax": 20}}],
        (FoundBox("cat", 0, 0, 10, 20, 0.5),),
    ),
]


@pytest.mark.parametrize(("name", "answer", "findings"), GOOD)
def test_sound_answers(name: str, answer: Any, findings: tuple[Finding, ...]) -> None:
    assert decode(name, answer, WIDE, NAMES) == findings


@pytest.mark.parametrize(
    ("name", "answer"), [*MASKS, *((name, answer) for name, answer, _ in GOOD if name != "grounding-dino")]
)
def test_recognised_by_their_form(name: str, answer: Any) -> None:
    option = ModelOption(name="m", predictor=Predictor.BATCH, class_names=NAMES)
    assert recognise([json.dumps(answer).encode()], option).name == name


@pytest.mark.parametrize(
    ("name", "answer", "what"),
    [
        ("automl-segmentation", {"categoryMask": "?"}, "base64"),
        ("automl-segmentation", {"categoryMask": "aGVsbG8="}, "not a PNG"),
        ("hf-segmentation", [{"label": "a", "mask": png([[1] * 200] * 100)[:60]}], "broken PNG"),
        ("rle-masks", [{"label": "a", "size": [100, 200], "counts": [1, 2]}], "cover 3 pixels"),
        ("rle-masks", [{"label": "a", "size": [100, 200], "counts": "~~~~"}], "compressed"),
        ("rle-masks", [{"label": "a"}], "size and counts"),
        ("sam-masks", {"masks": [[[True], []]]}, "rectangle"),
        ("sam-masks", {"masks": [[[2]]]}, "neither true nor false"),
        ("automl-sentiment", {"sentiment": -1}, "0 or more"),
        ("automl-text-extraction", {"displayNames": ["a"]}, "as many"),
        ("hf-token-classification", [{"entity": "B-X", "start": None, "end": None}], "no offsets"),
        ("hf-token-classification", [{"entity": "B-X", "start": 3, "end": 3}], "first character"),
        ("spacy-entities", {"text": "ab", "ents": [{"start": 0, "end": 3, "label": "X"}]}, "2 characters"),
        ("polygons", [{"label": "a", "points": [[0, 0], [1, 1]]}], "needs three"),
        ("polygons", [{"label": "a", "points": [0, 0, 1]}], "not pairs"),
        ("polygons", [{"label": "a", "points": [[900, 0], [950, 0], [950, 9]]}], "outside"),
        ("keypoints", [{"keypoints": [1, 2]}], "visibility"),
        ("keypoints", [{"keypoints": [300, 2, 1]}], "outside"),
        ("paligemma", "a cat on a mat", "four <loc>"),
        ("owl-vit-v2", {"predicted_boxes": [[0, 0, 1, 1]], "instance_logits_image": []}, "1 predicted_boxes"),
    ],
)
def test_refused_by_name(name: str, answer: Any, what: str) -> None:
    with pytest.raises(DecodeError, match=what) as caught:
        decode(name, answer)
    assert "row-2" in str(caught.value)


ODD = {"outputs": {"detections": [{"cls": "cat", "conf": 90, "x1": 0.1, "y1": 0.2, "x2": 0.5, "y2": 0.6, "ocr": "Hi"}]}}


def test_mapping_reads_odd_json() -> None:
    rules = MappingRules(
        items="outputs.detections",
        label="cls",
        score="conf",
        percent=True,
        box=("x1", "y1", "x2", "y2"),
        normalised=True,
        text="ocr",
    )
    (found,) = by_name("mapping", (), rules).decode(json.dumps(ODD).encode(), WIDE)
    assert isinstance(found, FoundBox)
    assert (found.label, found.confidence, found.text) == ("cat", 0.9, "Hi")
    assert (found.left, found.top, found.width, found.height) == pytest.approx((20, 20, 80, 40))


def test_mapping_reads_classes_entities_and_outlines() -> None:
    labels = MappingRules(items="r.0", label="1", score="0")
    assert by_name("mapping", (), labels).decode(b'{"r":[[[0.5,"cat"]]]}', WIDE) == (FoundLabel("cat", 0.5),)
    spans = MappingRules(label="t", start="a", end="b", end_inclusive=True)
    assert by_name("mapping", (), spans).decode(b'[{"t":"X","a":1,"b":3}]', WIDE) == (FoundEntity("X", 1, 3),)
    rings = MappingRules(constant="roof", points="ring")
    assert by_name("mapping", (), rings).decode(b'{"ring":[0,0,9,0,9,9]}', WIDE) == (
        FoundPolygon("roof", ((0, 0), (9, 0), (9, 9))),
    )


@pytest.mark.parametrize(
    ("rules", "what"),
    [
        (MappingRules(items="nowhere"), "nothing at items"),
        (MappingRules(items="outputs.detections"), "'label' of item 0 is nothing"),
        (MappingRules(items="outputs.detections", label="cls", box="x1"), "four numbers"),
        (MappingRules(items="outputs.detections", label="cls", box=("cls", "y1", "x2", "y2")), "is text, a number"),
    ],
)
def test_mapping_says_what_it_missed(rules: MappingRules, what: str) -> None:
    with pytest.raises(DecodeError, match=what):
        by_name("mapping", (), rules).decode(json.dumps(ODD).encode(), WIDE)


def test_mapping_without_its_section_is_refused() -> None:
    with pytest.raises(UnknownOutputError, match="where things stand"):
        by_name("mapping")
