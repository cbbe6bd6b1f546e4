"""``document-pages``: what a model finds on the pages of a document, page by page.

Our own form, near to what layout models and readers (OCR) are usually wrapped to answer::

    {"pages": [
        {"page": 1, "width": 1224, "height": 1584,
         "detections": [{"label": "table", "score": 0.9, "box": [90, 120, 900, 700], "text": "..."}],
         "entities": [{"label": "name", "score": 0.8, "text": "Ada Lovelace", "occurrence": 0}]}],
     "labels": [{"label": "invoice", "score": 0.99}]}

Pages are counted from 1; a page that does not say which one it is, is the one behind the page before. A box is ``[left,
top, right, bottom]`` or ``{"xmin", "ymin", "xmax", "ymax"}``, origin top left. Its unit is: where the page gives
``width`` and ``height``, of the picture of the page that the model saw, pixels of that picture; else points (1/72 inch);
with the layout ``document-pages:relative``, 0 to 1 of the page. ``entities`` are words quoted from the page, which are
looked for in the document's text layer; ``labels`` are classes of the whole document. Each part may be missing.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import Fit, class_name, fit_of, parse, refuse, unit
from vertex_model_inference.errors import UnknownOutputError
from vertex_model_inference.findings import Finding, FoundBox, FoundLabel, FoundQuote
from vertex_model_inference.rows import DataRow

__all__ = ["DocumentPages"]


class _Corners(msgspec.Struct):
    xmin: float
    ymin: float
    xmax: float
    ymax: float


class _Detection(msgspec.Struct):
    label: str | int
    box: _Corners | tuple[float, float, float, float]
    score: float | None = None
    text: str | None = None


class _Entity(msgspec.Struct):
    label: str
    text: str
    score: float | None = None
    occurrence: int = 0


class _Label(msgspec.Struct):
    label: str | int
    score: float | None = None


class _Page(msgspec.Struct):
    page: int | None = None
    width: float | None = None
    height: float | None = None
    detections: list[_Detection] = []
    entities: list[_Entity] = []


class _Answer(msgspec.Struct):
    pages: list[_Page]
    labels: list[_Label] = []


_ANSWER = msgspec.json.Decoder(_Answer)
_ENDLESS = float("inf")


class DocumentPages:
    """Findings by page; see the module's docstring for the form.

    Args:
        class_names: What numbers stand for.
        layout: ``relative``: boxes go from 0 to 1; empty: pixels or points.

    Raises:
        UnknownOutputError: Another layout.
    """

    def __init__(self, class_names: Sequence[str] = (), layout: str = "") -> None:
        if layout not in ("", "relative"):
            raise UnknownOutputError(
                f"The decoder 'document-pages' has no layout {layout!r}.",
                hint="Write document-pages, or document-pages:relative.",
                decoder="document-pages",
            )
        self.class_names = tuple(class_names)
        self.relative = layout == "relative"
        self.name = "document-pages:relative" if self.relative else "document-pages"

    def decode(self, prediction: bytes, row: DataRow) -> tuple[Finding, ...]:
        """Boxes and quoted words of each page, in the model's order, then classes of the document.

        Raises:
            DecodeError: See ``Decoder.decode``; also for a page that the document does not have.
        """
        answer = parse(_ANSWER, prediction, self.name, row)
        found: list[Finding] = []
        number = 0
        for index, page in enumerate(answer.pages):
            number = page.page if page.page is not None else number + 1
            where = f"pages[{index}]"
            if number < 1 or (row.page_sizes and number > len(row.page_sizes)):
                pages = f"the document has {len(row.page_sizes)}" if row.page_sizes else "pages are counted from 1"
                refuse(self.name, row, f"{where} is page {number}, {pages}")
            across, down = self._scale(page, number, row, where) if page.detections else (1.0, 1.0)
            for at, thing in enumerate(page.detections):
                spot = f"{where}.detections[{at}]"
                box = thing.box if isinstance(thing.box, tuple) else msgspec.structs.astuple(thing.box)
                corners = (box[0] * across, box[1] * down, box[2] * across, box[3] * down)
                label = class_name(thing.label, self.class_names, self.name, row, f"{spot}.label")
                score = None if thing.score is None else unit(thing.score, self.name, row, f"{spot}.score")
                found.append(
                    FoundBox(label, *self._on_page(corners, number, row, spot), score, thing.text, page=number)
                )
            for at, one in enumerate(page.entities):
                spot = f"{where}.entities[{at}]"
                if not one.label or not one.text:
                    refuse(self.name, row, f"{spot} has an empty class or no words")
                score = None if one.score is None else unit(one.score, self.name, row, f"{spot}.score")
                found.append(FoundQuote(one.label, one.text, score, page=number, occurrence=max(0, one.occurrence)))
        for at, label in enumerate(answer.labels):
            name = class_name(label.label, self.class_names, self.name, row, f"labels[{at}].label")
            score = None if label.score is None else unit(label.score, self.name, row, f"labels[{at}].score")
            found.append(FoundLabel(name, score))
        return tuple(found)

    def _scale(self, page: _Page, number: int, row: DataRow, where: str) -> tuple[float, float]:
        """Points that a unit of the model's is, across and down."""
        if page.width is None and page.height is None and not self.relative:
            return 1.0, 1.0
        if not row.page_sizes:
            refuse(
                self.name,
                row,
                f"{where} measures boxes by the page, whose size is not known",
                'Install "vertex-model-inference[documents]" so that PDFs can be measured, or answer points.',
            )
        width, height = row.page_sizes[number - 1]
        if self.relative:
            return width, height
        if page.width is None or page.height is None or not (0 < page.width < _ENDLESS and 0 < page.height < _ENDLESS):
            refuse(self.name, row, f"{where} has a picture of {page.width} x {page.height} pixels, that is no size")
        return width / page.width, height / page.height

    def _on_page(
        self, corners: tuple[float, float, float, float], number: int, row: DataRow, where: str
    ) -> tuple[float, float, float, float]:
        """(left, top, width, height) in points, within the page."""
        left, top, right, bottom = corners
        if not all(abs(corner) < _ENDLESS for corner in corners):
            refuse(self.name, row, f"{where}.box has a coordinate that is not a finite number")
        if right < left or bottom < top:
            refuse(self.name, row, f"{where}.box has a negative size", "Is the order left, top, right, bottom?")
        width, height = row.page_sizes[number - 1] if row.page_sizes else (_ENDLESS, _ENDLESS)
        if right < 0 or bottom < 0 or left > width or top > height or right > 2 * width or bottom > 2 * height:
            refuse(
                self.name,
                row,
                f"{where}.box is ({left:g}, {top:g}) to ({right:g}, {bottom:g}) points, "
                f"outside of page {number} of {width:g} x {height:g}",
                "Are the coordinates in points, or else do the pages say the size of their pictures?",
            )
        left, top = max(left, 0.0), max(top, 0.0)
        return left, top, min(right, width) - left, min(bottom, height) - top

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form."""
        return fit_of(_ANSWER, prediction)
