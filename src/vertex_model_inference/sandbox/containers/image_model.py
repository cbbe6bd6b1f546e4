"""An image classifier as a file of numbers: kernel features and a softmax.

The picture is made grey, shrunk to a few pixels, compared with landmark pictures by a Gaussian kernel, and the
(whitened) similarities go into a multinomial logistic regression. That is scikit-learn's ``Nystroem`` and
``LogisticRegression``, applied here with numpy alone, so that loading a model runs no code of the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from vertex_model_inference.sandbox.containers.arrays import Floats, check_shapes, pack, softmax, unpack

__all__ = ["ImageModel"]

FORMAT = "vmi-image-softmax-1"


@dataclass(frozen=True)
class ImageModel:
    """A trained classifier.

    Attributes:
        labels: Names of the classes, k of them.
        size: (width, height) in pixels that pictures are shrunk to; d = width * height.
        levels: The value of white; black is 0.
        gamma: Of the kernel ``exp(-gamma * |x - y|^2)``.
        landmarks: m x d pixel values.
        whitening: m x m, applied to the similarities.
        weights: k x m. ``bias``: k.
    """

    labels: tuple[str, ...]
    size: tuple[int, int]
    levels: float
    gamma: float
    landmarks: Floats
    whitening: Floats
    weights: Floats
    bias: Floats

    def pixels(self, image: Image.Image) -> Floats:
        """The d numbers of one grey (mode ``L``) picture, row by row from the top left."""
        small = image if image.size == self.size else image.resize(self.size, Image.Resampling.BOX)
        values: Floats = np.asarray(small, dtype=np.float64).reshape(-1) * (self.levels / 255.0)
        return values

    def probabilities(self, pixels: Floats) -> Floats:
        """n x k from n x d; each row sums to 1."""
        squares = (
            (pixels**2).sum(axis=1)[:, None] - 2 * pixels @ self.landmarks.T + (self.landmarks**2).sum(axis=1)[None, :]
        )
        kernel = np.exp(-self.gamma * np.maximum(squares, 0))
        return softmax(kernel @ self.whitening.T @ self.weights.T + self.bias)

    def to_bytes(self) -> bytes:
        """As an ``.npz`` file without pickled objects; the same model gives the same bytes."""
        return pack(
            FORMAT,
            {
                "labels": np.array(self.labels),
                "size": np.array(self.size),
                "levels": np.array(self.levels),
                "gamma": np.array(self.gamma),
                "landmarks": self.landmarks,
                "whitening": self.whitening,
                "weights": self.weights,
                "bias": self.bias,
            },
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> ImageModel:
        """Read what ``to_bytes`` wrote.

        Raises:
            ValueError: Not such a file, or its numbers do not fit together.
        """
        file: dict[str, Any] = unpack(FORMAT, data, "an image model")
        width, height = (int(side) for side in file["size"])
        model = cls(
            labels=tuple(str(label) for label in file["labels"]),
            size=(width, height),
            levels=float(file["levels"]),
            gamma=float(file["gamma"]),
            landmarks=file["landmarks"],
            whitening=file["whitening"],
            weights=file["weights"],
            bias=file["bias"],
        )
        m, k = len(model.landmarks), len(model.labels)
        shapes = (model.landmarks.shape, model.whitening.shape, model.weights.shape, model.bias.shape)
        check_shapes("the image model", shapes, ((m, width * height), (m, m), (k, m), (k,)))
        return model
