"""The layout of PDFs' pages: ``python -m ...containers.pages``. RapidLayout on pages that PDFium draws.

Instances ``{"content": uri or base64, "mimeType": "application/pdf"}`` or ``{"document": {"b64": ...}}``. Each
prediction tells what is on each page, in pixels of the page as it was drawn, and quotes the words of the titles::

    {"pages": [{"page": 1, "width": 1224, "height": 1584,
                "detections": [{"label": "title", "score": 0.9, "box": [left, top, right, bottom]}, ...],
                "entities": [{"label": "heading", "text": "Iris plants dataset", "score": 0.9}]}]}

Parameter ``confidenceThreshold`` (0..1) drops blocks that were found with less.
"""

from __future__ import annotations

import queue
import threading
from typing import Any

import numpy as np

from vertex_model_inference.sandbox.containers.classes import ClassParameters
from vertex_model_inference.sandbox.containers.gcs import bytes_of
from vertex_model_inference.sandbox.containers.layout import engine_of, things_of
from vertex_model_inference.sandbox.containers.serve import InstanceError, Parameters, Predict, each, main

__all__ = ["MAX_PAGES", "SCALE", "WORKERS", "load"]

SCALE = 2.0
"""Pixels a point: 144 dots an inch, at which the model was found to see titles well."""
MAX_PAGES = 100
MAX_PIXELS = 40_000_000  # of a page as it is drawn
WORKERS = 2
_PDFIUM = threading.Lock()  # PDFium is not safe in several threads


def _document(instance: Any) -> bytes:
    if not isinstance(instance, dict):
        raise InstanceError(f'An instance must be an object with "content", not {type(instance).__name__}.')
    field = next((name for name in ("content", "document") if name in instance), None)
    if field is None:
        raise InstanceError('The instance has no "content" (a gs:// URI or base64).')
    mime_type = instance.get("mimeType", "application/pdf")
    if mime_type != "application/pdf":
        raise InstanceError(f'"mimeType" is {mime_type!r}; expected application/pdf.')
    return bytes_of(instance[field], field)


def _pages(engine: Any, instance: Any, threshold: float) -> dict[str, Any]:
    import pypdfium2

    data = _document(instance)
    pages = []
    with _PDFIUM:
        try:
            document = pypdfium2.PdfDocument(data)
        except pypdfium2.PdfiumError as error:
            raise InstanceError(f"The {len(data)} bytes are not a PDF that can be opened: {error}.") from None
    try:
        if len(document) > MAX_PAGES:
            raise InstanceError(f"The document has {len(document)} pages; at most {MAX_PAGES} are read.")
        for index in range(len(document)):
            with _PDFIUM:
                page = document[index]
                width, height = page.get_size()
                if width * height * SCALE**2 > MAX_PIXELS:
                    raise InstanceError(
                        f"Page {index + 1} of {width:.0f}x{height:.0f} points is too large to be drawn."
                    )
                picture = np.asarray(page.render(scale=SCALE).to_pil().convert("RGB"))
            found = [thing for thing in things_of(engine, picture) if thing.score >= threshold]
            with _PDFIUM:
                content = page.get_textpage()
                quoted = [(thing.score, _words(content, thing, height)) for thing in found if thing.label == "title"]
                content.close()
                page.close()
            pages.append(
                {
                    "page": index + 1,
                    "width": picture.shape[1],
                    "height": picture.shape[0],
                    "detections": [
                        {
                            "label": thing.label.replace("_", " "),
                            "score": thing.score,
                            "box": [thing.left, thing.top, thing.right, thing.bottom],
                        }
                        for thing in found
                    ],
                    "entities": [{"label": "heading", "text": text, "score": score} for score, text in quoted if text],
                }
            )
    finally:
        with _PDFIUM:
            document.close()
    return {"pages": pages}


def _words(content: Any, thing: Any, height: float) -> str:
    """The words that stand in a block, as the file holds them."""
    text: str = content.get_text_bounded(
        left=thing.left / SCALE,
        bottom=height - thing.bottom / SCALE,
        right=thing.right / SCALE,
        top=height - thing.top / SCALE,
    )
    return " ".join(text.split())


def load(_artifact_uri: str) -> Predict:
    """Make the engines; the artifact is not used, as the model comes with the package."""
    engines: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for _ in range(WORKERS):  # an engine keeps state while it looks
        engines.put(engine_of())

    def predict(instances: list[Any], parameters: Parameters) -> list[Any]:
        threshold = ClassParameters.of(parameters).threshold
        engine = engines.get()
        try:
            return each(lambda instance: _pages(engine, instance, threshold), instances)
        finally:
            engines.put(engine)

    return predict


if __name__ == "__main__":
    main(load, workers=WORKERS)
