"""Predictions against labels, beside what could measure them instead: Labelbox SDK, faster-coco-eval, scikit-learn.

Each is given the same annotations in its own types, and its answers are compared with ours before any time is.
"""

from __future__ import annotations

import contextlib
import gc
import io
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from bench.figure import Figure, median
from vertex_model_inference.annotations import Answer, Box, Radio
from vertex_model_inference.evaluation.custom_metrics import row_metrics
from vertex_model_inference.evaluation.evaluator import Evaluator, RowPair
from vertex_model_inference.rows import Split

__all__ = ["run"]

T = TypeVar("T")

SDK_ROWS, ROWS = 600, 20_000
"""Data rows for the SDK, which is slow, and for ours; 5 labels and 5 predictions each."""
PICTURES, LABELS, PREDICTIONS, CLASSES = 2_000, 15, 20, 20
ANSWERS = 100_000
ROUNDS = 3
_ID = "c" * 25
_PIECE = 1_000


def _box(dice: random.Random, name: str) -> Box:
    left, top = dice.random() * 400, dice.random() * 300
    return Box(name, _ID, left, top, 20 + dice.random() * 150, 20 + dice.random() * 150)


def _found(dice: random.Random, label: Box) -> Box:
    """A label, moved by a little."""
    left, top = label.left + dice.gauss(0, 8), label.top + dice.gauss(0, 8)
    width, height = label.width * dice.uniform(0.8, 1.2), label.height * dice.uniform(0.8, 1.2)
    return Box(label.name, _ID, left, top, width, height, round(dice.random(), 6))


def box_rows(rows: int, labels: int, predictions: int, classes: int) -> list[RowPair]:
    """Pictures with labels, most of them found, and some predictions of nothing; the same each time."""
    dice = random.Random(11)
    names = [f"class {number:02d}" for number in range(classes)]
    made = []
    for number in range(rows):
        meant = [_box(dice, dice.choice(names)) for _ in range(labels)]
        said = [_found(dice, label) for label in meant if dice.random() < 0.9][:predictions]
        while len(said) < predictions:
            said.append(_found(dice, _box(dice, dice.choice(names))))
        made.append(RowPair(data_row_id=f"row{number}", split=Split.TEST, predictions=tuple(said), labels=tuple(meant)))
    return made


def _timed(
    work: Callable[[], T], rounds: int = ROUNDS, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, T]:
    """Seconds of the middle round, by ``clock``, and the result."""
    seconds = []
    gc.collect()
    gc.freeze()  # what is measured does not pay for walking over what it is given
    for _ in range(rounds):
        gc.collect()
        start = clock()
        result = work()
        seconds.append(clock() - start)
    gc.unfreeze()
    return median(seconds), result


def _sdk(pairs: Sequence[RowPair]) -> Figure:
    """Mean IoU and confusion matrix of each feature on each row."""
    from labelbox.data import annotation_types as lb
    from labelbox.data.metrics import feature_confusion_matrix_metric, feature_miou_metric

    def theirs(one: Any) -> Any:
        start, end = lb.Point(x=one.left, y=one.top), lb.Point(x=one.left + one.width, y=one.top + one.height)
        return lb.ObjectAnnotation(name=one.name, value=lb.Rectangle(start=start, end=end))

    few = pairs[:SDK_ROWS]
    sides = [
        ([theirs(one) for one in pair.labels or ()], [theirs(one) for one in pair.predictions or ()]) for pair in few
    ]

    def by_sdk() -> list[tuple[dict[str, float], dict[str, list[int]]]]:
        return [
            (
                {one.feature_name: one.value for one in feature_miou_metric(*side, include_subclasses=False)},
                {one.feature_name: list(one.value) for one in feature_confusion_matrix_metric(*side)},
            )
            for side in sides
        ]

    slow, wanted = _timed(by_sdk)
    fast, found = _timed(lambda: row_metrics(pairs, confidences=(0.0,)))
    for one in found:
        if one.row < len(few):
            means, counts = wanted[one.row]
            assert one.counts[0] is not None
            assert one.iou[0] is not None
            assert abs(one.iou[0] - means[one.feature]) < 1e-6
            assert list(one.counts[0]) == counts[one.feature]
    assert sum(1 for one in found if one.row < len(few)) == sum(len(means) for means, _ in wanted)
    return Figure.compared(
        "box metrics, 5 labels v 5 predictions", "rows/s", len(pairs) / fast, len(few) / slow,
        "labelbox SDK, equal values", more_is_better=True, least_ratio=50,
    )  # fmt: skip


def _evaluate(pairs: Sequence[RowPair]) -> tuple[Evaluator, float]:
    evaluator = Evaluator()
    for start in range(0, len(pairs), _PIECE):
        evaluator.add(pairs[start : start + _PIECE])
    return evaluator, evaluator.scores()[0].objects[0].mean_average_precision or 0.0


def _coco(pairs: Sequence[RowPair]) -> list[Figure]:
    """mAP@[.5:.95]; ours counts everything else and writes down each row's agreement in the same time."""
    from faster_coco_eval import COCO, COCOeval_faster

    numbers: dict[str, int] = {}
    truths: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image, pair in enumerate(pairs, 1):
        for one in pair.labels or ():
            assert isinstance(one, Box)
            truths.append(
                {
                    "id": len(truths) + 1,
                    "image_id": image,
                    "category_id": numbers.setdefault(one.name, len(numbers) + 1),
                    "iscrowd": 0,
                    "bbox": [one.left, one.top, one.width, one.height],
                    "area": one.width * one.height,
                }
            )
        found += [
            {
                "image_id": image,
                "category_id": numbers.setdefault(one.name, len(numbers) + 1),
                "bbox": [one.left, one.top, one.width, one.height],
                "score": one.confidence,
            }
            for one in pair.predictions or ()
            if isinstance(one, Box)
        ]
    dataset = {
        "images": [{"id": number + 1, "width": 600, "height": 500} for number in range(len(pairs))],
        "categories": [{"id": number, "name": name} for name, number in numbers.items()],
        "annotations": truths,
    }

    def by_coco() -> float:
        with contextlib.redirect_stdout(io.StringIO()):
            labels = COCO(dataset)
            run = COCOeval_faster(labels, labels.loadRes([dict(one) for one in found]), "bbox")
            run.evaluate()
            run.accumulate()
            run.summarize()
        return float(run.stats[0])

    other, wanted = _timed(by_coco)
    ours, (_, value) = _timed(lambda: _evaluate(pairs))
    assert abs(value - wanted) < 1e-6, (value, wanted)
    labels = sum(len(pair.labels or ()) for pair in pairs)
    return [
        Figure.compared(
            f"mAP, {len(pairs):,} pictures, {labels:,} labels", "s", ours, other, "faster-coco-eval, equal to 6 places",
            more_is_better=False, least_ratio=1,
        ),
        Figure.alone("all figures and agreement of boxes", "rows/s", len(pairs) / ours),
    ]  # fmt: skip


def _sklearn() -> Figure:
    """Precision, recall and F1 by class and averaged, confusion matrix and log loss of one answer of 10 classes."""
    from sklearn import metrics

    names = [f"class {number}" for number in range(10)]
    noise = np.random.default_rng(5)
    shares = noise.dirichlet(np.ones(10), ANSWERS)
    truth = [names[k] for k in noise.integers(0, 10, ANSWERS)]
    said = [names[k] for k in shares.argmax(axis=1)]
    pairs = [
        RowPair(
            data_row_id=str(number),
            split=Split.TEST,
            predictions=(Radio("q", _ID, Answer(said[number], _ID, float(row.max()))),),
            labels=(Radio("q", _ID, Answer(truth[number], _ID)),),
            scores={"q": dict(zip(names, row.tolist(), strict=True))},
        )
        for number, row in enumerate(shares)
    ]

    def by_sklearn() -> tuple[float, float, float]:
        metrics.classification_report(truth, said, output_dict=True)
        metrics.confusion_matrix(truth, said)
        metrics.precision_recall_fscore_support(truth, said, average="weighted")
        loss = metrics.log_loss(truth, shares, labels=names)
        top = metrics.top_k_accuracy_score(truth, shares, k=3, labels=names)
        return float(metrics.f1_score(truth, said, average="macro")), float(loss), float(top)

    def by_us() -> tuple[float, float, float]:
        evaluator = Evaluator()
        for start in range(0, len(pairs), _PIECE):
            evaluator.add(pairs[start : start + _PIECE])
        [one] = evaluator.scores()[0].choices
        return one.macro.f1, one.log_loss or 0.0, one.top_k["3"]

    # Both use one core; CPU time, since others may share the machine.
    other, wanted = _timed(by_sklearn, clock=time.process_time)
    ours, found = _timed(by_us, clock=time.process_time)
    assert np.allclose(found, wanted, atol=1e-6), (found, wanted)
    return Figure.compared(
        "radio answers of 10 classes", "answers/s", ANSWERS / ours, ANSWERS / other,
        "scikit-learn, whole arrays, no agreement", more_is_better=True, least_ratio=1,
    )  # fmt: skip


def run() -> list[Figure]:
    """All figures."""
    return [
        _sdk(box_rows(ROWS, 5, 5, 4)),
        *_coco(box_rows(PICTURES, LABELS, PREDICTIONS, CLASSES)),
        _sklearn(),
    ]
