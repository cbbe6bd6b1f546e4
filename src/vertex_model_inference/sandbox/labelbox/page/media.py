"""The assets of data rows as pages need them: texts, messages, documents, and pictures of pages and frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from vertex_model_inference.sandbox.labelbox import layouts
from vertex_model_inference.sandbox.labelbox.fetch import FetchError
from vertex_model_inference.sandbox.labelbox.page.kept import Kept
from vertex_model_inference.sandbox.labelbox.page.pictures import PictureError, frames_of, page_of
from vertex_model_inference.sandbox.labelbox.page.shapes import Box, Document
from vertex_model_inference.sandbox.labelbox.page.talk import Said, messages_of

if TYPE_CHECKING:
    from vertex_model_inference.sandbox.labelbox.app import Server
    from vertex_model_inference.sandbox.labelbox.store import Row

__all__ = ["TEXT_BYTES", "WIDTHS", "Media", "asset_url", "document_url"]

TEXT_BYTES = 24_000
WIDTHS = (480, 1400)
"""Pixels across of pages' pictures: on cards, and by themselves."""

_MEGABYTE = 1024 * 1024
_MOST_ASSET = 256 * _MEGABYTE
_MOST_LAYER = 16 * _MEGABYTE


class Media:
    """Reads assets as Labelbox's workers do, and keeps what was used last.

    Args:
        server: The sandbox's Labelbox.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._assets: Kept[bytes] = Kept(128 * _MEGABYTE, len)
        self._pictures: Kept[bytes] = Kept(64 * _MEGABYTE, len)
        self._documents: Kept[Document] = Kept(200)

    @property
    def storage_url(self) -> str:
        """Where ``gs://`` is found."""
        return self._server.config.storage_url

    def text(self, row: Row, most: int) -> tuple[str, bool]:
        """A text row's text, at most ``most`` characters, and whether it goes on.

        Raises:
            FetchError: It cannot be read.
        """
        raw: str = row["row_data"]
        if asset_url(raw, "") is not None and row["text_length"] != len(raw):
            raw = self._server.fetcher.read(raw, TEXT_BYTES).decode("utf-8", "ignore")
        return raw[:most], len(raw) > most or (row["text_length"] or 0) > most

    def messages(self, row: Row) -> list[Said]:
        """A conversation's messages.

        Raises:
            FetchError: It cannot be read, or is no conversation.
        """
        raw = row["row_data"] if row["is_object"] else self._read(row["row_data"], _MOST_LAYER)
        try:
            said = messages_of(orjson.loads(raw))
        except orjson.JSONDecodeError as error:
            raise FetchError(f"It is not JSON: {error}") from None
        if not said:
            raise FetchError("There are no messages in it.")
        return said

    def document(self, row: Row) -> Document | None:
        """Pages and tokens of a PDF; None: Labelbox could not open it."""
        layout = layouts.read(row["layout"])
        if layout is None or not layout.pages:
            return None
        data: Any = orjson.loads(row["row_data"]) if row["is_object"] else {}
        layer = data.get("text_layer_url") or data.get("textLayerUrl")
        if not isinstance(layer, str):
            return Document(layout.pages)

        def read() -> Document:
            try:
                return Document(layout.pages, _tokens(self._read(layer, _MOST_LAYER), layout.pages))
            except FetchError:
                return Document(layout.pages)

        return self._documents.get(row["id"], read)

    def page(self, row: Row, number: int, width: int) -> bytes:
        """A page of a PDF as JPEG; ``width`` is one of ``WIDTHS``.

        Raises:
            FetchError: The document cannot be read.
            PictureError: It has no such page, or the row is no PDF.
        """
        url = document_url(row)
        if row["media_type"] != "PDF" or url is None:
            raise PictureError("This data row is no document.")
        return self._pictures.get(
            ("page", row["id"], number, width), lambda: page_of(self._read(url, _MOST_ASSET), number, width)
        )

    def frame(self, row: Row, number: int) -> bytes:
        """A frame of a video as JPEG.

        Raises:
            FetchError: The video cannot be read.
            PictureError: It has no such frame, or the row is no video.
        """
        if row["media_type"] != "VIDEO":
            raise PictureError("This data row is no video.")
        found = self._pictures.peek(("frame", row["id"], number))
        if found is not None:
            return found
        made = frames_of(self._read(row["row_data"], _MOST_ASSET), number)
        for each, picture in made.items():
            self._pictures.put(("frame", row["id"], each), picture)
        return made[number]

    def _read(self, url: str, most: int) -> bytes:
        content = self._assets.get(url, lambda: self._server.fetcher.read(url, most))
        if len(content) >= most:
            raise FetchError(f"{url} is larger than {most:,} bytes.")
        return content


def _tokens(layer: bytes, pages: tuple[tuple[float, float], ...]) -> dict[tuple[int, str, str], Box]:
    """Page, group and token -> box in points, of Labelbox's text layer; nothing of what is not of its form."""
    found: dict[tuple[int, str, str], Box] = {}
    try:
        for page in orjson.loads(layer):
            number = int(page["number"])
            width, height = pages[number - 1] if 1 <= number <= len(pages) else (0.0, 0.0)
            across, down = (width / 100, height / 100) if page.get("units") == "PERCENT" else (1.0, 1.0)
            for group in page.get("groups") or ():
                for token in group.get("tokens") or ():
                    place = token["geometry"]
                    found[number, group["id"], token["id"]] = (
                        place["left"] * across,
                        place["top"] * down,
                        place["width"] * across,
                        place["height"] * down,
                    )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return found
    return found


def document_url(row: Row) -> str | None:
    """Where a PDF data row's document is."""
    if not row["is_object"]:
        return str(row["row_data"])
    data: Any = orjson.loads(row["row_data"])
    url = data.get("pdf_url") or data.get("pdfUrl") if isinstance(data, dict) else None
    return url if isinstance(url, str) else None


def asset_url(row_data: str, storage_url: str) -> str | None:
    """Where a browser finds the asset; ``gs://`` is the sandbox's Cloud Storage. None for what is no address."""
    for scheme in ("gs://", "https://storage.googleapis.com/", "https://storage.cloud.google.com/"):
        if row_data.startswith(scheme):
            rest = row_data[len(scheme) :]
            return f"{storage_url}/{quote(rest) if scheme == 'gs://' else rest}"
    return row_data if row_data.startswith(("http://", "https://")) else None
