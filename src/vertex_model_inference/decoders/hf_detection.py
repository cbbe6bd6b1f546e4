"""``hf-detection``: what Hugging Face's ``object-detection`` and ``zero-shot-object-detection`` pipelines give.

Source: ``transformers/pipelines/object_detection.py``; Model Garden's OWL-ViT and Grounding DINO containers answer it::

    [{"label": "cat", "score": 0.99, "box": {"xmin": 10, "ymin": 20, "xmax": 110, "ymax": 220}}, ...]

in pixels of the picture, origin top left. Readers (OCR) add ``"text"``. Labels may be numbers of the class names.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import Fit, class_name, clip, fit_of, parse, unit
from vertex_model_inference.findings import FoundBox
from vertex_model_inference.rows import DataRow

__all__ = ["HfDetection"]


class _Corners(msgspec.Struct):
    xmin: float
    ymin: float
    xmax: float
    ymax: float


class _Object(msgspec.Struct):
    label: str | int
    box: _Corners
    score: float | None = None
    text: str | None = None


_ANSWER = msgspec.json.Decoder(list[_Object])


class HfDetection:
    """Hugging Face detection; see the module's docstring for the form."""

    name = "hf-detection"

    def __init__(self, class_names: Sequence[str] = ()) -> None:
        self.class_names = tuple(class_names)

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundBox, ...]:
        """Each object in pixels, in the model's order.

        Raises:
            DecodeError: See ``Decoder.decode``.
        """
        found = []
        things = parse(_ANSWER, prediction, self.name, row)
        for index, thing in enumerate(things):
            where = f"[{index}]"
            label = class_name(thing.label, self.class_names, self.name, row, f"{where}.label")
            box = thing.box
            placed = clip(box.xmin, box.ymin, box.xmax, box.ymax, row, self.name, f"{where}.box")
            c = None if thing.score is None else unit(thing.score, self.name, row, f"{where}.score")
            found.append(FoundBox(label, *placed, c, thing.text))
        return tuple(found)

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form."""
        return fit_of(_ANSWER, prediction)
