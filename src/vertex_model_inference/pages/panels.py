"""A class, or all of them, with its curve and a threshold to move: what the slider and its table show. Pure."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from markupsafe import Markup

from vertex_model_inference.evaluation.scores import ClassScore, Curve

__all__ = ["ALL_CLASSES", "Panel", "TableLine", "combined", "island", "kept", "panel", "table", "thinned"]

ALL_CLASSES = ""
"""In place of the name of a class."""


class TableLine(NamedTuple):
    """A threshold and what is left at it; ``precision`` None: nothing; ``said`` None: not known."""

    threshold: str
    precision: float | None
    recall: float
    f1: float
    said: int | None
    best: bool


class Panel(NamedTuple):
    """One class, or all, with its curve and a threshold to move.

    Attributes:
        name: Of the class; empty: all classes together, each kept from the same threshold on.
        labels: How often it is labelled.
        curve: At most 200 points. ``best``: the threshold with the highest F1; None: there is none.
        start: Where the slider begins.
    """

    name: str
    labels: int
    curve: Curve
    best: float | None
    start: float


def panel(classes: Sequence[ClassScore], name: str) -> Panel | None:
    """The curve of a class, or of all classes together (``ALL_CLASSES``); None: there is no such class."""
    if name == ALL_CLASSES:
        curve = combined(classes)
        labels = sum(one.labels for one in classes)
        top = max(curve.f1, default=0.0)
        best = curve.threshold[curve.f1.index(top)] if top > 0 else None
        return Panel(name, labels, curve, best, _start(curve))
    one = next((each for each in classes if each.name == name), None)
    if one is None:
        return None
    best = None if one.best is None else one.best.threshold
    return Panel(name, one.labels, one.curve, best, _start(one.curve))


def combined(classes: Sequence[ClassScore], most: int = 200) -> Curve:
    """Precision, recall and F1 over all predictions when every class is kept from the same threshold on.

    Exact at the thresholds at which every class' curve has a point (up to 200 predictions a class), else as near as the
    curves are fine.

    Args:
        classes: With the counts of their curves (``Curve.said``); the result is empty without.
        most: Thresholds.
    """
    known = [one for one in classes if one.curve.threshold]
    if not known or any(len(one.curve.said) != len(one.curve.threshold) for one in known):
        return Curve()
    labels = sum(one.labels for one in classes)
    # Each point of a class' curve adds what came since its point before: then one sort sums up all classes.
    steps = []
    for one in known:
        said = np.asarray(one.curve.said, dtype=np.int64)
        hits = np.rint(np.asarray(one.curve.precision) * said).astype(np.int64)
        steps.append(np.stack((np.asarray(one.curve.threshold), np.diff(hits, prepend=0), np.diff(said, prepend=0))))
    threshold, hits, said = np.concatenate(steps, axis=1)
    order = np.argsort(-threshold, kind="stable")
    threshold, hits, said = threshold[order], np.cumsum(hits[order]), np.cumsum(said[order])
    last = np.flatnonzero(np.append(threshold[1:] != threshold[:-1], True))
    threshold, hits, said = threshold[last], hits[last], said[last]
    recall = hits / labels if labels else np.zeros(len(hits))
    rates = (hits / np.maximum(said, 1), recall, 2 * hits / np.maximum(said + labels, 1))
    lines: list[tuple[float, ...]] = [tuple(np.round(rate, 6).tolist()) for rate in rates]
    return thinned(
        Curve(tuple(threshold.tolist()), lines[0], lines[1], lines[2], tuple(said.astype(int).tolist())), most
    )


def thinned(curve: Curve, most: int) -> Curve:
    """The curve with at most so many points: the ends, the one with the highest F1, and others at even steps."""
    n = len(curve.threshold)
    if n <= most:
        return curve
    top = curve.f1.index(max(curve.f1))
    kept = {0, n - 1, top, *(round(k * (n - 1) / (most - 3)) for k in range(most - 2))}
    at = sorted(kept)[:most] if len(kept) <= most else sorted(kept)
    threshold, precision, recall, f1 = (
        tuple(column[k] for k in at) for column in (curve.threshold, curve.precision, curve.recall, curve.f1)
    )
    return Curve(threshold, precision, recall, f1, tuple(curve.said[k] for k in at) if curve.said else ())


def kept(curve: Curve, threshold: float) -> int | None:
    """Place in the curve of what is left when what is at least as confident is kept; None: nothing is."""
    left = bisect_right(curve.threshold, -threshold, key=lambda one: -one)
    return left - 1 if left else None


def table(found: Panel) -> tuple[TableLine, ...]:
    """The panel's curve at tenths of confidence, and at the best threshold."""
    curve = found.curve
    at = {k / 10 for k in range(10)} | ({found.best} if found.best is not None else set())
    lines = []
    for threshold in sorted(at):
        place = kept(curve, threshold)
        lines.append(
            TableLine(
                f"{threshold:.4g}",
                None if place is None else curve.precision[place],
                0.0 if place is None else curve.recall[place],
                0.0 if place is None else curve.f1[place],
                0 if place is None else curve.said[place] if curve.said else None,
                best=threshold == found.best,
            )
        )
    return tuple(lines)


def island(found: Panel) -> Markup:
    """What the script of a panel reads, as JSON: numbers only, so that it can stand in a page as it is."""
    curve = found.curve
    numbers = {
        "labels": found.labels,
        "threshold": curve.threshold,
        "precision": curve.precision,
        "recall": curve.recall,
        "f1": curve.f1,
        "said": curve.said,
    }
    return Markup(msgspec.json.encode(numbers).decode())  # noqa: S704  # nothing but numbers and fixed names


def _start(curve: Curve) -> float:
    """The highest step of the slider at which everything is kept."""
    return math.floor(curve.threshold[-1] * 1000) / 1000 if curve.threshold else 0.0
