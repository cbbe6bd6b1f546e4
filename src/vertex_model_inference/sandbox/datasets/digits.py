"""1,797 handwritten digits, as pictures: scikit-learn's ``load_digits`` (BSD-3; UCI's test set of optical digits)."""

from __future__ import annotations

import io
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vertex_model_inference.rows import MediaType
from vertex_model_inference.sandbox.datasets.material import (
    ModelPlan,
    SeedRow,
    automl,
    in_seeding_order,
    stratified_splits,
)
from vertex_model_inference.sandbox.datasets.training import measured, train_images

__all__ = ["Digits", "png_of"]

LEVELS = 16.0  # the data's own grey levels: 0 (paper) to 16 (ink)
SCALE = 8  # each of the 8x8 pixels becomes 8x8, so that people can see the digit


def png_of(pixels: npt.NDArray[np.float64]) -> bytes:
    """One digit as a grey 64x64 PNG, nearest neighbour: nothing is invented, and shrinking it gives the data back."""
    grey = np.rint(pixels.reshape(8, 8) * (255.0 / LEVELS)).astype(np.uint8)
    image = Image.fromarray(np.kron(grey, np.ones((SCALE, SCALE), dtype=np.uint8)))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


class Digits:
    """Digits as PNG data rows with a radio, and an AutoML-style image classification model."""

    name = "digits"
    title = "1,797 handwritten digits (scikit-learn, BSD-3), a radio, an AutoML-style image classifier"
    media_type = MediaType.IMAGE
    default_rows = None

    @cached_property
    def _data(self) -> tuple[npt.NDArray[np.float64], list[str], list[str]]:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        keys = [f"digits-{i:04d}" for i in range(len(bunch.target))]
        return bunch.data, [str(digit) for digit in bunch.target], keys

    def ontology(self) -> dict[str, Any]:
        """One required radio, ``digit``, of ten options."""
        options = [{"label": str(digit), "value": str(digit), "position": digit} for digit in range(10)]
        radio = {"type": "radio", "name": "digit", "instructions": "digit", "required": True, "scope": "global"}
        return {"tools": [], "classifications": [{**radio, "options": options}]}

    def rows(self) -> list[SeedRow]:
        """All digits."""
        pixels, answers, keys = self._data
        splits = stratified_splits(keys, answers)
        return in_seeding_order(
            [
                SeedRow(key=key, split=splits[key], data=png_of(digit), mime_type="image/png", answer=answer)
                for key, digit, answer in zip(keys, pixels, answers, strict=True)
            ]
        )

    def truth(self, row: SeedRow) -> list[dict[str, Any]]:
        """The radio's answer."""
        return [{"name": "digit", "answer": {"name": row.answer}}]

    def model(self) -> ModelPlan:
        """Trained on the training split of all digits, however many of them are seeded."""
        pixels, answers, keys = self._data
        by_key = stratified_splits(keys, answers)
        splits = [by_key[key] for key in keys]
        # Measured by the numbers that are served, not by the estimator they come from.
        model = train_images(pixels, answers, splits, size=(8, 8), levels=LEVELS)
        figures = measured(model.probabilities(pixels), model.labels, answers, splits)
        plan = ModelPlan(
            display_name="digits",
            description=(
                f"Handwritten digits, trained on {figures['training_rows']:.0f} pictures; accuracy "
                f"{figures['test_accuracy']:.3f} on the {figures['test_rows']:.0f} of the test split."
            ),
            image="sandbox/automl-image-classification",
            artifact=model.to_bytes(),
            labels={"dataset": "digits"},
            measured=figures,
        )
        return automl(plan, "image_classification", "classification")
