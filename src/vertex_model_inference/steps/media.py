"""What an asset's bytes are: the type and the size in pixels, from the header alone (nothing is decoded)."""

from __future__ import annotations

import io
import warnings
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from vertex_model_inference.errors import AssetError

__all__ = ["HEADER_BYTES", "ImageHeader", "extension", "image_header"]

HEADER_BYTES = 64 << 10
"""Enough of a file's start for Pillow to find its size, except behind very large embedded metadata."""

_EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/bmp": "bmp",
    "image/tiff": "tif",
    "image/x-icon": "ico",
    "text/plain": "txt",
}


class ImageHeader(NamedTuple):
    """Real type, and width and height in pixels as stored (before any EXIF rotation)."""

    mime_type: str
    width: int
    height: int


def image_header(start: bytes, *, whole: bool, name: str) -> ImageHeader:
    """Read a picture's header.

    Args:
        start: The file's first bytes, or all of them.
        whole: Whether ``start`` is the whole file.
        name: Of the row or asset, for messages.

    Raises:
        AssetError: ``asset_empty``, or ``asset_corrupt``: no picture format is recognised.
    """
    if not start:
        raise AssetError(f"The asset of {name} is empty.", code="asset_empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # decompression-bomb warnings: nothing is decompressed here
            with Image.open(io.BytesIO(start)) as image:
                mime = Image.MIME.get(image.format or "", "application/octet-stream")
                return ImageHeader(mime, image.width, image.height)
    except Image.DecompressionBombError:
        raise AssetError(
            f"The picture of {name} claims more pixels than any model takes.", code="asset_too_large"
        ) from None
    except Exception as error:  # noqa: BLE001  # Pillow raises whatever a broken header leads it to
        if not whole and not isinstance(error, UnidentifiedImageError):
            raise AssetError(
                f"The header of the picture of {name} does not fit into its first {len(start)} bytes.",
                code="asset_corrupt",
            ) from None
        raise AssetError(
            f"The asset of {name} is not a picture that can be read.",
            code="asset_corrupt",
            hint="Open the data row in Labelbox: if it does not show there either, replace the file.",
        ) from None


def extension(mime_type: str | None) -> str:
    """File extension for a type, ``bin`` when unknown; never taken from a name that came from outside."""
    return _EXTENSIONS.get(mime_type or "", "bin")
