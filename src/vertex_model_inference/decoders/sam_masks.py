"""``sam-masks``: Segment Anything of Vertex AI's Model Garden, masks as arrays.

Source: the notebook ``model_garden_pytorch_sam`` of ``GoogleCloudPlatform/vertex-ai-samples``::

    {"masks": [[[false, true, ...], ...], ...]}

each of height x width; 0 and 1 are read as well. Containers that know more add ``scores`` and ``labels``, one a mask.
Segment Anything has no classes: without labels all masks are of the first class name, else of ``"object"``.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from vertex_model_inference.decoders.base import Fit, class_name, fit_of, parse, refuse, unit
from vertex_model_inference.decoders.masks import found_mask
from vertex_model_inference.findings import FoundMask
from vertex_model_inference.rows import DataRow

__all__ = ["SamMasks"]


class _Answer(msgspec.Struct):
    masks: list[list[list[bool | int]]]
    scores: list[float] | None = None
    labels: list[str | int] | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


class SamMasks:
    """Masks as arrays; see the module's docstring for the form."""

    name = "sam-masks"

    def __init__(self, class_names: Sequence[str] = ()) -> None:
        self.class_names = tuple(class_names)

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundMask, ...]:
        """Each mask that has pixels, in the model's order.

        Raises:
            DecodeError: See ``Decoder.decode``.
        """
        answer = parse(_ANSWER, prediction, self.name, row)
        for what, values in (("scores", answer.scores), ("labels", answer.labels)):
            if values is not None and len(values) != len(answer.masks):
                refuse(self.name, row, f"it has {len(answer.masks)} masks but {len(values)} {what}")
        found = []
        for index, lines in enumerate(answer.masks):
            where = f"masks[{index}]"
            if not lines or any(len(line) != len(lines[0]) for line in lines):
                refuse(self.name, row, f"{where} is not a rectangle of pixels")
            if any(pixel not in (0, 1) for line in lines for pixel in line):
                refuse(self.name, row, f"{where} has a pixel that is neither true nor false")
            label = self.class_names[0] if self.class_names else "object"
            if answer.labels is not None:
                label = class_name(answer.labels[index], self.class_names, self.name, row, f"labels[{index}]")
            c = None if answer.scores is None else unit(answer.scores[index], self.name, row, f"scores[{index}]")
            found.append(found_mask(label, np.array(lines, dtype=np.bool_), c, row, self.name, where))
        return tuple([mask for mask in found if mask is not None])

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form."""
        return fit_of(_ANSWER, prediction)
