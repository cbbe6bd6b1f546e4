"""``automl-detection``: AutoML image object detection.

Source: ``ImageObjectDetectionPredictionResult`` in
``google/cloud/aiplatform/v1/schema/predict/prediction/image_object_detection.proto``::

    {"ids": ["1"], "displayNames": ["cat"], "confidences": [0.9], "bboxes": [[xMin, xMax, yMin, yMax]]}

Coordinates are relative to the picture, 0 to 1, origin top left; note the order x, x, y, y. Google's documentation
warns that a coordinate of zero may be left out where a box is an object (``{"xMax": 0.5, "yMax": 0.5}``); both forms
are read.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import Fit, clip, fit_of, parse, refuse, size_of, unit
from vertex_model_inference.findings import FoundBox
from vertex_model_inference.rows import DataRow

__all__ = ["AutomlDetection"]


class _Corners(msgspec.Struct, rename={"x_min": "xMin", "x_max": "xMax", "y_min": "yMin", "y_max": "yMax"}):
    x_min: float = 0.0
    x_max: float = 0.0
    y_min: float = 0.0
    y_max: float = 0.0


class _Answer(msgspec.Struct, rename="camel"):
    display_names: list[str] = []
    confidences: list[float] = []
    bboxes: list[tuple[float, float, float, float] | _Corners] = []


class _Form(_Answer, rename="camel"):
    display_names: list[str]
    confidences: list[float]
    bboxes: list[tuple[float, float, float, float] | _Corners]


_ANSWER = msgspec.json.Decoder(_Answer)
_FORM = msgspec.json.Decoder(_Form)


class AutomlDetection:
    """AutoML object detection; see the module's docstring for the form."""

    name = "automl-detection"

    def __init__(self, class_names: Sequence[str] = ()) -> None:
        self.class_names = tuple(class_names)  # AutoML answers names; kept for the common constructor

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundBox, ...]:
        """Each object in pixels of the row's size, in the model's order.

        Raises:
            DecodeError: See ``Decoder.decode``; also when the row's size is unknown.
        """
        answer = parse(_ANSWER, prediction, self.name, row)
        labels, confidences, boxes = answer.display_names, answer.confidences, answer.bboxes
        if not (len(labels) == len(confidences) == len(boxes)):
            lengths = f"{len(labels)} displayNames, {len(confidences)} confidences and {len(boxes)} bboxes"
            refuse(self.name, row, f"it has {lengths}, which must be as many")
        if not boxes:
            return ()
        width, height = size_of(row, self.name)
        found = []
        for label, c, box in zip(labels, confidences, boxes, strict=True):
            if type(box) is _Corners:
                x0, x1, y0, y1 = box.x_min, box.x_max, box.y_min, box.y_max
            else:
                x0, x1, y0, y1 = box  # type: ignore[misc]  # mypy does not narrow a union by exact type
            if 0.0 <= c <= 1.0 and 0.0 <= x0 <= x1 <= 1.0 and 0.0 <= y0 <= y1 <= 1.0:
                found.append(FoundBox(label, x0 * width, y0 * height, (x1 - x0) * width, (y1 - y0) * height, c))
            else:
                where = f"bboxes[{len(found)}] ({label!r})"
                c = unit(c, self.name, row, f"confidence of {where}")
                corners = (x0 * width, y0 * height, x1 * width, y1 * height)
                found.append(FoundBox(label, *clip(*corners, row, self.name, where), c))
        return tuple(found)

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form."""
        return fit_of(_FORM, prediction)
