"""Labelbox's text layer of a document -> pages with their words. Pure.

The form is the "Text Layer Validation Schema" of docs.labelbox.com/reference/import-document-data: a list of pages
``{"number", "units": "POINTS" | "PERCENT", "width"?, "height"?, "groups": [{"id", "content", "geometry", "tokens":
[{"id", "content", "geometry": {"left", "top", "width", "height"}}]}]}``. Entities name a group's id and its tokens'
ids. Pages are numbered from 1 (the documentation of text selections says so). With ``PERCENT`` the geometry goes from
0 to 100 of the page's size (the schema names the unit and not its range: unverified).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.errors import AssetError
from vertex_model_inference.sources import Page, Token

__all__ = ["pages_of", "written"]


class _Geometry(msgspec.Struct):
    left: float = 0.0
    top: float = 0.0
    width: float = 0.0
    height: float = 0.0


class _Token(msgspec.Struct):
    id: str
    content: str = ""
    geometry: _Geometry = msgspec.field(default_factory=_Geometry)


class _Group(msgspec.Struct):
    id: str
    tokens: list[_Token] = []


class _Page(msgspec.Struct):
    number: float
    units: str = "POINTS"
    width: float | None = None
    height: float | None = None
    groups: list[_Group] = []


_PAGES = msgspec.json.Decoder(list[_Page])


def pages_of(data: bytes, row_id: str, sizes: Sequence[tuple[float, float]] = ()) -> tuple[Page, ...]:
    """The pages of a text layer, by their numbers.

    Args:
        data: The text layer, JSON.
        row_id: For messages of errors.
        sizes: Of the document's own pages, in points, for layers that give none.

    Raises:
        AssetError: ``text_layer``: it is not of Labelbox's form.
    """
    try:
        found = _PAGES.decode(data)
    except (ValueError, RecursionError) as error:
        raise _wrong(row_id, f"is not of Labelbox's form: {error}") from None
    pages = []
    for page in found:
        number = int(page.number) if page.number == page.number and abs(page.number) < 2**31 else 0
        if number < 1 or number != page.number:
            raise _wrong(row_id, f"has a page with the number {page.number:g}; pages are counted from 1")
        if page.units not in ("POINTS", "PERCENT"):
            raise _wrong(row_id, f"measures page {number} in {page.units!r:.40}, which is neither POINTS nor PERCENT")
        known = sizes[number - 1] if number <= len(sizes) else (0.0, 0.0)
        width, height = page.width or known[0], page.height or known[1]
        across, down = (width / 100, height / 100) if page.units == "PERCENT" else (1.0, 1.0)
        tokens = tuple(
            Token(
                token.id,
                group.id,
                token.content,
                token.geometry.left * across,
                token.geometry.top * down,
                token.geometry.width * across,
                token.geometry.height * down,
            )
            for group in page.groups
            for token in group.tokens
        )
        pages.append(Page(number, width, height, tokens))
    if len({page.number for page in pages}) != len(pages):
        raise _wrong(row_id, "has two pages of one number")
    return tuple(sorted(pages, key=lambda page: page.number))


def written(pages: Sequence[Page]) -> tuple[str, tuple[tuple[int, int, int], ...]]:
    """The text of a document as a text model reads it, and where each token stands in it.

    Tokens of a group are parted by a space, groups by a line end, pages by a form feed.

    Returns:
        The text; and for each token, page by page, its first character, the one behind its last, and the page's number.
    """
    parts: list[str] = []
    places: list[tuple[int, int, int]] = []
    at = 0
    for index, page in enumerate(pages):
        if index:
            parts.append("\f")
            at += 1
        group: str | None = None
        for token in page.tokens:
            if group is not None:
                parts.append(" " if token.group_id == group else "\n")
                at += 1
            group = token.group_id
            parts.append(token.text)
            places.append((at, at + len(token.text), page.number))
            at += len(token.text)
    return "".join(parts), tuple(places)


def _wrong(row_id: str, why: str) -> AssetError:
    return AssetError(
        f"The text layer of data row {row_id} {why}.",
        code="text_layer",
        hint="See the text layer schema in Labelbox's documentation of document data.",
        data_row_id=row_id,
    )
