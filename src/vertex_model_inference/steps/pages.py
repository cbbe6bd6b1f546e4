"""What a PDF is: its pages' sizes, and the text in it, by PDFium (the extra ``documents``)."""

from __future__ import annotations

import threading
from typing import Any

from vertex_model_inference.errors import AssetError

__all__ = ["MAX_PAGES", "page_sizes", "page_texts"]

MAX_PAGES = 2_000
"""Labelbox recommends at most 100 pages; what is far beyond is a mistake or an attack."""

_PDFIUM = threading.Lock()
"""PDFium is not safe in several threads (pypdfium2's own documentation)."""


def page_sizes(data: bytes, row_id: str) -> tuple[tuple[float, float], ...]:
    """Width and height of each page in points (1/72 inch), as it is shown: turned as the file says.

    Args:
        data: The whole file.
        row_id: For messages of errors.

    Returns:
        First page first; empty where PDFium is not installed.

    Raises:
        AssetError: ``asset_corrupt`` (no PDF, damaged, needs a password) or ``asset_too_large`` (too many pages).
    """
    if not data:
        raise AssetError(f"The asset of data row {row_id} is empty.", code="asset_empty", data_row_id=row_id)
    if b"%PDF-" not in data[:1024]:
        raise _corrupt(row_id, "is not a PDF")
    try:
        import pypdfium2
    except ImportError:
        return ()
    with _PDFIUM:
        document = _open(pypdfium2, data, row_id)
        try:
            sizes = tuple(document.get_page_size(index) for index in range(len(document)))
        finally:
            document.close()
    return tuple((float(width), float(height)) for width, height in sizes)


def page_texts(data: bytes, row_id: str) -> tuple[str, ...]:
    """The text of each page as the file itself holds it; scanned pages have none.

    Raises:
        AssetError: As ``page_sizes``; also ``documents_extra`` where PDFium is not installed.
    """
    try:
        import pypdfium2
    except ImportError:
        raise AssetError(
            f"The text of the PDF of data row {row_id} cannot be read: pypdfium2 is not installed.",
            code="documents_extra",
            hint='Install "vertex-model-inference[documents]", or give the data rows text layers.',
            data_row_id=row_id,
        ) from None
    with _PDFIUM:
        document = _open(pypdfium2, data, row_id)
        try:
            texts = []
            for index in range(len(document)):
                page = document[index]
                content = page.get_textpage()
                texts.append(content.get_text_range().replace("\r\n", "\n"))
                content.close()
                page.close()
            return tuple(texts)
        finally:
            document.close()


def _open(pypdfium2: Any, data: bytes, row_id: str) -> Any:
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        locked = "password" in str(error).lower()
        raise _corrupt(row_id, "needs a password" if locked else f"cannot be opened ({error})") from None
    if len(document) > MAX_PAGES:
        pages = len(document)
        document.close()
        raise AssetError(
            f"The PDF of data row {row_id} has {pages:,} pages; at most {MAX_PAGES:,} are read.",
            code="asset_too_large",
            data_row_id=row_id,
        )
    return document


def _corrupt(row_id: str, why: str) -> AssetError:
    return AssetError(
        f"The asset of data row {row_id} {why}.",
        code="asset_corrupt",
        hint="Open the data row in Labelbox: if it does not show there either, replace the file.",
        data_row_id=row_id,
    )
