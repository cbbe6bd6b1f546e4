"""``hf-segmentation``: what Hugging Face's ``image-segmentation`` pipeline gives.

Source: ``transformers/pipelines/image_segmentation.py`` (the masks are ``PIL.Image`` of mode L, 0 and 255), which its
inference servers send as base64 PNG::

    [{"label": "cat", "score": 0.99, "mask": "<PNG, base64>"}, ...]

The score is null for semantic segmentation. A pixel of 128 or more is set.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import Fit, class_name, fit_of, parse, unit
from vertex_model_inference.decoders.masks import found_mask, grey, picture
from vertex_model_inference.findings import FoundMask
from vertex_model_inference.rows import DataRow

__all__ = ["HfSegmentation"]


class _Segment(msgspec.Struct):
    label: str | int
    mask: str
    score: float | None = None


_ANSWER = msgspec.json.Decoder(list[_Segment])


class HfSegmentation:
    """Hugging Face segmentation; see the module's docstring for the form."""

    name = "hf-segmentation"

    def __init__(self, class_names: Sequence[str] = ()) -> None:
        self.class_names = tuple(class_names)

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundMask, ...]:
        """Each segment that has pixels, in the model's order.

        Raises:
            DecodeError: See ``Decoder.decode``.
        """
        found = []
        answer = parse(_ANSWER, prediction, self.name, row)
        for index, part in enumerate(answer):
            where = f"[{index}]"
            label = class_name(part.label, self.class_names, self.name, row, f"{where}.label")
            c = None if part.score is None else unit(part.score, self.name, row, f"{where}.score")
            here = grey(picture(part.mask, row, self.name, f"{where}.mask")) >= 0.5
            found.append(found_mask(label, here, c, row, self.name, f"{where}.mask"))
        return tuple([mask for mask in found if mask is not None])

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form."""
        return fit_of(_ANSWER, prediction)
