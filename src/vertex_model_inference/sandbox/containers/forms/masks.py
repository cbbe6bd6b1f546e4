"""Families that answer pixels, outlines and places. Every thing must have its mask."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vertex_model_inference.sandbox.containers.forms.things import BitMask, Size, Thing

__all__ = ["MASKS", "OUTLINES", "PLACES"]

Form = Callable[[Sequence[Thing], Size, Sequence[str]], Any]
"""The things, the picture's size, and all classes of the model in its order."""


def _mask(thing: Thing) -> BitMask:
    assert thing.mask is not None, "this form needs masks"
    return thing.mask


def _png(pixels: npt.NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def automl_segmentation(things: Sequence[Thing], size: Size, names: Sequence[str]) -> Any:
    """``ImageSegmentationPredictionResult``: one category for each class, 0 the background; confidences as 8 bits."""
    width, height = size
    category = np.zeros((height, width), dtype=np.uint8)
    sure = np.full((height, width), 255, dtype=np.uint8)
    for thing in things:
        category[_mask(thing)] = 1 + names.index(thing.label)
        sure[_mask(thing)] = round(255 * thing.score)
    return {"categoryMask": _png(category), "confidenceMask": _png(sure)}


def hf_segmentation(things: Sequence[Thing], _: Size, _names: Sequence[str]) -> Any:
    """transformers' ``image-segmentation`` pipeline: masks of 0 and 255."""
    return [
        {"score": t.score, "label": t.label, "mask": _png(_mask(t).astype(np.uint8) * np.uint8(255))} for t in things
    ]


def rle_masks(things: Sequence[Thing], _: Size, _names: Sequence[str]) -> Any:
    """COCO's results: compressed run lengths, by COCO's own code."""
    from faster_coco_eval.core import mask as coco

    answer = []
    for thing in things:
        runs = coco.encode(np.asfortranarray(_mask(thing), dtype=np.uint8))
        segmentation = {"size": [int(side) for side in runs["size"]], "counts": runs["counts"].decode()}
        answer.append({"category": thing.label, "score": thing.score, "segmentation": segmentation})
    return answer


def rle_plain(things: Sequence[Thing], _: Size, _names: Sequence[str]) -> Any:
    """COCO's uncompressed run lengths, column after column, beginning with background."""
    answer = []
    for thing in things:
        mask = _mask(thing)
        flat = np.concatenate([[False], mask.flatten(order="F")])
        changes = np.flatnonzero(flat[1:] != flat[:-1])
        counts = np.diff([0, *changes, mask.size]).tolist()
        answer.append({"label": thing.label, "score": thing.score, "size": list(mask.shape), "counts": counts})
    return answer


def sam_masks(things: Sequence[Thing], _: Size, _names: Sequence[str]) -> Any:
    """Model Garden's Segment Anything, with the scores and labels that containers add."""
    return {
        "masks": [_mask(t).tolist() for t in things],
        "scores": [t.score for t in things],
        "labels": [t.label for t in things],
    }


def polygons(things: Sequence[Thing], _: Size, _names: Sequence[str]) -> Any:
    """The outer outline of each thing's largest part, through the centres of its border's pixels as OpenCV draws it."""
    import cv2

    answer = []
    for thing in things:
        found, _hierarchy = cv2.findContours(_mask(thing).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        ring = max(found, key=cv2.contourArea)
        points = [[float(x), float(y)] for [[x, y]] in ring]
        if len(points) >= 3:
            answer.append({"label": thing.label, "score": thing.score, "points": points})
    return answer


def keypoints(things: Sequence[Thing], _: Size, _names: Sequence[str]) -> Any:
    """Centre of gravity and topmost pixel of each thing, and a third point that is never seen (its ``v`` is 0)."""
    answer = []
    for thing in things:
        rows, columns = np.nonzero(_mask(thing))
        top = rows.min()
        flat = [float(columns.mean() + 0.5), float(rows.mean() + 0.5), 2]
        flat += [float(columns[rows == top].mean() + 0.5), float(top), 2, 0, 0, 0]
        places = [f"{thing.label} centre", f"{thing.label} top", f"{thing.label} back"]
        answer.append({"label": thing.label, "score": thing.score, "keypoints": flat, "names": places})
    return answer


MASKS: dict[str, Form] = {
    "automl-segmentation": automl_segmentation,
    "hf-segmentation": hf_segmentation,
    "rle-masks": rle_masks,
    "rle-masks:plain": rle_plain,
    "sam-masks": sam_masks,
}
OUTLINES: dict[str, Form] = {"polygons": polygons}
PLACES: dict[str, Form] = {"keypoints": keypoints}
"""Name of the family -> its form."""
