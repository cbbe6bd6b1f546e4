"""Decoders raise nothing but their own error, NDJSON says what the annotations say."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vertex_model_inference.annotations import Annotation, Answer, Box, Checklist, FreeText, Radio
from vertex_model_inference.decoders.registry import by_name, recognise
from vertex_model_inference.errors import DecodeError, UnknownOutputError
from vertex_model_inference.findings import (
    Finding,
    FoundBox,
)
from vertex_model_inference.labelbox.ndjson import lines, row_uuids
from vertex_model_inference.models import ModelOption, Predictor
from vertex_model_inference.rows import DataRow

calmly = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
ROW = DataRow(id="cm0datarow000000000000001", row_data="gs://b/o.jpg", width=640, height=480)
NO_SIZE = DataRow(id="cm0datarow000000000000002", row_data="gs://b/p.jpg")
NAMES = (
    "automl-classification",
    "automl-detection",
    "displaynames",
    "hf-detection",
    "hf-classification",
    "plain",
    "boxes-arrays",
    "boxes-arrays:xyxy",
    "boxes-arrays:xywh",
    "boxes-arrays:cxcywh:relative",
    "boxes-arrays:yxyx:relative",
)
KEYS = [
    "ids",
    "displayNames",
    "display_names",
    "displayName",
    "confidences",
    "confidence",
    "bboxes",
    "xMin",
    "xMax",
    "yMin",
    "yMax",
    "label",
    "labels",
    "score",
    "scores",
    "box",
    "boxes",
    "classes",
    "xmin",
    "ymin",
    "xmax",
    "ymax",
    "text",
    "detection_boxes",
    "detection_scores",
    "detection_classes",
    "num_detections",
]

numbers = st.floats(allow_nan=True) | st.floats(-0.5, 1.5) | st.integers(-(2**70), 2**70)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.sampled_from(["cat", "dog"]) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner, max_size=5),
    max_leaves=20,
)
few = st.integers(0, 3)
edge = st.floats(-0.2, 1.2) | numbers


@st.composite
def near_forms(draw: st.DrawFn) -> Any:
    """Answers nearly of one of the forms: the right keys, mostly the right types, lengths and ranges."""
    count = draw(few)

    def many(what: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(what, min_size=count, max_size=count + draw(st.sampled_from([0, 0, 0, 1]))))

    label = st.sampled_from(["cat", "dog"]) | st.integers(-1, 4)
    confidence = st.floats(0, 1) | numbers
    four = st.lists(edge, min_size=4, max_size=4) | st.lists(edge, min_size=3, max_size=5)
    corners = st.fixed_dictionaries({key: edge | st.floats(-10, 700) for key in ("xmin", "ymin", "xmax", "ymax")})
    forms: list[Any] = [
        {"ids": many(st.text(max_size=2)), "displayNames": many(label), "confidences": many(confidence)},
        {"displayNames": many(label), "confidences": many(confidence), "bboxes": many(four)},
        many(st.fixed_dictionaries({"label": label, "score": confidence, "box": corners})),
        many(st.fixed_dictionaries({"label": label, "score": confidence})),
        {"boxes": many(four), "scores": many(confidence), "labels": many(label)},
        {"detection_boxes": many(four), "detection_classes": many(label), "num_detections": draw(confidence)},
        draw(label),
    ]
    return draw(st.sampled_from(forms))


answers = (values | near_forms()).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40)


def sound(finding: Finding, row: DataRow) -> bool:
    if finding.confidence is not None and not 0 <= finding.confidence <= 1:
        return False
    if not isinstance(finding, FoundBox):
        return True
    sides = (finding.left, finding.top, finding.width, finding.height)
    inside = finding.left + finding.width <= (row.width or math.inf) * (1 + 1e-12) and (
        finding.top + finding.height <= (row.height or math.inf) * (1 + 1e-12)
    )
    return all(math.isfinite(side) and side >= 0 for side in sides) and inside


@pytest.mark.parametrize("name", NAMES)
@calmly
@given(answer=answers, row=st.sampled_from([ROW, NO_SIZE]), names=st.sampled_from([(), ("a", "b", "c")]))
def test_any_answer_is_sound_findings_or_a_decode_error(
    name: str, answer: bytes, row: DataRow, names: tuple[str, ...]
) -> None:
    try:
        findings = by_name(name, names).decode(answer, row)
    except DecodeError as error:
        told = str(error)
        assert row.id in told
    else:
        assert all(sound(finding, row) for finding in findings)
        json.dumps([finding.label for finding in findings]).encode()


@calmly
@given(samples=st.lists(answers, max_size=3))
def test_recognising_gives_a_decoder_or_its_own_error(samples: list[bytes]) -> None:
    try:
        decoder = recognise(samples, ModelOption(name="m", predictor=Predictor.BATCH))
    except UnknownOutputError:
        return
    strange = 0
    for sample in samples:  # most are of the decoder's form; the numbers in them may still be wrong
        try:
            decoder.decode(sample, ROW)
        except DecodeError as error:
            strange += any(words in str(error) for words in ("Expected", "JSON is malformed", "Invalid", "truncated"))
    assert strange < max(1, len(samples) / 2)


@calmly
@given(
    corners=st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
    width=st.integers(1, 100_000),
    height=st.integers(1, 100_000),
)
def test_relative_boxes_come_back_from_pixels(
    corners: tuple[float, float, float, float], width: int, height: int
) -> None:
    (x0, x1), (y0, y1) = sorted(corners[:2]), sorted(corners[2:])
    row = DataRow(id="r", row_data="x", width=width, height=height)
    answer = {"displayNames": ["a"], "confidences": [0.5], "bboxes": [[x0, x1, y0, y1]]}
    (box,) = by_name("automl-detection").decode(json.dumps(answer).encode(), row)
    assert isinstance(box, FoundBox)
    back = (box.left / width, (box.left + box.width) / width, box.top / height, (box.top + box.height) / height)
    assert back == pytest.approx((x0, x1, y0, y1), abs=1e-12)


confidences = st.none() | st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0, 1)
sides = st.just(0.0) | st.floats(0, 5_000)
texts = st.text(max_size=8) | st.sampled_from(["\u2028", "a\u0085b\u2029", "\n", "é😀"])

answer_values = st.builds(Answer, texts, texts, confidences, st.booleans())
questions = (
    st.builds(Radio, texts, texts, answer_values, st.booleans())
    | st.builds(Checklist, texts, texts, st.lists(answer_values, min_size=1, max_size=3).map(tuple), st.booleans())
    | st.builds(FreeText, texts, texts, texts, confidences, st.booleans())
)
anything = questions | st.builds(
    Box,
    texts,
    texts,
    sides,
    sides,
    sides,
    sides,
    confidences,
    st.lists(questions, max_size=2).map(tuple),
    st.booleans(),
)


def said(value: dict[str, Any]) -> list[float | None]:
    """Every confidence of a row, in the order of the annotation's parts."""
    if "bbox" in value:
        return [value.get("confidence"), *(c for nested in value["classifications"] for c in said(nested))]
    answer = value["answer"]
    if isinstance(answer, str):
        return [value.get("confidence")]
    return [one.get("confidence") for one in (answer if isinstance(answer, list) else [answer])]


def meant(annotation: Annotation) -> list[float | None]:
    if isinstance(annotation, Box):
        return [annotation.confidence, *(c for nested in annotation.classifications for c in meant(nested))]
    if isinstance(annotation, FreeText):
        return [annotation.confidence]
    assert isinstance(annotation, Radio | Checklist)
    given = annotation.answers if isinstance(annotation, Checklist) else (annotation.answer,)
    return [answer.confidence for answer in given]


@calmly
@given(made=st.lists(anything, max_size=4))
def test_ndjson_is_one_line_each_and_says_the_same(made: list[Annotation]) -> None:
    rows = lines(made, ROW, row_uuids("run", ROW.id))
    assert len(rows) == len(made)
    if rows:
        assert len(b"\n".join(rows).decode().splitlines()) == len(made)
    for annotation, line in zip(made, rows, strict=True):
        value = json.loads(line)
        assert value["dataRow"] == {"id": ROW.id}
        reference = ("schemaId", annotation.feature_schema_id) if annotation.by_id else ("name", annotation.name)
        assert value[reference[0]] == reference[1]
        assert ("name" in value) is not ("schemaId" in value)
        for here, there in zip(said(value), meant(annotation), strict=True):
            assert (here is None) is (there is None)
            assert here is None or there is None or abs(here - there) <= 1e-6
        if isinstance(annotation, Box):
            box = value["bbox"]
            for side in ("left", "top", "width", "height"):
                assert abs(box[side] - getattr(annotation, side)) <= 0.0101
        if isinstance(annotation, FreeText):
            assert value["answer"] == annotation.text
