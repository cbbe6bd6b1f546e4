"""Whether a row's predictions are right, as far as labels can tell. Pure functions.

Right means: each labelled question has the same answers and each labelled object has its prediction (same name; boxes
around the shapes with an intersection over union of at least one half; the same characters for text entities; at most
ten pixels away for points), and nothing is predicted beyond that. Answers nested in objects, relationships and what
changes from frame to frame of a video are not compared.
"""

from __future__ import annotations

from enum import StrEnum

from vertex_model_inference.sandbox.labelbox.page.annotated import Annotated, Json
from vertex_model_inference.sandbox.labelbox.page.chips import answers_of
from vertex_model_inference.sandbox.labelbox.page.shapes import Box, bounds

__all__ = ["Verdict", "verdict"]

_LEAST_OVERLAP = 0.5
_POINT_PIXELS = 10.0


class Verdict(StrEnum):
    """What the page says of a row."""

    RIGHT = "right"
    WRONG = "wrong"
    NONE = "none"
    UNLABELLED = "unlabelled"
    UNCOMPARED = "uncompared"


def _answers(classifications: list[Json]) -> dict[tuple[str, str], frozenset[str]]:
    """What is answered to each question, of the data row and of each message."""
    return {
        (str(item.get("message_id")), str(item.get("name"))): frozenset(text.strip() for text, _, _ in answers_of(item))
        for item in classifications
    }


def _box(item: Json) -> Box | None:
    box = item.get("bounding_box")
    if box:
        return box["left"], box["top"], box["width"], box["height"]
    for key in ("polygon", "line"):
        if item.get(key):
            return bounds(item[key])
    if item.get("point"):
        return item["point"]["x"], item["point"]["y"], 0.0, 0.0
    return None


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes (x, y, width, height); 0 when both are empty."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    inside = width * height
    return inside / (one[2] * one[3] + other[2] * other[3] - inside)


def _fits(label: Json, prediction: Json) -> bool:
    if label.get("name") != prediction.get("name") or label.get("page_number") != prediction.get("page_number"):
        return False
    one, other = _box(label), _box(prediction)
    if one is not None and other is not None:
        if "point" in label and "point" in prediction:
            return (one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2 <= _POINT_PIXELS**2
        return overlap(one, other) >= _LEAST_OVERLAP
    for key in ("location", "conversational_location"):
        if label.get(key) is not None:
            return bool(label[key] == prediction.get(key))
    return (one is None) == (other is None)


def verdict(labels: Annotated | None, predictions: Annotated) -> Verdict:
    """Compare the predictions of a row with its labels (None: it has none)."""
    if predictions.nothing:
        return Verdict.NONE
    if labels is None or labels.nothing:
        return Verdict.UNLABELLED
    if labels.frames or predictions.frames:
        return Verdict.UNCOMPARED
    if not (labels.objects or labels.classifications):
        return Verdict.UNLABELLED
    if _answers(labels.classifications) != _answers(predictions.classifications):
        return Verdict.WRONG
    if len(labels.objects) != len(predictions.objects):
        return Verdict.WRONG
    left = list(predictions.objects)
    for label in labels.objects:
        found = next((item for item in left if _fits(label, item)), None)
        if found is None:
            return Verdict.WRONG
        left.remove(found)
    return Verdict.RIGHT
