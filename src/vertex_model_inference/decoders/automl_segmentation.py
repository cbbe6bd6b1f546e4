"""``automl-segmentation``: AutoML image segmentation.

Source: ``ImageSegmentationPredictionResult`` in
``google/cloud/aiplatform/v1/schema/predict/prediction/image_segmentation.proto``::

    {"categoryMask": "<PNG, base64>", "confidenceMask": "<8-bit PNG, base64>"}

A pixel of the category mask is its category, 0 (black) the background; a pixel of the confidence mask is the model's
confidence there. What the values mean stands in the model's metadata, so set ``class_names``: by value
(``["background", "road", "car"]``), or by colour where the mask is coloured (``["road=#804080", "car=#00008e"]``).
Each category gives one mask; its confidence is the mean over its pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vertex_model_inference.decoders.base import Fit, class_name, fit_of, parse, refuse
from vertex_model_inference.decoders.masks import found_mask, grey, picture
from vertex_model_inference.findings import FoundMask
from vertex_model_inference.rows import DataRow

__all__ = ["AutomlSegmentation"]


class _Answer(msgspec.Struct, rename="camel"):
    category_mask: str
    confidence_mask: str | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


class AutomlSegmentation:
    """AutoML segmentation; see the module's docstring for the form and the class names."""

    name = "automl-segmentation"

    def __init__(self, class_names: Sequence[str] = ()) -> None:
        self._colours: dict[int, str] = {}
        names = []
        for entry in class_names:
            label, equals, colour = entry.rpartition("=#")
            if equals and len(colour) == 6 and all(digit in "0123456789abcdefABCDEF" for digit in colour):
                self._colours[int(colour, 16)] = label
            else:
                names.append(entry)
        self.class_names = tuple(names)

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundMask, ...]:
        """One mask for each category that has pixels, in the order of their values.

        Raises:
            DecodeError: See ``Decoder.decode``; also for unknown colours, and masks of two sizes.
        """
        answer = parse(_ANSWER, prediction, self.name, row)
        image = picture(answer.category_mask, row, self.name, "categoryMask")
        sure = None
        if answer.confidence_mask is not None:
            sure = grey(picture(answer.confidence_mask, row, self.name, "confidenceMask"))
        pixels = self._values(image, row)
        if sure is not None and sure.shape != pixels.shape:
            refuse(self.name, row, f"categoryMask is of {pixels.shape}, confidenceMask of {sure.shape} (height, width)")
        found = []
        for value in np.unique(pixels).tolist():
            if value == 0:
                continue
            here = pixels == value
            confidence = None if sure is None else min(float(sure[here].mean()), 1.0)
            found.append(found_mask(self._label(value, row), here, confidence, row, self.name, "categoryMask"))
        return tuple([mask for mask in found if mask is not None])

    def _values(self, image: Image.Image, row: DataRow) -> NDArray[np.int64]:
        """Of each pixel, its category or its colour as 0xRRGGBB."""
        if self._colours:
            rgb = np.asarray(image.convert("RGB"), dtype=np.int64)
            coloured: NDArray[np.int64] = (rgb[..., 0] << 16) | (rgb[..., 1] << 8) | rgb[..., 2]
            return coloured
        if image.mode not in {"1", "L", "P", "I", "I;16"}:
            hint = 'Set class_names with the colours of the model\'s metadata, as in ["road=#804080"].'
            refuse(self.name, row, "categoryMask is coloured, and what its colours mean is not known", hint)
        return np.asarray(image, dtype=np.int64)

    def _label(self, value: int, row: DataRow) -> str:
        if not self._colours:
            return class_name(value, self.class_names, self.name, row, "a pixel of categoryMask")
        if value not in self._colours:
            hint = "Set class_names of the model in vmi.toml to all its categories with their colours."
            refuse(self.name, row, f"categoryMask has the colour #{value:06x}, which class_names does not name", hint)
        return self._colours[value]

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form."""
        return fit_of(_ANSWER, prediction)
