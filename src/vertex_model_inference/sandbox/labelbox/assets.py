"""What can be learnt of an asset by looking at it: kind, size, length."""

from __future__ import annotations

import io
import mimetypes
from typing import Any

import orjson
from PIL import Image, UnidentifiedImageError

from vertex_model_inference.sandbox.labelbox.fetch import Fetcher, FetchError
from vertex_model_inference.sandbox.labelbox.store import Row

__all__ = ["look"]

_HEADER = 65_536  # bytes that hold the size of nearly every picture
_TEXT_MOST = 16 * 1024 * 1024


def look(row: Row, fetcher: Fetcher) -> tuple[str, str | None, int | None, str]:
    """Look at one data row's asset.

    Args:
        row: ``id``, ``row_data``, ``is_object``, ``media_type``.
        fetcher: Reads it.

    Returns:
        Media type, media attributes as JSON (None when the asset cannot be read, as while Labelbox processes it),
        length of a text in characters, data row id.
    """
    media_type: str = row["media_type"]
    if row["is_object"]:
        return media_type, orjson.dumps(_of_object(orjson.loads(row["row_data"]), media_type)).decode(), None, row["id"]
    url: str = row["row_data"]
    kind = mimetypes.guess_type(url.split("?", 1)[0])[0]
    try:
        if media_type in ("IMAGE", "UNKNOWN"):
            facts = _picture(url, fetcher)
            if facts is not None:
                return "IMAGE", orjson.dumps(facts).decode(), None, row["id"]
            if media_type == "IMAGE":
                return media_type, None, None, row["id"]
        if media_type == "VIDEO":
            facts = _film(fetcher.read(url))
            if facts is not None:
                return media_type, orjson.dumps(facts).decode(), None, row["id"]
        if media_type == "TEXT":
            text = fetcher.read(url, _TEXT_MOST).decode("utf-8", "replace")
            return media_type, orjson.dumps({"mime_type": kind or "text/plain"}).decode(), len(text), row["id"]
        fetcher.read(url, 16)  # is it there at all?
    except FetchError:
        return media_type, None, None, row["id"]
    return media_type, orjson.dumps({"mime_type": kind or "application/octet-stream"}).decode(), None, row["id"]


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


def _film(content: bytes) -> dict[str, Any] | None:
    """What Labelbox says of a video: size, frames a second, number of frames; None when it is none."""
    import av

    kinds = {b"ftyp": ("mov", "video/mp4"), b"AVI ": ("avi", "video/avi"), b"WEBM": ("matroska", "video/webm")}
    head = b"WEBM" if content[:4] == b"\x1aE\xdf\xa3" else content[8:12] if content[:4] == b"RIFF" else content[4:8]
    if head not in kinds:
        return None
    form, mime = kinds[head]
    if content[8:12] == b"qt  ":
        mime = "video/quicktime"
    container: Any
    try:
        # The format is given, since FFmpeg takes some texts for playlists and opens what they name.
        with av.open(io.BytesIO(content), format=form, options={"protocol_whitelist": ""}) as container:
            if not container.streams.video:
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
        "mime_type": mime,
        "frame_rate": int(per_second) if per_second is not None and per_second == int(per_second) else per_second,
        "frame_count": count,
    }


def _of_object(data: dict[str, Any], media_type: str) -> dict[str, Any]:
    if media_type == "PDF":
        return {"mime_type": "application/pdf"}
    if media_type == "CONVERSATIONAL":
        messages = data.get("messages")
        count = len(messages) if isinstance(messages, list | dict) else 0
        return {
            "asset_type": "conversational",
            "mime_type": "application/vnd.labelbox.conversational",
            "message_count": count,
        }
    return {"mime_type": "application/json"}
