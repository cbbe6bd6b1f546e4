"""Coins to be found: views of the photograph of 24 Greek coins from Pompeii in scikit-image's wheel (public domain).

Each view is the photograph, or one of its four rows of coins, turned or enlarged. Two photographs have no coin in them,
so that an honest model finds nothing there.
"""

from __future__ import annotations

import base64
import io
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vertex_model_inference.rows import MediaType, Split
from vertex_model_inference.sandbox.datasets.material import ModelPlan, SeedRow, automl, in_family, in_seeding_order

__all__ = ["COINS", "VIEWS", "Coins"]

# Tools and options that the model's classes are called by (containers/coins.py).
TOOLS = {
    "coin": "raster-segmentation",
    "coin box": "rectangle",
    "coin outline": "polygon",
    "coin centre": "point",
    "coin top": "point",
}
SIZES = ("small", "medium", "large")
SEGMENTATION, DETECTION, CLASSIFICATION = "automl-segmentation", "automl-detection", "automl-classification"

# (left, top, right, bottom) of each coin in pixels of the photograph, read by eye from an enlargement to about 1 pixel.
COINS = (
    (22.5, 35, 67, 74),
    (80.5, 38.5, 120, 74),
    (132, 28, 179, 73.5),
    (191.5, 29.5, 240, 73),
    (255, 33.5, 296.5, 72),
    (304.5, 15.5, 364.5, 72),
    (25, 104, 67, 145),
    (84, 107, 122, 145),
    (133.5, 109.5, 173, 145),
    (185.5, 104.5, 226, 144.5),
    (245, 95, 296.5, 144),
    (317, 105, 356, 144.5),
    (25.5, 177, 62.5, 217),
    (80, 175, 124, 217),
    (135, 179, 174, 217),
    (188.5, 170, 236.5, 217),
    (251, 172, 297, 216.5),
    (315, 156, 379.5, 218),
    (18, 233, 74.5, 288),
    (92.5, 244, 136, 287.5),
    (143.5, 236, 201, 287.5),
    (219.5, 240, 269, 288),
    (275.5, 238.5, 326.5, 288),
    (335, 247.5, 380.5, 289),
)

# Name -> picture of skimage.data, its lines from and to (None: all), zoom, quarter turns to the left.
View = tuple[str, tuple[int, int] | None, int, int]
VIEWS: dict[str, View] = {
    "all": ("coins", None, 1, 0),
    "all-turned": ("coins", None, 1, 1),
    "all-upside-down": ("coins", None, 1, 2),
    "all-near": ("coins", None, 2, 0),
    "row-1": ("coins", (8, 80), 1, 0),
    "row-2": ("coins", (88, 150), 1, 0),
    "row-3": ("coins", (150, 225), 1, 0),
    "row-4": ("coins", (226, 296), 1, 0),
    "row-1-near": ("coins", (8, 80), 2, 0),
    "row-2-near": ("coins", (88, 150), 2, 0),
    "row-3-near": ("coins", (150, 225), 2, 0),
    "row-4-turned": ("coins", (226, 296), 1, 3),
    "photograph-coffee": ("coffee", None, 1, 0),
    "photograph-cat": ("chelsea", None, 1, 0),
}


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def _seen(pixels: npt.NDArray[np.uint8], view: View, resample: Image.Resampling) -> npt.NDArray[np.uint8]:
    """The part of a picture that a view shows, as it shows it."""
    _, lines, zoom, turns = view
    part = pixels if lines is None else pixels[lines[0] : lines[1]]
    image = Image.fromarray(part)
    if zoom != 1:
        image = image.resize((image.width * zoom, image.height * zoom), resample)
    return np.rot90(np.asarray(image), turns)


def _ellipse(
    box: tuple[float, float, float, float], height: int, width: int, turns_of: View
) -> npt.NDArray[np.uint8] | None:
    """A coin as the ellipse in its box, 1 on its pixels, in the view; None where the view cuts it or lacks it."""
    left, top, right, bottom = box
    lines = turns_of[1]
    if lines is not None and not (lines[0] <= top and bottom <= lines[1]):
        return None
    rows, columns = np.ogrid[:height, :width]
    across = (columns + 0.5 - (left + right) / 2) / ((right - left) / 2)
    down = (rows + 0.5 - (top + bottom) / 2) / ((bottom - top) / 2)
    return _seen((across**2 + down**2 <= 1).astype(np.uint8), turns_of, Image.Resampling.NEAREST)


class Coins:
    """Coins as PNG data rows with masks, and a watershed as a custom container."""

    name = "coins"
    title = f"{len(VIEWS)} views of photographed coins (scikit-image), masks, a watershed"
    media_type = MediaType.IMAGE
    default_rows = None

    @cached_property
    def _truth(self) -> dict[str, list[dict[str, Any]]]:
        from skimage import data

        height, width = data.coins().shape
        truth: dict[str, list[dict[str, Any]]] = {}
        for name, view in VIEWS.items():
            masks = [_ellipse(box, height, width, view) for box in COINS] if view[0] == "coins" else []
            truth[f"coins-{name}"] = [
                {"name": "coin", "mask": {"png": base64.b64encode(_png(mask)).decode()}}
                for mask in masks
                if mask is not None
            ]
        return truth

    def ontology(self) -> dict[str, Any]:
        """A mask tool, ``coin``, and what the model gives in other families' forms: box, outline, points, a checklist.

        All of them can be wanted of the same coin, so that each of the model's families finds its tool.
        """
        tools = [
            {"tool": kind, "name": name, "required": False, "color": "#2ca02c", "classifications": []}
            for name, kind in TOOLS.items()
        ]
        options = [{"label": size, "value": size, "position": place} for place, size in enumerate(SIZES)]
        sizes = {"type": "checklist", "name": "sizes", "instructions": "sizes", "required": False, "scope": "global"}
        return {"tools": tools, "classifications": [{**sizes, "options": options}]}

    def rows(self) -> list[SeedRow]:
        """All views. Nothing is trained on them, so all are test rows."""
        from skimage import data as photographs

        rows = []
        for name, view in VIEWS.items():
            pixels = _seen(np.asarray(getattr(photographs, view[0])()), view, Image.Resampling.BICUBIC)
            data = _png(np.ascontiguousarray(pixels))
            rows.append(SeedRow(key=f"coins-{name}", split=Split.TEST, data=data, mime_type="image/png"))
        return in_seeding_order(rows)

    def truth(self, row: SeedRow) -> list[dict[str, Any]]:
        """A mask for each coin that is in the view as a whole: an ellipse, as a labeller would draw it."""
        return self._truth[row.key]

    def model(self) -> ModelPlan:
        """The watershed, answering COCO's run lengths."""
        return ModelPlan(
            display_name="coins",
            description="Coins as instance masks: thresholds and a watershed (scikit-image).",
            image="sandbox/coins",
            labels={"dataset": "coins", "task": "image-segmentation"},
        )

    def families(self) -> list[ModelPlan]:
        """As every family of masks, boxes, outlines, points and (of the coins' sizes) several classes at once."""
        from vertex_model_inference.sandbox.containers.coins import FORMS

        plan = self.model()
        kinds = {
            SEGMENTATION: ("image_segmentation", None),
            DETECTION: ("image_object_detection", None),
            CLASSIFICATION: ("image_classification", "classification"),
        }
        plans = []
        for form in FORMS:
            made = in_family(plan, form)
            plans.append(automl(made, *kinds[form]) if form in kinds else made)
        return plans
