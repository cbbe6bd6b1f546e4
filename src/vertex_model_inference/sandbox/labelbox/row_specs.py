"""A data row as a client describes it, checked and turned into columns."""

from __future__ import annotations

import mimetypes
import re
from typing import Any

import orjson

from vertex_model_inference.sandbox.labelbox.store.data_rows import NewRow

__all__ = ["MAX_GLOBAL_KEY", "MEDIA_TYPES", "columns_of", "guess_media_type", "new_row"]

MAX_GLOBAL_KEY = 200  # characters (docs: limits)
MAX_TEXT = 64 * 1024  # bytes of inline row_data (docs: limits)
MEDIA_TYPES = frozenset(
    {
        "IMAGE",
        "TEXT",
        "VIDEO",
        "PDF",
        "AUDIO",
        "HTML",
        "CONVERSATIONAL",
        "TMS_GEO",
        "TMS_SIMPLE",
        "POINT_CLOUD",
        "LLM",
        "UNKNOWN",
    }
)
_URL = re.compile(r"(?:https?|gs|s3)://", re.IGNORECASE)
_KEYS = {"ID": "ID", "GKEY": "GKEY", "DATA_ROW_ID": "ID", "GLOBAL_KEY": "GKEY"}


def guess_media_type(row_data: Any) -> str:
    """The media type that an asset seems to have, by its URL's suffix or its form; UNKNOWN when nothing tells."""
    if isinstance(row_data, dict):
        if "pdf_url" in row_data or "pdfUrl" in row_data:
            return "PDF"
        if "tile_layer_url" in row_data or "tileLayerUrl" in row_data:
            return "TMS_GEO"
        kind = str(row_data.get("type", ""))
        return "CONVERSATIONAL" if "conversational" in kind else "UNKNOWN"
    if not _URL.match(row_data):
        return "TEXT"
    kind = mimetypes.guess_type(row_data.split("?", 1)[0].split("#", 1)[0])[0] or ""
    if kind == "text/html":
        return "HTML"
    if kind == "application/pdf":
        return "PDF"
    if kind == "application/json":
        return "CONVERSATIONAL"
    top = kind.split("/", 1)[0].upper()
    return top if top in ("IMAGE", "TEXT", "VIDEO", "AUDIO") else "UNKNOWN"


def new_row(item: Any) -> NewRow:
    """One item of an upload's chunk: ``{"id": {"type", "value"}, "payload": {...}}``."""
    if not isinstance(item, dict) or not isinstance(item.get("payload"), dict):
        return NewRow(None, {}, "An item must be an object with a `payload`.", {})
    payload: dict[str, Any] = item["payload"]
    key: tuple[str, str] | None = None
    given = item.get("id")
    if isinstance(given, dict) and given.get("type") not in (None, "AUTO"):
        kind = _KEYS.get(str(given["type"]).upper())
        if kind is None or not isinstance(given.get("value"), str) or not given["value"]:
            return NewRow(None, {}, f"The key {given!r} is neither a data row id nor a global key.", payload)
        key = (kind, given["value"])
    values, failure = columns_of(payload)
    if failure is None and key is None and "row_data" not in values:
        failure = "row_data is missing: a new data row needs it."
    return NewRow(key, values, failure, payload)


def columns_of(payload: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Columns for a payload, and what is wrong with it (None: nothing)."""
    if "tileLayerUrl" in payload:
        outer = ("external_id", "global_key", "attachments", "dataset_id", "metadata_fields", "media_type")
        layer = {k: v for k, v in payload.items() if k not in outer}
        payload = {**{k: v for k, v in payload.items() if k in outer}, "row_data": layer}
    values: dict[str, Any] = {}
    for name, limit in (("global_key", MAX_GLOBAL_KEY), ("external_id", 500)):
        text = payload.get(name)
        if text is None:
            continue
        if not isinstance(text, str) or not text.strip() or len(text) > limit:
            return {}, f"{name} must be a string of 1 to {limit} characters, not {text!r:.80}."
        values[name] = text
    media_type = payload.get("media_type")
    if media_type is not None:
        media_type = str(media_type).upper()
        if media_type not in MEDIA_TYPES:
            return {}, f"media_type {media_type!r} is unknown."
    data = payload.get("row_data")
    if data is not None:
        failure = _check_row_data(data)
        if failure:
            return {}, failure
        kind = media_type or guess_media_type(data)
        is_text = isinstance(data, str) and not _URL.match(data)
        values.update(
            row_data=data if isinstance(data, str) else orjson.dumps(data).decode(),
            is_object=int(not isinstance(data, str)),
            media_type=kind,
            media_attributes='{"mime_type":"text/plain"}' if is_text else None,
            text_length=len(data) if is_text else None,
            processed=int(is_text),
        )
    elif media_type is not None:
        values["media_type"] = media_type
    for name, column in (("metadata_fields", "metadata"), ("attachments", "attachments"), ("embeddings", "embeddings")):
        if payload.get(name):
            values[column] = orjson.dumps(payload[name]).decode()
    return values, None


def _check_row_data(data: Any) -> str | None:
    if isinstance(data, dict):
        return None if data else "row_data is empty."
    if not isinstance(data, str):
        return f"row_data must be a URL, a text or an object, not {type(data).__name__}."
    if not data.strip():
        return "row_data is empty."
    if data.startswith("s3:"):
        return "row_data: s3 assets must start with 'https'."
    if not _URL.match(data) and len(data.encode()) > MAX_TEXT:
        return f"row_data holds {len(data.encode())} bytes of text; at most {MAX_TEXT} may be given inline."
    return None
