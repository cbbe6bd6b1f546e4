"""Rows to evaluate, made by hypothesis or by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from vertex_model_inference.annotations import Answer, Box, Checklist, Radio
from vertex_model_inference.evaluation.evaluator import RowPair
from vertex_model_inference.rows import Split

ID = "c" * 25


def pair(
    number: int, predictions: Sequence[Any] | None, labels: Sequence[Any] | None, split: Split = Split.TEST, **more: Any
) -> RowPair:
    return RowPair(
        data_row_id=f"row{number}",
        split=split,
        predictions=None if predictions is None else tuple(predictions),
        labels=None if labels is None else tuple(labels),
        **more,
    )


def box(name: str, left: float, top: float, width: float, height: float, confidence: float | None = None) -> Box:
    return Box(name, ID, left, top, width, height, confidence)


def radio(question: str, option: str, confidence: float | None = None) -> Radio:
    return Radio(question, ID, Answer(option, ID, confidence))


def checklist(question: str, options: dict[str, float | None]) -> Checklist:
    return Checklist(question, ID, tuple(Answer(name, ID, confidence) for name, confidence in options.items()))


# Few places and sizes, so that overlaps, ties and doubles are many.
_places = st.integers(0, 12).map(float)
_sizes = st.integers(1, 8).map(float)
confidences = st.integers(0, 10).map(lambda tenths: tenths / 10)


def boxes(names: str = "abc", *, scored: bool, most: int = 6) -> st.SearchStrategy[list[Box]]:
    one = st.builds(box, st.sampled_from(names), _places, _places, _sizes, _sizes, confidences if scored else st.none())
    return st.lists(one, max_size=most)


box_rows = st.lists(st.tuples(boxes(scored=True), boxes(scored=False)), min_size=1, max_size=6)
