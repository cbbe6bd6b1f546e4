"""What can be learnt of an asset by looking at it: kind, size, length, pages, messages.

Pictures are measured as they are stored, whatever their EXIF orientation says: so does Labelbox
(community.labelbox.com/t/how-to-rotate-image-assets-exif-metadata/611).
"""

from __future__ import annotations

import contextlib
import io
import mimetypes
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import orjson
from PIL import Image, UnidentifiedImageError

from vertex_model_inference.sandbox.labelbox import layouts
from vertex_model_inference.sandbox.labelbox.fetch import Fetcher, FetchError
from vertex_model_inference.sandbox.labelbox.store import Row

__all__ = ["Looked", "look", "opened_film"]

_HEADER = 65_536  # bytes that hold the size of nearly every picture
_TEXT_MOST = 16 * 1024 * 1024
_PDF_MOST = 256 * 1024 * 1024  # docs: documents
_JSON = msgspec.json.Encoder()


class Looked(NamedTuple):
    """What was learnt of a data row's asset.

    Attributes:
        media_type: ``IMAGE``, ``TEXT``, ...
        attributes: Media attributes as JSON; None when the asset cannot be read, as while Labelbox processes it.
        text_length: Characters of a text.
        data_row_id: The row.
        layout: What annotations can name in it, as JSON.
    """

    media_type: str
    attributes: str | None
    text_length: int | None
    data_row_id: str
    layout: str | None = None


def look(row: Row, fetcher: Fetcher) -> Looked:
    """Look at one data row's asset.

    Args:
        row: ``id``, ``row_data``, ``is_object``, ``media_type``.
        fetcher: Reads it.
    """
    media_type: str = row["media_type"]
    data: Any = orjson.loads(row["row_data"]) if row["is_object"] else row["row_data"]
    if media_type == "PDF":
        return _document(row["id"], data, fetcher)
    if row["is_object"]:
        if media_type == "CONVERSATIONAL":
            return _conversation(row["id"], data)
        return Looked(media_type, '{"mime_type":"application/json"}', None, row["id"])
    url: str = data
    kind = mimetypes.guess_type(url.split("?", 1)[0])[0]
    try:
        if media_type in ("IMAGE", "UNKNOWN"):
            facts = _picture(url, fetcher)
            if facts is not None:
                return Looked("IMAGE", orjson.dumps(facts).decode(), None, row["id"])
            if media_type == "IMAGE":
                return Looked(media_type, None, None, row["id"])
        if media_type == "VIDEO":
            facts = _film(fetcher.read(url))
            if facts is not None:
                return Looked(media_type, orjson.dumps(facts).decode(), None, row["id"])
        if media_type == "TEXT":
            text = fetcher.read(url, _TEXT_MOST).decode("utf-8", "replace")
            return Looked(media_type, _mime(kind or "text/plain"), len(text), row["id"])
        if media_type == "CONVERSATIONAL":
            return _conversation(row["id"], orjson.loads(fetcher.read(url, _TEXT_MOST)))
        fetcher.read(url, 16)  # is it there at all?
    except (FetchError, orjson.JSONDecodeError):
        return Looked(media_type, None, None, row["id"])
    if media_type == "HTML":
        kind = "text/html"
    return Looked(media_type, _mime(kind or "application/octet-stream"), None, row["id"])


def _mime(kind: str) -> str:
    return orjson.dumps({"mime_type": kind}).decode()


def _document(row_id: str, data: Any, fetcher: Fetcher) -> Looked:
    """A PDF, given by its URL or as ``{"pdf_url", "text_layer_url"}``."""
    url, layer = data, None
    if isinstance(data, dict):
        url = data.get("pdf_url") or data.get("pdfUrl")
        layer = data.get("text_layer_url") or data.get("textLayerUrl")
    attributes = _mime("application/pdf")
    if not isinstance(url, str):
        return Looked("PDF", attributes, None, row_id)
    try:
        pdf = fetcher.read(url, _PDF_MOST)
        tokens = fetcher.read(layer, _TEXT_MOST) if isinstance(layer, str) else None
    except FetchError:
        # As before this was read: the row is what its client said, and nothing in it can be checked.
        return Looked("PDF", attributes if isinstance(data, dict) else None, None, row_id)
    layout = layouts.of_document(pdf, tokens)
    return Looked("PDF", attributes, None, row_id, None if layout is None else _JSON.encode(layout).decode())


def _conversation(row_id: str, data: Any) -> Looked:
    layout, attributes = layouts.of_conversation(data)
    return Looked("CONVERSATIONAL", orjson.dumps(attributes).decode(), None, row_id, _JSON.encode(layout).decode())


def _picture(url: str, fetcher: Fetcher) -> dict[str, Any] | None:
    for most in (_HEADER, None):
        content = fetcher.read(url, most)
        try:
            with Image.open(io.BytesIO(content)) as image:
                width, height = image.size
                mime = Image.MIME.get(image.format or "", "application/octet-stream")
                return {"height": height, "width": width, "mime_type": mime}
        except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
            if most is None or len(content) < most:
                return None
    return None


def _film_form(content: bytes) -> tuple[str, str] | None:
    """FFmpeg's name of the file's format and its MIME type; None: not one that Labelbox takes."""
    kinds = {b"ftyp": ("mov", "video/mp4"), b"AVI ": ("avi", "video/avi"), b"WEBM": ("matroska", "video/webm")}
    head = b"WEBM" if content[:4] == b"\x1aE\xdf\xa3" else content[8:12] if content[:4] == b"RIFF" else content[4:8]
    if head not in kinds:
        return None
    form, mime = kinds[head]
    return form, "video/quicktime" if content[8:12] == b"qt  " else mime


@contextlib.contextmanager
def opened_film(content: bytes) -> Iterator[Any]:
    """PyAV's container of a video for the time of a ``with`` block; None when it is no video that Labelbox takes.

    Raises:
        av.error.FFmpegError: It is damaged.
    """
    import av

    form = _film_form(content)
    if form is None:
        yield None
        return
    # The format is given, since FFmpeg takes some texts for playlists and opens what they name.
    with av.open(io.BytesIO(content), format=form[0], options={"protocol_whitelist": ""}) as container:
        yield container


def _film(content: bytes) -> dict[str, Any] | None:
    """What Labelbox says of a video: size, frames a second, number of frames; None when it is none."""
    import av

    form = _film_form(content)
    try:
        with opened_film(content) as container:
            if container is None or form is None or not container.streams.video:
                return None
            stream = container.streams.video[0]
            width, height, rate = stream.width, stream.height, stream.average_rate
            count = stream.frames or sum(packet.size > 0 for packet in container.demux(stream))
    except (av.error.FFmpegError, ValueError):
        return None
    per_second = round(float(rate), 4) if rate else None
    return {
        "height": height,
        "width": width,
        "mime_type": form[1],
        "frame_rate": int(per_second) if per_second is not None and per_second == int(per_second) else per_second,
        "frame_count": count,
    }
