"""Typesetting real PDFs: text as text, pictures as pictures, by PDFium. Lengths are points (1/72 inch)."""

from __future__ import annotations

import ctypes
import io
import threading
import uuid
from collections.abc import Sequence
from typing import Any

from PIL import Image

__all__ = ["HEIGHT", "MARGIN", "WIDTH", "Page", "Pdf", "text_layer"]

WIDTH, HEIGHT = 612.0, 792.0  # US letter
MARGIN = 61.0
_PDFIUM = threading.Lock()
"""PDFium is not safe in several threads."""

_TOKENS = uuid.UUID("5b0f6a0e-7a51-5d9c-8f27-0f3d2c1b4a59")
"""Namespace of token ids: the same document has the same text layer wherever it is made."""


class Pdf:
    """A document being made; ``data`` ends it."""

    def __init__(self) -> None:
        import pypdfium2

        self.pdfium: Any = pypdfium2
        with _PDFIUM:
            self.document = pypdfium2.PdfDocument.new()
            self._fonts: dict[str, Any] = {}

    def page(self) -> Page:
        """A new, empty page at the end."""
        with _PDFIUM:
            return Page(self, self.document.new_page(WIDTH, HEIGHT))

    def font(self, name: str) -> Any:
        """One of the fonts that every reader of PDFs has, e.g. ``Helvetica``."""
        if name not in self._fonts:
            self._fonts[name] = self.pdfium.raw.FPDFText_LoadStandardFont(self.document, name.encode())
        return self._fonts[name]

    def data(self) -> bytes:
        """The file."""
        buffer = io.BytesIO()
        with _PDFIUM:
            self.document.save(buffer)
            self.document.close()
        return buffer.getvalue()


class Page:
    """A page being written from its top."""

    def __init__(self, pdf: Pdf, page: Any) -> None:
        self._pdf = pdf
        self._page = page
        self._raw = pdf.pdfium.raw

    def _text(self, text: str, font: str, size: float) -> Any:
        thing = self._raw.FPDFPageObj_CreateTextObj(self._pdf.document, self._pdf.font(font), ctypes.c_float(size))
        encoded = (text + "\0").encode("utf-16-le")
        buffer = ctypes.create_string_buffer(encoded, len(encoded))
        self._raw.FPDFText_SetText(thing, ctypes.cast(buffer, self._raw.FPDF_WIDESTRING))
        return thing

    def _bounds(self, thing: Any) -> tuple[float, float, float, float]:
        edges = [ctypes.c_float() for _ in range(4)]
        self._raw.FPDFPageObj_GetBounds(thing, *edges)
        left, bottom, right, top = (edge.value for edge in edges)
        return left, bottom, right, top

    def paragraph(
        self, text: str, top: float, *, font: str = "Times-Roman", size: float = 10.5, centred: bool = False
    ) -> tuple[float, float, float, float]:
        """Lines of text between the margins.

        Args:
            text: Latin letters.
            top: Of the first line, from the page's top.
            font: A standard font.
            size: Of the letters.
            centred: In the middle of the page, as titles and captions are.

        Returns:
            Left, top, right and bottom edge of what was printed, from the page's top left.
        """
        with _PDFIUM:
            lines = self._wrapped(text, font, size)
            printed = []
            baseline = HEIGHT - top - size
            for line in lines:
                thing = self._text(line, font, size)
                left, _, right, _ = self._bounds(thing)
                x = (WIDTH - (right - left)) / 2 if centred else MARGIN
                self._raw.FPDFPageObj_Transform(thing, 1, 0, 0, 1, x, baseline)
                self._raw.FPDFPage_InsertObject(self._page, thing)
                printed.append(self._bounds(thing))
                baseline -= size * 1.25
            edges = list(zip(*printed, strict=True))
            return min(edges[0]), HEIGHT - max(edges[3]), max(edges[2]), HEIGHT - min(edges[1])

    def _wrapped(self, text: str, font: str, size: float) -> list[str]:
        lines: list[str] = []
        line = ""
        for word in text.split():
            wider = f"{line} {word}".strip()
            thing = self._text(wider, font, size)
            left, _, right, _ = self._bounds(thing)
            self._raw.FPDFPageObj_Destroy(thing)
            if line and right - left > WIDTH - 2 * MARGIN:
                lines.append(line)
                wider = word
            line = wider
        return [*lines, line]

    def picture(self, image: Image.Image, top: float, height: float) -> tuple[float, float, float, float]:
        """A picture in the middle of the page; returns its edges as ``paragraph`` does."""
        width = height * image.width / image.height
        left = (WIDTH - width) / 2
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, "JPEG", quality=90)
        buffer.seek(0)
        with _PDFIUM:
            thing = self._pdf.pdfium.PdfImage.new(self._pdf.document)
            thing.load_jpeg(buffer, inline=True)
            thing.set_matrix(self._pdf.pdfium.PdfMatrix(width, 0, 0, height, left, HEIGHT - top - height))
            self._page.insert_obj(thing)
        return left, top, left + width, top + height

    def done(self) -> None:
        """End the page."""
        with _PDFIUM:
            self._page.gen_content()
            self._page.close()


def text_layer(pdf: bytes, name: str) -> list[dict[str, Any]]:
    """The words of a PDF as Labelbox's text layer: a group for each line, a token for each word.

    The form is the schema of docs.labelbox.com/reference/import-document-data.

    Args:
        pdf: The file.
        name: Of the document; ids come from it.
    """
    import pypdfium2

    pages = []
    with _PDFIUM:
        document = pypdfium2.PdfDocument(pdf)
        try:
            for index in range(len(document)):
                page = document[index]
                width, height = page.get_size()
                content = page.get_textpage()
                text = content.get_text_range()
                boxes = [content.get_charbox(i) for i in range(content.count_chars())]
                content.close()
                page.close()
                groups = [
                    _group(line, height, f"{name}/{index + 1}/{number}")
                    for number, line in enumerate(_lines(text, boxes))
                ]
                pages.append(
                    {"number": index + 1, "units": "POINTS", "width": width, "height": height, "groups": groups}
                )
        finally:
            document.close()
    return pages


_Word = tuple[str, tuple[float, float, float, float]]


def _lines(text: str, boxes: Sequence[tuple[float, float, float, float]]) -> list[list[_Word]]:
    """Lines of words, each with its left, bottom, right and top edge in the page's own coordinates."""
    lines: list[list[_Word]] = [[]]
    word = ""
    edges: list[tuple[float, float, float, float]] = []
    for character, box in zip([*text, "\n"], [*boxes, (0.0, 0.0, 0.0, 0.0)], strict=False):
        if not character.isspace():
            word += character
            edges.append(box)
            continue
        if word:
            left, bottom, right, top = zip(*edges, strict=True)
            lines[-1].append((word, (min(left), min(bottom), max(right), max(top))))
            word, edges = "", []
        if character in "\r\n" and lines[-1]:
            lines.append([])
    return [line for line in lines if line]


def _group(words: list[_Word], height: float, name: str) -> dict[str, Any]:
    tokens = [
        {"id": str(uuid.uuid5(_TOKENS, f"{name}/{n}")), "content": word, "geometry": _geometry([edges], height)}
        for n, (word, edges) in enumerate(words)
    ]
    return {
        "id": str(uuid.uuid5(_TOKENS, name)),
        "content": " ".join(word for word, _ in words),
        "geometry": _geometry([edges for _, edges in words], height),
        "tokens": tokens,
    }


def _geometry(edges: Sequence[tuple[float, float, float, float]], height: float) -> dict[str, float]:
    left, bottom, right, top = zip(*edges, strict=True)
    return {
        "left": round(min(left), 3),
        "top": round(height - max(top), 3),
        "width": round(max(right) - min(left), 3),
        "height": round(max(top) - min(bottom), 3),
    }
