"""``owl-vit-v2``: OWL-ViT v2 of Vertex AI's Model Garden, the TensorFlow container.

Source: the notebook ``model_garden_jax_owl_vit_v2`` of ``GoogleCloudPlatform/vertex-ai-samples``::

    {"predicted_boxes": [[y0, x0, y1, x1], ...], "instance_logits_image": [[logit of each query], ...]}

one entry for each patch of the picture, thousands of them: set a ``threshold``. Coordinates are 0 to 1 of the square
that the picture is padded to at its right and bottom. The class is the query of the largest logit (``class_names``: the
queries, in their order), the confidence its sigmoid. What lies wholly in the padding is no part of the picture and
gives nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import Fit, class_name, clip, fit_of, parse, refuse, size_of
from vertex_model_inference.findings import FoundBox
from vertex_model_inference.rows import DataRow

__all__ = ["OwlVitV2"]


class _Answer(msgspec.Struct):
    predicted_boxes: list[tuple[float, float, float, float]]
    instance_logits_image: list[list[float]]


_ANSWER = msgspec.json.Decoder(_Answer)


class OwlVitV2:
    """OWL-ViT v2; see the module's docstring for the form."""

    name = "owl-vit-v2"

    def __init__(self, class_names: Sequence[str] = ()) -> None:
        self.class_names = tuple(class_names)

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundBox, ...]:
        """Each patch's object in pixels, in the model's order.

        Raises:
            DecodeError: See ``Decoder.decode``; also when the row's size is unknown.
        """
        answer = parse(_ANSWER, prediction, self.name, row)
        boxes, logits = answer.predicted_boxes, answer.instance_logits_image
        if len(boxes) != len(logits):
            refuse(self.name, row, f"it has {len(boxes)} predicted_boxes but {len(logits)} instance_logits_image")
        if not boxes:
            return ()
        width, height = size_of(row, self.name)
        side = max(width, height)
        found = []
        for index, ((y0, x0, y1, x1), queries) in enumerate(zip(boxes, logits, strict=True)):
            where = f"predicted_boxes[{index}]"
            if not queries:
                refuse(self.name, row, f"{where} has no logits")
            if y0 * side >= height or x0 * side >= width or y1 <= 0 or x1 <= 0:
                continue
            best = max(range(len(queries)), key=queries.__getitem__)
            label = class_name(best, self.class_names, self.name, row, f"the query of {where}")
            placed = clip(x0 * side, y0 * side, min(x1 * side, width), min(y1 * side, height), row, self.name, where)
            found.append(FoundBox(label, *placed, _sigmoid(queries[best])))
        return tuple(found)

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form."""
        return fit_of(_ANSWER, prediction)


def _sigmoid(logit: float) -> float:
    """Without overflow at either end."""
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    small = math.exp(logit)
    return small / (1 + small)
