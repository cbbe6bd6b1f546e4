"""``boxes-arrays``: parallel arrays of boxes, scores and classes, as torchvision, TensorFlow and YOLO exports give.

Sources: torchvision's detection models (``boxes``, ``labels``, ``scores``; xyxy pixels), TensorFlow's Object Detection
API (``detection_boxes``, ``detection_scores``, ``detection_classes``, ``num_detections``; yxyx relative), YOLO exports
(``boxes``, ``scores``, ``classes``; xyxy, xywh or cxcywh)::

    {"boxes": [[10, 20, 110, 220]], "scores": [0.9], "labels": [3]}

The numbers alone do not tell xyxy from xywh, so the layout is part of the decoder's name and never guessed:
``boxes-arrays:xyxy``, ``:xywh``, ``:cxcywh`` or ``:yxyx``, each in pixels unless ``:relative`` (0..1) is added, as in
``boxes-arrays:cxcywh:relative``. Only ``detection_boxes`` needs none: its layout is TensorFlow's own.

Numbers in labels are indexes into the class names from 0; torchvision and TensorFlow count the background as class 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import Fit, class_name, clip, fit_of, parse, refuse, size_of, unit
from vertex_model_inference.errors import UnknownOutputError
from vertex_model_inference.findings import FoundBox
from vertex_model_inference.rows import DataRow

__all__ = ["LAYOUTS", "BoxesArrays"]

LAYOUTS = ("xyxy", "xywh", "cxcywh", "yxyx")
"""Orders of the four numbers: corners, left-top-size, centre-size, and corners with y first."""

_Four = tuple[float, float, float, float]


class _Answer(msgspec.Struct):
    boxes: list[_Four] | None = None
    scores: list[float] | None = None
    labels: list[str | float] | None = None
    classes: list[str | float] | None = None
    detection_boxes: list[_Four] | None = None
    detection_scores: list[float] | None = None
    detection_classes: list[str | float] | None = None
    num_detections: float | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


class BoxesArrays:
    """Parallel arrays; see the module's docstring for the forms.

    Args:
        class_names: What the numbers in labels stand for.
        layout: ``xyxy``, ``xywh``, ``cxcywh`` or ``yxyx``, with ``:relative`` or ``:pixels``;
            empty: only answers that imply theirs.

    Raises:
        UnknownOutputError: The layout is not one of these.
    """

    def __init__(self, class_names: Sequence[str] = (), layout: str = "") -> None:
        order, _, frame = layout.partition(":")
        if (order and order not in LAYOUTS) or frame not in {"", "relative", "pixels"}:
            raise UnknownOutputError(
                f"boxes-arrays has no layout {layout!r}.",
                hint=f"Use one of {', '.join(LAYOUTS)}, with ':relative' for coordinates from 0 to 1.",
            )
        self.class_names = tuple(class_names)
        self.name = f"boxes-arrays:{layout}" if layout else "boxes-arrays"
        self._order = order
        self._relative = frame == "relative"

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundBox, ...]:
        """Each object in pixels, in the model's order.

        Raises:
            DecodeError: See ``Decoder.decode``; also when no layout is set and the answer does not imply it.
        """
        answer = parse(_ANSWER, prediction, self.name, row)
        order, relative = self._order, self._relative
        if answer.detection_boxes is not None:
            boxes, scores, classes = answer.detection_boxes, answer.detection_scores, answer.detection_classes
            if not order:
                order, relative = "yxyx", True
        elif answer.boxes is not None:
            boxes, scores = answer.boxes, answer.scores
            classes = answer.labels if answer.labels is not None else answer.classes
        else:
            refuse(self.name, row, "it has neither boxes nor detection_boxes")
        if not order:
            hint = 'Set decoder = "boxes-arrays:xyxy" (or xywh, cxcywh, yxyx; plus ":relative" for 0..1) in vmi.toml.'
            refuse(self.name, row, "nothing says in which order its boxes' four numbers are", hint)
        count = len(boxes)
        if classes is None or len(classes) != count:
            what = "no labels" if classes is None else f"{len(classes)} labels"
            refuse(self.name, row, f"it has {count} boxes but {what}")
        if scores is not None and len(scores) != count:
            refuse(self.name, row, f"it has {count} boxes but {len(scores)} scores")
        if answer.num_detections is not None:  # TensorFlow pads its arrays to a fixed length
            if not 0 <= answer.num_detections <= count:
                refuse(self.name, row, f"num_detections is {answer.num_detections:g}, but there are {count} boxes")
            count = int(answer.num_detections)
        scale_x, scale_y = size_of(row, self.name) if relative and count else (1, 1)
        found = []
        for index in range(count):
            where = f"boxes[{index}]"
            left, top, right, bottom = self._corners(order, boxes[index], row, where)
            placed = clip(left * scale_x, top * scale_y, right * scale_x, bottom * scale_y, row, self.name, where)
            label = class_name(classes[index], self.class_names, self.name, row, f"labels[{index}]")
            c = None if scores is None else unit(scores[index], self.name, row, f"scores[{index}]")
            found.append(FoundBox(label, *placed, c))
        return tuple(found)

    def _corners(self, order: str, box: _Four, row: DataRow, where: str) -> _Four:
        a, b, c, d = box
        if order == "yxyx":
            return b, a, d, c
        if order == "xyxy":
            return a, b, c, d
        if c < 0 or d < 0:
            refuse(self.name, row, f"{where} has the negative size {c:g} x {d:g}")
        if order == "xywh":
            return a, b, a + c, b + d
        return a - c / 2, b - d / 2, a + c / 2, b + d / 2

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form; its layout is another matter."""
        fit = fit_of(_ANSWER, prediction)
        if not fit.form:
            return fit
        answer = _ANSWER.decode(prediction)
        form = answer.detection_boxes is not None or answer.boxes is not None
        return Fit(form=form, content=form)

    @staticmethod
    def implies_layout(prediction: bytes) -> bool:
        """Whether an answer of this form names its layout by its keys (TensorFlow's do)."""
        return _ANSWER.decode(prediction).detection_boxes is not None
