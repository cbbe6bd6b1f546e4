"""Does a confidence of .8 mean right in 80 of 100 cases? Reliability curve and expected calibration error."""

from __future__ import annotations

import msgspec
import numpy as np

from vertex_model_inference.evaluation.arrays import Bools, Floats, Ints

__all__ = ["BINS", "Calibration", "CalibrationBin", "binned", "calibration"]

BINS = 15
"""Of equal width: as many as in the papers, so that figures can be compared."""

_AT_ONCE = 1 << 18


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


def binned(scores: Floats, right: Bools, weights: Ints | None = None, bins: int = BINS) -> Floats:
    """What is in each bin of predictions with their confidences; may be added up over any number of them.

    Args:
        scores: 0..1, shape (n,). ``right``: whether each is right.
        weights: How often each counts; None: once.
        bins: Of equal width.

    Returns:
        Shape (3, bins): how many, the sum of their confidences, and how many are right.
    """
    edges = np.linspace(0.0, 1.0, bins + 1)
    sums = np.zeros((3, bins))
    for start in range(0, len(scores), _AT_ONCE):  # bounds memory
        piece = slice(start, start + _AT_ONCE)
        part = scores[piece]
        counts = np.ones(len(part)) if weights is None else weights[piece].astype(np.float64)
        place = np.clip(np.searchsorted(edges, part, side="left") - 1, 0, bins - 1)
        for row, values in enumerate((counts, counts * part, counts * right[piece])):
            sums[row] += np.bincount(place, values, bins)
    return sums


def calibration(sums: Floats) -> Calibration | None:
    """Of what ``binned`` gave, or the sum of several; None where nothing was predicted."""
    size, confidence, hits = sums
    if not size.any():
        return None
    edges = np.linspace(0.0, 1.0, len(size) + 1)
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
