"""What the page draws of annotations, and what it calls right."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vertex_model_inference.sandbox.labelbox.page.annotated import Annotated, Json
from vertex_model_inference.sandbox.labelbox.page.compare import Verdict, overlap, verdict
from vertex_model_inference.sandbox.labelbox.page.draw import MOST_CHIPS, MOST_SHAPES, draw
from vertex_model_inference.sandbox.labelbox.page.highlight import highlight
from vertex_model_inference.sandbox.labelbox.page.media import asset_url


def _box(left: float, top: float, width: float, height: float, name: str = "cat", **more: Any) -> Json:
    box = {"left": left, "top": top, "width": width, "height": height}
    return {"name": name, "annotation_kind": "ImageBoundingBox", "bounding_box": box, "classifications": [], **more}


def _radio(name: str, answer: str, confidence: float | None = None, nested: list[Json] | None = None) -> Json:
    form: Json = {"name": answer, "classifications": nested or []}
    if confidence is not None:
        form["confidence"] = confidence
    return {"name": name, "radio_answer": form}


def _side(source: str, objects: list[Json] | None = None, answers: list[Json] | None = None) -> Annotated:
    return Annotated(source, objects or [], answers or [])


def test_every_shape_is_drawn() -> None:
    points = [{"x": 1.0, "y": 2.0}, {"x": 5.0, "y": 2.0}, {"x": 5.0, "y": 9.5}]
    objects: list[Json] = [
        _box(1, 2, 3, 4, confidence=0.0),
        {"name": "p", "polygon": points},
        {"name": "l", "line": points[:2]},
        {"name": "o", "point": points[0]},
        {"name": "m", "mask": {"url": "http://127.0.0.1/m.png"}},
        {"name": "?", "annotation_kind": "VideoBoundingBox"},
    ]
    drawing = draw([_side("prediction", objects)], None)
    assert sorted(shape.form for shape in drawing.shapes) == ["mask", "point", "polygon", "polyline", "rect"]
    by_form = {shape.form: shape for shape in drawing.shapes}
    assert by_form["rect"].confidence == 0.0
    assert by_form["polygon"].points == "1,2 5,2 5,9.5"
    assert by_form["polygon"].box == (1.0, 2.0, 4.0, 7.5)
    assert drawing.undrawn == {"VideoBoundingBox": 1}


def test_answers_of_every_kind_become_chips() -> None:
    nested = _radio("colour", "red", 0.25)
    answers: list[Json] = [
        _radio("animal", "cat", 0.5, [nested]),
        {"name": "tags", "checklist_answers": [{"name": "a", "confidence": 0.0}, {"name": "b"}]},
        {"name": "note", "text_answer": {"content": "x" * 1000, "confidence": 1.0}},
    ]
    drawing = draw([_side("label", [_box(0, 0, 1, 1, classifications=[nested])], answers)], None)
    assert [(chip.owner, chip.question, chip.answer[:5], chip.confidence) for chip in drawing.chips] == [
        ("cat", "colour", "red", 0.25),
        ("", "animal", "cat", 0.5),
        ("cat", "colour", "red", 0.25),
        ("", "tags", "a", 0.0),
        ("", "tags", "b", None),
        ("", "note", "xxxxx", 1.0),
    ]
    assert max(len(chip.answer) for chip in drawing.chips) == 300


def test_a_row_with_very_many_annotations_stays_bounded_and_says_so() -> None:
    objects = [_box(i, 0, 1, 1) for i in range(MOST_SHAPES + 7)]
    answers = [_radio(f"q{i}", "a") for i in range(MOST_CHIPS + 3)]
    drawing = draw([_side("label", objects, answers)], None)
    assert (len(drawing.shapes), len(drawing.chips)) == (MOST_SHAPES, MOST_CHIPS)
    assert sorted(drawing.undrawn.values()) == [3, 7]


_SPANS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 30), st.sampled_from(["label", "prediction"]), st.just("n"))
)


@given(st.text(max_size=25), _SPANS)
def test_highlighting_keeps_the_text_and_marks_exactly_the_entities(
    text: str, spans: list[tuple[int, int, str, str]]
) -> None:
    spans = [span for span in spans if span[0] <= span[1]]
    segments = highlight(text, spans)
    assert "".join(segment.text for segment in segments) == text
    position = 0
    for segment in segments:
        for offset in range(position, position + len(segment.text)):
            over = [source for start, end, source, _ in spans if start <= offset <= end]
            assert len(segment.labels) == over.count("label")
            assert len(segment.predictions) == over.count("prediction")
        position += len(segment.text)


@pytest.mark.parametrize(
    ("labels", "predictions", "expected"),
    [
        ([_radio("q", "a")], [_radio("q", "a", 0.1)], Verdict.RIGHT),
        ([_radio("q", "a")], [_radio("q", "b")], Verdict.WRONG),
        ([_radio("q", "a")], [_radio("q", "a"), _radio("r", "c")], Verdict.WRONG),
        ([_radio("q", "a")], [], Verdict.NONE),
    ],
)
def test_verdicts_on_answers(labels: list[Json], predictions: list[Json], expected: Verdict) -> None:
    assert verdict(_side("label", None, labels), _side("prediction", None, predictions)) is expected


@pytest.mark.parametrize(
    ("predicted", "expected"),
    [
        ([_box(0, 0, 10, 10), _box(50, 50, 10, 10)], Verdict.RIGHT),
        ([_box(51, 50, 10, 10), _box(0, 1, 10, 10)], Verdict.RIGHT),
        ([_box(0, 0, 10, 10)], Verdict.WRONG),
        ([_box(0, 0, 10, 10), _box(55, 55, 10, 10)], Verdict.WRONG),
        ([_box(0, 0, 10, 10, "dog"), _box(50, 50, 10, 10)], Verdict.WRONG),
        ([_box(0, 0, 10, 10), _box(0, 0, 10, 10)], Verdict.WRONG),
    ],
)
def test_verdicts_on_objects(predicted: list[Json], expected: Verdict) -> None:
    labels = _side("label", [_box(0, 0, 10, 10), _box(50, 50, 10, 10)])
    assert verdict(labels, _side("prediction", predicted)) is expected


def test_verdicts_without_labels_and_on_entities() -> None:
    entity = {"name": "person", "location": {"start": 0, "end": 4}}
    other = {"name": "person", "location": {"start": 0, "end": 5}}
    assert verdict(None, _side("prediction", [entity])) is Verdict.UNLABELLED
    assert verdict(_side("label", [entity]), _side("prediction", [entity])) is Verdict.RIGHT
    assert verdict(_side("label", [entity]), _side("prediction", [other])) is Verdict.WRONG


_SIDES = st.tuples(*[st.floats(0, 100)] * 2, *[st.floats(0.5, 100)] * 2)


@given(_SIDES, _SIDES)
def test_overlap_is_symmetric_and_one_with_itself(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> None:
    assert overlap(one, other) == pytest.approx(overlap(other, one))
    assert 0 <= overlap(one, other) <= 1 + 1e-9
    assert overlap(one, one) == pytest.approx(1)


def test_addresses_of_assets() -> None:
    assert asset_url("gs://b/a b/ü.png", "http://s") == "http://s/b/a%20b/%C3%BC.png"
    assert asset_url("https://storage.googleapis.com/b/a%20b", "http://s") == "http://s/b/a%20b"
    assert asset_url("http://x/y", "http://s") == "http://x/y"
    assert asset_url("javascript:alert(1)", "http://s") is None
    assert asset_url("just a text", "http://s") is None
