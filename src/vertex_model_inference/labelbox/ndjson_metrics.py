"""Custom metrics as the NDJSON rows that Labelbox imports.

The form is what the ``labelbox`` SDK 7.17.0's ``NDJsonConverter`` writes of ``ScalarMetric`` and
``ConfusionMatrixMetric`` with a value for each of 2 to 15 confidences; names are those of its ``feature_miou_metric``
and ``feature_confusion_matrix_metric``. Metric rows have no uuid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

__all__ = ["confusion_line", "scalar_line"]

_ENCODER = msgspec.json.Encoder()


def scalar_line(row_id: str, feature: str, values: Mapping[float, float]) -> bytes:
    """A scalar metric (mean IoU) of one feature on one row.

    Args:
        row_id: Labelbox's data row id. ``feature``: its name.
        values: Confidence -> value, 2 to 15 of them.
    """
    return _line(row_id, "custom_iou", feature, _by_confidence(values), "ARITHMETIC_MEAN")


def confusion_line(row_id: str, feature: str, values: Mapping[float, Sequence[int]], *, iou: float | None) -> bytes:
    """A confusion matrix metric of one feature on one row.

    Args:
        row_id: Labelbox's data row id. ``feature``: its name.
        values: Confidence -> [TP, FP, TN, FN], 2 to 15 of them.
        iou: From which objects count as found; None: of a classification.
    """
    name = "classification" if iou is None else f"{int(iou * 100)}pct_iou"
    return _line(row_id, name, feature, _by_confidence(values), "CONFUSION_MATRIX")


def _by_confidence(values: Mapping[float, Any]) -> dict[str, Any]:
    if not 2 <= len(values) <= 15:
        raise ValueError(f"Labelbox takes a metric at 2 to 15 confidences, not {len(values)}")
    return {str(float(confidence)): value for confidence, value in values.items()}


def _line(row_id: str, name: str, feature: str, value: dict[str, Any], aggregation: str) -> bytes:
    return _ENCODER.encode(
        {
            "dataRow": {"id": row_id},
            "metricValue": value,
            "featureName": feature,
            "metricName": name,
            "aggregation": aggregation,
        }
    )
