"""Families that answer boxes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from vertex_model_inference.sandbox.containers.classes import class_id
from vertex_model_inference.sandbox.containers.forms.things import Size, Thing

__all__ = ["BOXES", "Form"]

Form = Callable[[Sequence[Thing], Size, Sequence[str]], Any]
"""The things, the picture's size, and all classes of the model in its order."""

_LOC = 1024
"""PaliGemma has tokens for so many places along an edge."""

_PATCHES = 8
"""OWL-ViT answers for each patch of the picture, also where nothing is; here for so many along an edge."""


def automl_detection(things: Sequence[Thing], size: Size, _: Sequence[str]) -> Any:
    """``ImageObjectDetectionPredictionResult``: ``[xMin, xMax, yMin, yMax]`` from 0 to 1, the most confident first."""
    width, height = size
    ranked = sorted(things, key=lambda thing: -thing.score)
    return {
        "ids": [class_id("image-object-detection", thing.label) for thing in ranked],
        "displayNames": [thing.label for thing in ranked],
        "confidences": [thing.score for thing in ranked],
        "bboxes": [
            [thing.left / width, thing.right / width, thing.top / height, thing.bottom / height] for thing in ranked
        ],
    }


def hf_detection(things: Sequence[Thing], _: Size, _names: Sequence[str]) -> Any:
    """transformers' ``object-detection`` pipeline; ``text`` where the model reads."""
    answer = []
    for thing in things:
        box = {"xmin": thing.left, "ymin": thing.top, "xmax": thing.right, "ymax": thing.bottom}
        one: dict[str, Any] = {"label": thing.label, "score": thing.score, "box": box}
        answer.append(one if thing.text is None else {**one, "text": thing.text})
    return answer


def _arrays(boxes: list[list[float]], things: Sequence[Thing], names: Sequence[str], first: int = 0) -> Any:
    """Parallel arrays; the classes are numbers, counted from ``first`` (1 where 0 is the background)."""
    labels = [first + names.index(thing.label) for thing in things]
    return {"boxes": boxes, "scores": [thing.score for thing in things], "labels": labels}


def xyxy(things: Sequence[Thing], _: Size, names: Sequence[str]) -> Any:
    """torchvision's detection models: corners in pixels, class 0 the background."""
    return _arrays([[t.left, t.top, t.right, t.bottom] for t in things], things, names, 1)


def xywh(things: Sequence[Thing], _: Size, names: Sequence[str]) -> Any:
    """COCO's own boxes: left, top, width, height in pixels."""
    return _arrays([[t.left, t.top, t.right - t.left, t.bottom - t.top] for t in things], things, names)


def cxcywh_relative(things: Sequence[Thing], size: Size, names: Sequence[str]) -> Any:
    """DETR's and YOLO's boxes: centre and size from 0 to 1."""
    width, height = size
    return _arrays(
        [
            [
                (t.left + t.right) / 2 / width,
                (t.top + t.bottom) / 2 / height,
                (t.right - t.left) / width,
                (t.bottom - t.top) / height,
            ]
            for t in things
        ],
        things,
        names,
    )


def tensorflow(things: Sequence[Thing], size: Size, names: Sequence[str]) -> Any:
    """TensorFlow's Object Detection API: yxyx from 0 to 1, padded to 100; only ``num_detections`` of them count."""
    width, height = size
    boxes = [[t.top / height, t.left / width, t.bottom / height, t.right / width] for t in things]
    answer = _arrays(boxes, things, names, 1)
    padding = max(0, 100 - len(things))
    return {
        "detection_boxes": answer["boxes"] + [[0.0] * 4] * padding,
        "detection_scores": answer["scores"] + [0.0] * padding,
        "detection_classes": [float(label) for label in answer["labels"]] + [0.0] * padding,
        "num_detections": float(len(things)),
    }


def owl_vit_v2(things: Sequence[Thing], size: Size, names: Sequence[str]) -> Any:
    """Model Garden's OWL-ViT v2: ``[y0, x0, y1, x1]`` from 0 to 1 of the padded square, logits of each query."""
    side = max(size)
    boxes = [[t.top / side, t.left / side, t.bottom / side, t.right / side] for t in things]
    logits = [[_logit(t.score) if query == t.label else -10.0 for query in names] for t in things]
    step = 1 / _PATCHES
    for row in range(_PATCHES):
        for column in range(_PATCHES):
            boxes.append([row * step, column * step, (row + 1) * step, (column + 1) * step])
            logits.append([-6.0] * len(names))
    return {"predicted_boxes": boxes, "instance_logits_image": logits}


def _logit(score: float) -> float:
    bounded = min(max(score, 1e-9), 1 - 1e-9)
    return math.log(bounded / (1 - bounded))


def paligemma(things: Sequence[Thing], size: Size, _: Sequence[str]) -> Any:
    """PaliGemma's answer to ``detect ...``: four ``<loc>`` tokens (y0, x0, y1, x1 of 1024), the class, no score."""
    width, height = size
    parts = []
    for thing in things:
        places = (thing.top / height, thing.left / width, thing.bottom / height, thing.right / width)
        tokens = "".join(f"<loc{min(round(place * _LOC), _LOC - 1):04d}>" for place in places)
        parts.append(f"{tokens} {thing.label}")
    return {"response": " ; ".join(parts)}


def own_json(things: Sequence[Thing], size: Size, _: Sequence[str]) -> Any:
    """Nobody's form: what a container may make up, scores in percent."""
    width, height = size
    return {
        "outputs": {
            "detections": [
                {"cls": t.label, "conf": 100 * t.score, "x1": t.left / width, "y1": t.top / height}
                | {"x2": t.right / width, "y2": t.bottom / height}
                for t in things
            ]
        }
    }


BOXES: dict[str, Form] = {
    "automl-detection": automl_detection,
    "hf-detection": hf_detection,
    "grounding-dino": hf_detection,
    "owl-vit": hf_detection,
    "boxes-arrays:xyxy": xyxy,
    "boxes-arrays:xywh": xywh,
    "boxes-arrays:cxcywh:relative": cxcywh_relative,
    "boxes-arrays": tensorflow,
    "owl-vit-v2": owl_vit_v2,
    "paligemma": paligemma,
    "mapping": own_json,
}
"""Name of the family (and layout) -> its form."""
