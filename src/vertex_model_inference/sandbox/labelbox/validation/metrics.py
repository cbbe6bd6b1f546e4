"""Metric rows: scalars and confusion matrices that customers compute themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vertex_model_inference.sandbox.labelbox.validation.problems import Problem, is_index, is_number, unknown_fields

__all__ = ["check_metric"]

_FIELDS = frozenset({"uuid", "dataRow", "metricName", "metricValue", "featureName", "subclassName", "aggregation"})
_SCALAR = frozenset({"ARITHMETIC_MEAN", "GEOMETRIC_MEAN", "HARMONIC_MEAN", "SUM"})
_AGGREGATIONS = _SCALAR | {"CONFUSION_MATRIX"}
_RESERVED = frozenset(
    {
        "true_positive_count",
        "false_positive_count",
        "true_negative_count",
        "false_negative_count",
        "precision",
        "recall",
        "f1",
        "iou",
    }
)
_MOST = 10**10


def check_metric(row: dict[str, Any]) -> Iterable[Problem]:
    """``metricName``, ``metricValue`` (a value, or one for each of 2 to 15 confidences) and ``aggregation``."""
    yield from unknown_fields(row, _FIELDS, "A metric")
    name, aggregation, value = row.get("metricName"), row.get("aggregation", "ARITHMETIC_MEAN"), row["metricValue"]
    if not isinstance(name, str) or not name:
        yield Problem("MissingValue", "A metric needs metricName.")
    elif name in _RESERVED:
        yield Problem("InvalidMetric", f"metricName {name!r} is reserved.")
    if not isinstance(aggregation, str) or aggregation not in _AGGREGATIONS:
        yield Problem("InvalidMetric", f"aggregation {aggregation!r:.40} is not one that Labelbox knows.")
        return
    if value is None:
        yield Problem("MissingValue", "metricValue is null.")
        return
    values = [value]
    if isinstance(value, dict):
        values = list(value.values())
        if not 2 <= len(value) <= 15:
            yield Problem("InvalidMetric", f"metricValue by confidence needs 2 to 15 entries, it has {len(value)}.")
        if not all(_is_confidence(key) for key in value):
            yield Problem("InvalidMetric", "metricValue by confidence needs keys from 0 to 1.")
    if aggregation == "CONFUSION_MATRIX":
        if not all(isinstance(v, list) and len(v) == 4 and all(is_index(n) and n <= _MOST for n in v) for v in values):
            yield Problem("InvalidMetric", "A confusion matrix is [TP, FP, TN, FN], whole numbers from 0 to 1e10.")
    elif not all(is_number(v) for v in values):
        yield Problem("InvalidMetric", "A scalar metric is a finite number.")


def _is_confidence(key: str) -> bool:
    try:
        return 0 <= float(key) <= 1
    except ValueError:
        return False
