"""Does a confidence of .8 mean right in 80 of 100 cases? Reliability curve and expected calibration error."""

from __future__ import annotations

import msgspec
import numpy as np

from vertex_model_inference.evaluation.arrays import Bools, Floats, Ints

__all__ = ["Calibration", "CalibrationBin", "calibration"]


class CalibrationBin(msgspec.Struct, frozen=True):
    """Predictions whose confidence lies in (``lower``, ``upper``] (the first bin: from ``lower`` on).

    Attributes:
        count: How many.
        confidence: Their mean confidence. ``accuracy``: the share of them that is right.
    """

    lower: float
    upper: float
    count: int
    confidence: float
    accuracy: float


class Calibration(msgspec.Struct, frozen=True):
    """The bins that hold anything, and the expected calibration error: the mean of |accuracy - confidence| of the bins,
    weighted by how much they hold, 0..1, smaller is better (Naeini and others, AAAI 2015).
    """

    bins: tuple[CalibrationBin, ...]
    expected_error: float


def calibration(scores: Floats, right: Bools, weights: Ints | None = None, bins: int = 15) -> Calibration | None:
    """Of predictions with their confidences, shape (n,); None where there are none.

    Args:
        scores: 0..1. ``right``: whether each is right.
        weights: How often each counts; None: once.
        bins: Of equal width.
    """
    if not len(scores):
        return None
    counts = np.ones(len(scores)) if weights is None else weights.astype(np.float64)
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.clip(np.searchsorted(edges, scores, side="left") - 1, 0, bins - 1)
    size = np.bincount(place, counts, bins)
    confidence = np.bincount(place, counts * scores, bins)
    hits = np.bincount(place, counts * right, bins)
    filled = np.flatnonzero(size)
    error = float(np.abs(hits[filled] - confidence[filled]).sum() / size.sum())
    return Calibration(
        tuple(
            CalibrationBin(
                round(float(edges[k]), 6),
                round(float(edges[k + 1]), 6),
                int(size[k]),
                float(confidence[k] / size[k]),
                float(hits[k] / size[k]),
            )
            for k in filled
        ),
        error,
    )
