"""What an asset is: what its row's address lets expect, and what its bytes are, from the header alone."""

from __future__ import annotations

import io
import mimetypes
import re
import warnings
from typing import IO, NamedTuple

import msgspec
from PIL import Image, UnidentifiedImageError

from vertex_model_inference.errors import AssetError
from vertex_model_inference.models import Task
from vertex_model_inference.rows import DataRow, MediaType

__all__ = [
    "AUTOML_IMAGES",
    "FORMATS",
    "GEMINI_IMAGES",
    "HEADER_BYTES",
    "ImageHeader",
    "extension",
    "image_header",
    "is_url",
    "looks_like_url",
    "orientation_of",
    "presumed",
]

HEADER_BYTES = 64 << 10
"""Enough of a file's start for Pillow to find its size, except behind very large embedded metadata."""

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "ICO", "JPEG2000", "AVIF", "PPM", "MPO")
"""What is looked for in bytes from outside: formats that models and browsers read, not all forty that Pillow knows."""
_MIMES = {"MPO": "image/jpeg", "ICO": "image/vnd.microsoft.icon"}
"""Where Pillow's own word would mislead: a phone's picture with a second one behind it is a JPEG to every reader."""

AUTOML_IMAGES = frozenset(
    ("image/jpeg", "image/gif", "image/png", "image/webp", "image/bmp", "image/tiff", "image/vnd.microsoft.icon")
)
"""Vertex's instance schemas for image models: image_classification_1.0.0.yaml, image_object_detection_1.0.0.yaml."""
GEMINI_IMAGES = frozenset(("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"))
"""https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/image-understanding"""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")

_EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/bmp": "bmp",
    "image/tiff": "tif",
    "image/vnd.microsoft.icon": "ico",
    "image/jp2": "jp2",
    "image/avif": "avif",
    "text/plain": "txt",
    "text/html": "html",
    "application/json": "json",
    "application/pdf": "pdf",
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/avi": "avi",
    "video/webm": "webm",
    "video/x-matroska": "mkv",
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "audio/mp4": "m4a",
    "audio/webm": "webm",
    "audio/aac": "aac",
}


_ORIENTATION = 0x0112  # of EXIF
_LYING = 5
"""From this orientation on, width and height change places."""
_PRESUMED = {
    "application/pdf": MediaType.DOCUMENT,
    "application/json": MediaType.CONVERSATION,
    "text/html": MediaType.HTML,
}


class ImageHeader(NamedTuple):
    """Real type, width and height in pixels as stored, and how EXIF says to turn them: 2 to 8, None for not at all."""

    mime_type: str
    width: int
    height: int
    orientation: int | None = None


def image_header(source: bytes | IO[bytes], *, whole: bool, name: str, claimed: str | None = None) -> ImageHeader:
    """Read a picture's header; nothing behind it is decoded.

    Args:
        source: The file's first bytes, or all of them, or the file itself at its start.
        whole: Whether ``source`` is the whole file.
        name: Of the row or asset, for messages.
        claimed: What the asset's server calls it, for messages.

    Raises:
        AssetError: ``asset_empty``; ``asset_corrupt``: no picture format is recognised; ``asset_too_large``: it claims
            more pixels than a model takes.
    """
    if source == b"":
        raise AssetError(f"The asset of {name} is empty.", code="asset_empty")
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # decompression-bomb warnings: nothing is decompressed here
            with Image.open(file, formats=FORMATS) as image:
                mime = _MIMES.get(image.format or "") or Image.MIME.get(image.format or "", "application/octet-stream")
                orientation = orientation_of(image)
                width, height = image.size
                if image.format == "TIFF" and orientation is not None and orientation >= _LYING:
                    width, height = height, width  # Pillow gives TIFFs, and no other format, the size once turned
                return ImageHeader(mime, width, height, orientation)
    except Image.DecompressionBombError:
        raise AssetError(
            f"The picture of {name} claims more pixels than any model takes.", code="asset_too_large"
        ) from None
    except Exception as error:  # noqa: BLE001  # Pillow raises whatever a broken header leads it to
        if not whole and not isinstance(error, UnidentifiedImageError):
            size = f" first {len(source)} bytes" if isinstance(source, bytes) else " first bytes"
            raise AssetError(
                f"The header of the picture of {name} does not fit into its{size}.", code="asset_corrupt"
            ) from None
        is_called = f"; its server calls it {claimed[:60]}" if claimed and not claimed.startswith("image/") else ""
        raise AssetError(
            f"The asset of {name} is not a picture that can be read{is_called}.",
            code="asset_corrupt",
            hint="Open the data row in Labelbox: if it does not show there either, replace the file.",
        ) from None


def orientation_of(image: Image.Image) -> int | None:
    """How EXIF says to turn the picture: 2 to 8; None: not at all."""
    try:
        found = image.getexif().get(_ORIENTATION)
    except Exception:  # noqa: BLE001  # broken metadata do not make a picture unreadable
        return None
    return found if isinstance(found, int) and 2 <= found <= 8 else None


def extension(mime_type: str | None) -> str:
    """File extension for a type, ``bin`` when unknown; never taken from a name that came from outside."""
    return _EXTENSIONS.get(mime_type or "", "bin")


def is_url(row_data: str) -> bool:
    """Whether a row's data is the address of its asset, and not a text."""
    return row_data.startswith(("http://", "https://", "gs://"))


def looks_like_url(row_data: str) -> bool:
    """Whether a row's data is one word with a scheme: an address of some kind, never a text to be read."""
    return _SCHEME.fullmatch(row_data) is not None


def presumed(row: DataRow, task: Task | None) -> DataRow:
    """The row with the media type to try where Labelbox names none.

    Labelbox has no media attributes for an asset that it could not read. Such a row must not end as "unknown media":
    trying to read it tells what is wrong with it, or that nothing is.

    Args:
        row: As exported.
        task: What the model does, where that is known.
    """
    if row.media_type is not MediaType.UNKNOWN:
        return row
    kind = MediaType.IMAGE
    if not is_url(row.row_data):
        kind = MediaType.TEXT
    else:
        whole = mimetypes.guess_type(row.row_data.split("?", 1)[0])[0] or ""
        guess = whole.partition("/")[0]
        if whole in _PRESUMED:
            kind = _PRESUMED[whole]
        elif guess in ("video", "audio", "text"):
            kind = MediaType(guess)
        elif guess == "application":
            return row
        elif not guess and task is not None and task.takes_text:
            kind = MediaType.TEXT
        elif not guess and task is not None and task.takes_video:
            kind = MediaType.VIDEO
    return msgspec.structs.replace(row, media_type=kind)
