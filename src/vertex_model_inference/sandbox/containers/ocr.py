"""OCR as a custom container: ``python -m ...containers.ocr``. RapidOCR, whose models are inside its wheel.

Instances ``{"image": {"b64": ...}}`` or ``{"content": "gs://...", "mimeType"}``. Each prediction is the list of the
lines found, as Hugging Face's object detection pipelines answer, with the text beside::

    {"label": "text line", "score": 0.97, "box": {"xmin", "ymin", "xmax", "ymax"}, "text": "..."}

Boxes are pixels of the picture, origin top left; a slanted line gets the upright box around it. Parameter
``confidenceThreshold`` (0..1) drops lines that were read with less; RapidOCR itself drops those below 0.5.
"""

from __future__ import annotations

import queue
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from vertex_model_inference.sandbox.containers.classes import ClassParameters
from vertex_model_inference.sandbox.containers.images import image_of
from vertex_model_inference.sandbox.containers.serve import Parameters, Predict, each, main

__all__ = ["LABEL", "WORKERS", "load"]

LABEL = "text line"
WORKERS = 2


def _lines(engine: Any, instance: Any, threshold: float) -> list[dict[str, Any]]:
    rgb = np.asarray(image_of(instance, "RGB"))
    height, width = rgb.shape[:2]
    found, _ = engine(rgb[:, :, ::-1])  # RapidOCR reads OpenCV's order, blue first
    lines = []
    for quad, text, score in found or []:
        xs, ys = [point[0] for point in quad], [point[1] for point in quad]
        if float(score) < threshold:
            continue
        box = {
            "xmin": float(np.clip(min(xs), 0, width)),
            "ymin": float(np.clip(min(ys), 0, height)),
            "xmax": float(np.clip(max(xs), 0, width)),
            "ymax": float(np.clip(max(ys), 0, height)),
        }
        lines.append({"label": LABEL, "score": float(score), "box": box, "text": str(text)})
    return lines


def load(_artifact_uri: str) -> Predict:
    """Make the engines; the artifact is not used, as the models come with the package."""
    from rapidocr_onnxruntime import RapidOCR

    # An engine keeps state while it reads, so each reader has one of its own. One thread inside each: two fill two
    # cores better than one engine on both, also when Vertex sends all pictures in a single request.
    readers = ThreadPoolExecutor(WORKERS, thread_name_prefix="read")
    engines: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for _ in range(WORKERS):
        engines.put(RapidOCR(intra_op_num_threads=1))

    def predict(instances: list[Any], parameters: Parameters) -> list[Any]:
        threshold = ClassParameters.of(parameters).threshold

        def read(instance: Any) -> Any:
            engine = engines.get()
            try:
                (lines,) = each(lambda one: _lines(engine, one, threshold), [instance])
                return lines
            finally:
                engines.put(engine)

        return list(readers.map(read, instances))

    return predict


if __name__ == "__main__":
    main(load, workers=WORKERS)
