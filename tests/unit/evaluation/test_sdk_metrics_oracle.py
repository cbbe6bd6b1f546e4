"""Custom metrics are those of the Labelbox SDK on the same annotations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelbox.data import annotation_types as lb
from labelbox.data.metrics import feature_confusion_matrix_metric, feature_miou_metric
from tests.unit.evaluation.rows import ID, box_rows, checklist, confidences, pair, radio

from vertex_model_inference.annotations import Box, Checklist, FreeText, Mask, Polygon, Radio, TextEntity
from vertex_model_inference.evaluation.custom_metrics import row_metrics
from vertex_model_inference.geometry.runs import decode, encode

Rows = Sequence[tuple[Sequence[Any], Sequence[Any]]]


def to_sdk(one: Any) -> Any:
    if isinstance(one, Radio):
        answer = lb.ClassificationAnswer(name=one.answer.name)
        return lb.ClassificationAnnotation(name=one.name, value=lb.Radio(answer=answer))
    if isinstance(one, Checklist):
        answers = [lb.ClassificationAnswer(name=answer.name) for answer in one.answers]
        return lb.ClassificationAnnotation(name=one.name, value=lb.Checklist(answer=answers))
    if isinstance(one, FreeText):
        return lb.ClassificationAnnotation(name=one.name, value=lb.Text(answer=one.text))
    value: Any
    if isinstance(one, Box):
        right, bottom = one.left + one.width, one.top + one.height
        value = lb.Rectangle(start=lb.Point(x=one.left, y=one.top), end=lb.Point(x=right, y=bottom))
    elif isinstance(one, Polygon):
        value = lb.Polygon(points=[lb.Point(x=x, y=y) for x, y in one.points])
    elif isinstance(one, Mask):
        drawn = decode(one.counts, one.width, one.height)
        value = lb.Mask(mask=lb.MaskData(arr=np.repeat(drawn[:, :, None], 3, axis=2).astype(np.uint8)), color=(1, 1, 1))
    else:
        assert isinstance(one, TextEntity)
        value = lb.TextEntity(start=one.start, end=one.end)
    return lb.ObjectAnnotation(name=one.name, value=value)


def check(rows: Rows, *, iou: float = 0.5, threshold: float = 0.0, mean: bool = True) -> None:
    """``threshold``: of confidence, which the SDK does not know: what is below it is not given to it."""
    pairs = [pair(number, *row) for number, row in enumerate(rows)]
    ours = row_metrics(pairs, iou=iou, confidences=(threshold,))
    for number, (said, meant) in enumerate(rows):
        kept = [to_sdk(one) for one in said if one.confidence is None or one.confidence >= threshold]
        labels = [to_sdk(one) for one in meant]
        mine = {one.feature: one for one in ours if one.row == number}
        if mean:
            found = feature_miou_metric(labels, kept, include_subclasses=False)
            wanted = {metric.feature_name: metric.value for metric in found}
            got = {name: one.iou[0] for name, one in mine.items() if one.iou[0] is not None}
            assert got == pytest.approx(wanted, abs=1e-6)
        matrices = feature_confusion_matrix_metric(labels, kept, include_subclasses=False, iou=iou)
        counts = {name: list(one.counts[0]) for name, one in mine.items() if one.counts[0] is not None}
        assert counts == {metric.feature_name: list(metric.value) for metric in matrices}


@given(box_rows, st.sampled_from([0.3, 0.5, 0.75]), confidences)
@settings(max_examples=60, deadline=None)
def test_boxes(rows: Rows, iou: float, threshold: float) -> None:
    check(rows, iou=iou, threshold=threshold)


def _polygon(name: str, x: float, y: float, radii: list[float], confidence: float | None) -> Polygon:
    """Star-shaped around its centre, so that it never crosses itself."""
    points = tuple(
        (x + radius * math.cos(2 * math.pi * k / len(radii)), y + radius * math.sin(2 * math.pi * k / len(radii)))
        for k, radius in enumerate(radii)
    )
    return Polygon(name, ID, points, confidence)


def _polygons(scored: bool) -> st.SearchStrategy[list[Polygon]]:
    one = st.builds(
        _polygon,
        st.sampled_from("ab"),
        st.floats(0, 20),
        st.floats(0, 20),
        st.lists(st.floats(1, 12), min_size=3, max_size=9),
        confidences if scored else st.none(),
    )
    return st.lists(one, max_size=4)


@given(st.lists(st.tuples(_polygons(True), _polygons(False)), min_size=1, max_size=3))
@settings(max_examples=40, deadline=None)
def test_polygons(rows: Rows) -> None:
    check(rows)


def _mask(name: str, x: int, y: int, wide: int, high: int, confidence: float | None) -> Mask:
    drawn = np.zeros((12, 16), dtype=np.bool_)
    drawn[y : y + high, x : x + wide] = True
    return Mask(name, ID, encode(drawn), 16, 12, confidence)


def _masks(scored: bool) -> st.SearchStrategy[list[Mask]]:
    one = st.builds(
        _mask,
        st.sampled_from("ab"),
        *[st.integers(0, 6)] * 2,
        *[st.integers(1, 6)] * 2,
        confidences if scored else st.none(),
    )
    return st.lists(one, max_size=3)


@given(st.lists(st.tuples(_masks(True), _masks(False)), min_size=1, max_size=3))
@settings(max_examples=40, deadline=None)
def test_masks(rows: Rows) -> None:
    # Without subclasses the SDK takes the mean IoU of all a class's pixels; ours are of instances, as its counts are.
    check(rows, mean=False)


def _entity(name: str, start: int, length: int, confidence: float | None) -> TextEntity:
    return TextEntity(name, ID, start, start + length, confidence)


def _entities(scored: bool) -> st.SearchStrategy[list[TextEntity]]:
    one = st.builds(
        _entity, st.sampled_from("ab"), st.integers(0, 12), st.integers(0, 5), confidences if scored else st.none()
    )
    return st.lists(one, max_size=5)


@given(st.lists(st.tuples(_entities(True), _entities(False)), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_entities(rows: Rows) -> None:
    check(rows)


_options = st.sampled_from(("ant", "bee", "cat"))
_letters = st.sampled_from("xyz")


def _answers(scored: bool) -> st.SearchStrategy[list[Any]]:
    confidence = confidences if scored else st.none()
    return st.tuples(
        st.none() | st.builds(radio, st.just("q"), _options, confidence),
        st.none()
        | st.builds(checklist, st.just("many"), st.dictionaries(st.sampled_from("xyz"), confidence, min_size=1)),
    ).map(lambda given: [one for one in given if one is not None])


@given(st.lists(st.tuples(_answers(True), _answers(False)), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_answers(rows: Rows) -> None:
    check(rows)


@given(st.sampled_from(["", "one", "two"]), st.sampled_from(["one", "two"]))
@settings(max_examples=10, deadline=None)
def test_texts(said: str, meant: str) -> None:
    rows = [([FreeText("t", ID, said, 0.5)] if said else [], [FreeText("t", ID, meant)])]
    [one] = row_metrics([pair(0, *rows[0])], confidences=(0.0,))
    found = feature_miou_metric(*([to_sdk(each) for each in side] for side in reversed(rows[0])))
    assert one.iou[0] == found[0].value
    # The SDK has no counts of texts on both sides: it raises.
    assert (one.counts[0] is None) == bool(said)
