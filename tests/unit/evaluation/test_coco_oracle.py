"""Average precisions are those of faster-coco-eval, for boxes and masks, ties and doubles included."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.evaluation.rows import ID, box_rows, confidences, pair

from vertex_model_inference.annotations import Box, Mask
from vertex_model_inference.evaluation.evaluator import Evaluator
from vertex_model_inference.evaluation.objects import COCO_LEVELS
from vertex_model_inference.evaluation.scores import ObjectScore
from vertex_model_inference.geometry.runs import encode

NAMES = ("a", "b", "c")


def coco(rows: Sequence[tuple[Sequence[Any], Sequence[Any]]], kind: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """faster-coco-eval's average precision of each level and class, -1 where a class has no label; (10, 3)."""
    from faster_coco_eval import COCO, COCOeval_faster

    def record(one: Any) -> dict[str, Any]:
        if isinstance(one, Box):
            return {"bbox": [one.left, one.top, one.width, one.height], "area": one.width * one.height}
        size = [one.height, one.width]
        return {"segmentation": {"size": size, "counts": one.counts.decode()}, "area": 1, "bbox": [0, 0, 1, 1]}

    numbers = {name: number + 1 for number, name in enumerate(NAMES)}
    truths: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image, (predictions, labels) in enumerate(rows, 1):
        for one in labels:
            head = {"id": len(truths) + 1, "image_id": image, "category_id": numbers[one.name], "iscrowd": 0}
            truths.append({**head, **record(one)})
        found += [
            {"image_id": image, "category_id": numbers[one.name], "score": one.confidence, **record(one)}
            for one in predictions
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = COCO(
            {
                "images": [{"id": k + 1, "width": 40, "height": 40} for k in range(len(rows))],
                "categories": [{"id": number, "name": name} for name, number in numbers.items()],
                "annotations": truths,
            }
        )
        results = dataset.loadRes(found)
        run = COCOeval_faster(dataset, results, kind, print_function=lambda *_: None)
        run.params.maxDets = [1, 10, 1000]
        run.evaluate()
        run.accumulate()
    # (levels, recalls, classes, areas, most detections)
    values = run.eval["precision"][:, :, :, 0, 2]
    return np.where((values < 0).all(axis=1), -1.0, values.mean(axis=1))


def ours(rows: Sequence[tuple[Sequence[Any], Sequence[Any]]]) -> ObjectScore:
    evaluator = Evaluator()
    pairs = [pair(number, *row) for number, row in enumerate(rows)]
    # Two shards: what is added piece by piece comes to the same.
    evaluator.add(pairs[: len(pairs) // 2])
    evaluator.add(pairs[len(pairs) // 2 :])
    return evaluator.scores()[0].objects[0]


def check(rows: Sequence[tuple[Sequence[Any], Sequence[Any]]], kind: str) -> None:
    if not any(predictions for predictions, _ in rows) or not any(labels for _, labels in rows):
        return
    wanted = coco(rows, kind)
    score = ours(rows)
    by_name = {one.name: one for one in score.classes}
    for number, name in enumerate(NAMES):
        column = wanted[:, number]
        one = by_name.get(name)
        if (column < 0).all():
            assert one is None or one.average_precision is None
            continue
        assert one is not None
        assert one.average_precision == pytest.approx(column.mean(), abs=1e-6)
        assert one.average_precision_at == pytest.approx(column[0], abs=1e-6)
    known = wanted[:, (wanted >= 0).all(axis=0)]
    assert score.mean_average_precision == pytest.approx(known.mean(), abs=1e-6)
    levels = {level.level: level.mean_average_precision for level in score.levels}
    for number, at in enumerate(COCO_LEVELS):
        assert levels[f"{at:g}"] == pytest.approx(known[number].mean(), abs=1e-6)


@given(box_rows)
@settings(max_examples=60, deadline=None)
def test_boxes(rows: list[tuple[list[Box], list[Box]]]) -> None:
    check(rows, "bbox")


def _mask(name: str, x: int, y: int, wide: int, high: int, confidence: float | None) -> Mask:
    drawn = np.zeros((20, 24), dtype=np.bool_)
    drawn[y : y + high, x : x + wide] = True
    drawn[y, x] = False
    drawn[0, 0] = True
    return Mask(name, ID, encode(drawn), 24, 20, confidence)


def _masks(scored: bool) -> st.SearchStrategy[list[Mask]]:
    one = st.builds(
        _mask,
        st.sampled_from(NAMES),
        *[st.integers(0, 8)] * 2,
        *[st.integers(2, 9)] * 2,
        confidences if scored else st.none(),
    )
    return st.lists(one, max_size=4)


@given(st.lists(st.tuples(_masks(True), _masks(False)), min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_masks(rows: list[tuple[list[Mask], list[Mask]]]) -> None:
    check(rows, "segm")


def test_many_boxes_of_a_picture_each() -> None:
    dice = np.random.default_rng(3)

    def some(count: int, scored: bool) -> list[Box]:
        made = []
        for _ in range(count):
            left, top, width, height = (dice.random(4) * (30, 30, 9, 9) + (0, 0, 1, 1)).tolist()
            confidence = round(float(dice.random()), 6) if scored else None
            made.append(Box(NAMES[dice.integers(3)], ID, left, top, width, height, confidence))
        return made

    check([(some(150, True), some(60, False)) for _ in range(8)], "bbox")
