"""Coins as instance masks: ``python -m ...containers.coins``. Classical, but real: thresholds and a watershed.

The way is that of scikit-image's own example ("Comparing edge-based and region-based segmentation"): what is very dark
or very light marks background and coins, and a watershed on the edges' strength divides the rest between them. A
coin's score is how round it is: the overlap (intersection over union) of its pixels with the disc of the same area and
centre. What is hardly round, tiny, or most of the picture is no coin.

Instances ``{"content": "gs://..." or base64, "mimeType"}`` or ``{"image": {"b64": ...}}``. Parameter
``confidenceThreshold`` drops coins of a lower score. It answers COCO's run lengths; below the predict route are the
other families in whose forms it answers (``FORMS``). The classes are ``coin`` for masks, ``coin box``, ``coin
outline``, ``coin centre`` and ``coin top``. Families of classes answer which sizes of coins are in the picture: a
multi-label model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vertex_model_inference.sandbox.containers.classes import ClassParameters
from vertex_model_inference.sandbox.containers.forms.boxes import BOXES
from vertex_model_inference.sandbox.containers.forms.labels import LABELS
from vertex_model_inference.sandbox.containers.forms.masks import MASKS, OUTLINES, PLACES
from vertex_model_inference.sandbox.containers.forms.things import BitMask, Size, Thing, thing_of_mask
from vertex_model_inference.sandbox.containers.images import image_of
from vertex_model_inference.sandbox.containers.serve import Forms, Parameters, Predict, each, main

__all__ = ["BOX", "COIN", "FORMS", "OUTLINE", "SIZES", "coins_of", "load", "sizes_of"]

COIN, BOX, OUTLINE = "coin", "coin box", "coin outline"
SIZES = ("small", "medium", "large")

DARK, LIGHT = 30, 150  # grey levels of 0..255
ROUND = 0.8
SMALLEST = 300  # square pixels

Form = Callable[[Sequence[Thing], Size], Any]


def coins_of(grey: npt.NDArray[np.uint8]) -> list[Thing]:
    """The coins of a grey picture (height x width), from the top left in reading order of their topmost pixels.

    The same picture gives the same coins.
    """
    from scipy.ndimage import binary_fill_holes
    from skimage.filters import sobel
    from skimage.measure import label, regionprops
    from skimage.segmentation import watershed

    markers = np.zeros(grey.shape, dtype=np.int32)
    markers[grey < DARK] = 1
    markers[grey > LIGHT] = 2
    if not (markers == 1).any() or not (markers == 2).any():
        return []
    filled = binary_fill_holes(watershed(sobel(grey / 255), markers) == 2)
    numbered = label(filled)
    found = []
    for region in regionprops(numbered):
        if not SMALLEST <= region.area <= grey.size / 3:
            continue
        mask = numbered == region.label
        roundness = _roundness(mask, *region.centroid)
        if roundness >= ROUND:
            found.append(thing_of_mask(COIN, roundness, mask))
    return found


def _roundness(mask: BitMask, row: float, column: float) -> float:
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    disc = (rows - row) ** 2 + (columns - column) ** 2 <= mask.sum() / np.pi
    return float((disc & mask).sum() / (disc | mask).sum())


def sizes_of(coins: Sequence[Thing]) -> list[tuple[str, float]]:
    """Which sizes are there, each with the score of its roundest coin: small, medium and large beside the median."""
    if not coins:
        return []
    widths = [coin.right - coin.left for coin in coins]
    middle = float(np.median(widths))
    best: dict[str, float] = {}
    for coin, width in zip(coins, widths, strict=True):
        size = SIZES[0 if width < 0.9 * middle else 2 if width > 1.1 * middle else 1]
        best[size] = max(best.get(size, 0.0), coin.score)
    return sorted(best.items(), key=lambda pair: -pair[1])


def _named(form: Callable[..., Any], name: str) -> Form:
    def answer(things: Sequence[Thing], size: Size) -> Any:
        return form([replace(thing, label=name) for thing in things], size, (name,))

    return answer


def _sizes(form: Callable[..., Any]) -> Form:
    return lambda things, _: form(sizes_of(things), SIZES)


FORMS: dict[str, Form] = {
    **{name: _named(form, COIN) for name, form in (*MASKS.items(), *PLACES.items())},
    **{name: _named(form, BOX) for name, form in BOXES.items()},
    **{name: _named(form, OUTLINE) for name, form in OUTLINES.items()},
    **{name: _sizes(form) for name, form in LABELS.items()},
}


def _predict(form: Form) -> Predict:
    def predict(instances: list[Any], parameters: Parameters) -> list[Any]:
        threshold = ClassParameters.of(parameters).threshold

        def one(instance: Any) -> Any:
            grey = np.asarray(image_of(instance, "L"))
            things = [coin for coin in coins_of(grey) if coin.score >= threshold]
            return form(things, (grey.shape[1], grey.shape[0]))

        return each(one, instances)

    return predict


def load(_artifact_uri: str) -> Forms:
    """Make the predict functions; there is no artifact, nothing is trained."""
    return Forms(_predict(FORMS["rle-masks"]), {name: _predict(form) for name, form in FORMS.items()})


if __name__ == "__main__":
    main(load)
