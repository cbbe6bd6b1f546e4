"""Pages to be read: views of the printed page, the handwriting and two photographs in scikit-image's wheel.

The page is a photograph of real print, slanted and unevenly lit (``skimage.data.page``). Each view is a part of it as a
camera would see it from nearer or farther: small enough that OCR takes about a second. The photographs have no text in
them, so that an honest reader finds nothing there.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from vertex_model_inference.rows import MediaType, Split
from vertex_model_inference.sandbox.datasets.material import Line, ModelPlan, SeedRow, in_seeding_order

__all__ = ["TOOL", "TRANSCRIPTION", "VIEWS", "Documents"]

TOOL = "text line"
TRANSCRIPTION = "transcription"

# Name of the view -> picture of skimage.data, (left, top, right, bottom) in its pixels or None for all of it, zoom.
View = tuple[str, tuple[int, int, int, int] | None, int]
VIEWS: dict[str, View] = {
    "page": ("page", None, 1),
    "page-near": ("page", None, 2),
    "heading": ("page", (0, 5, 384, 44), 2),
    "heading-and-lines": ("page", (0, 5, 384, 102), 2),
    "paragraph": ("page", (0, 44, 384, 140), 2),
    "lines-1-2": ("page", (0, 44, 384, 84), 1),
    "lines-1-2-near": ("page", (0, 44, 384, 84), 2),
    "lines-2-3": ("page", (0, 64, 384, 102), 2),
    "lines-4-5": ("page", (0, 98, 384, 140), 2),
    "left-half": ("page", (0, 0, 200, 145), 2),
    "right-half": ("page", (180, 40, 384, 145), 2),
    "end-and-code": ("page", (0, 116, 384, 191), 2),
    "handwriting": ("text", None, 1),
    "photograph-coffee": ("coffee", None, 1),
    "photograph-astronaut": ("astronaut", None, 1),
}


# What is written on the page: read, and boxed to about 2 pixels, by eye: (left, top, right, bottom, text), in pixels.
# The line at the lower left corner, half outside the picture, is left out.
PAGE_LINES = (
    (6, 13, 292, 34, "Region-based segmentation"),
    (5, 49, 377, 64, "Let us first determine markers of the coins and the"),
    (5, 66, 377, 82, "background. These markers are pixels that we can label"),
    (6, 84, 376, 102, "unambiguously as either object or background. Here,"),
    (5, 100, 377, 119, "the markers are found at the two extreme parts of the"),
    (6, 118, 171, 136, "histogram of grey values:"),
    (18, 169, 240, 189, ">>> markers = np.zeros_like(coins)"),
)


def _png(view: View) -> bytes:
    from skimage import data

    picture, box, zoom = view
    image = Image.fromarray(np.asarray(getattr(data, picture)()))
    if box is not None:
        image = image.crop(box)
    if zoom != 1:
        image = image.resize((image.width * zoom, image.height * zoom), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _lines(view: View) -> tuple[Line, ...]:
    """The lines that are in the view as a whole, in its pixels. None where the view cuts through the lines' words."""
    picture, box, zoom = view
    if picture != "page":
        return ()
    left, top, right, bottom = box or (0, 0, 384, 191)
    if left > 0 or right < 384:
        return ()
    return tuple(
        Line((x0 - left) * zoom, (y0 - top) * zoom, (x1 - x0) * zoom, (y1 - y0) * zoom, text)
        for x0, y0, x1, y1, text in PAGE_LINES
        if y0 >= top and y1 <= bottom
    )


class Documents:
    """Pages as PNG data rows, a rectangle with its transcription, and OCR as a custom container."""

    name = "documents"
    title = f"{len(VIEWS)} views of photographed pages (scikit-image), boxes with transcriptions, OCR"
    media_type = MediaType.IMAGE
    default_rows = None

    def ontology(self) -> dict[str, Any]:
        """A rectangle, ``text line``, with a nested free text, ``transcription``."""
        text = {"type": "text", "name": TRANSCRIPTION, "instructions": TRANSCRIPTION, "required": False, "options": []}
        tool = {"tool": "rectangle", "name": TOOL, "required": False, "color": "#1f77b4", "classifications": [text]}
        return {"tools": [tool], "classifications": []}

    def rows(self) -> list[SeedRow]:
        """All views. Nothing is trained on them, so all are test rows."""
        return in_seeding_order(
            [
                SeedRow(
                    key=f"documents-{name}",
                    split=Split.TEST,
                    data=_png(view),
                    mime_type="image/png",
                    lines=_lines(view),
                )
                for name, view in VIEWS.items()
            ]
        )

    def truth(self, row: SeedRow) -> list[dict[str, Any]]:
        """A box with its transcription for each line that is in the view as a whole."""
        return [
            {
                "name": TOOL,
                "bbox": {"left": line.left, "top": line.top, "width": line.width, "height": line.height},
                "classifications": [{"name": TRANSCRIPTION, "answer": line.text}],
            }
            for line in row.lines
        ]

    def model(self) -> ModelPlan:
        """RapidOCR, as its wheel brings it."""
        from vertex_model_inference.sandbox.containers.ocr import LABEL

        return ModelPlan(
            display_name="documents",
            description="OCR: lines of text with their boxes and transcriptions (RapidOCR).",
            image="sandbox/ocr",
            labels={"dataset": "documents", "task": "image-object-detection"},
            classes=(LABEL,),
        )
