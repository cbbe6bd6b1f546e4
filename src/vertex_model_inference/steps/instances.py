"""What a model is sent for a row: a template with the row's own values put in.

A template maps fields to texts with placeholders; dots nest (``image.b64``). Placeholders: ``{uri}`` (``gs://`` URI),
``{b64}`` (the bytes, base64), ``{text}``, ``{mime_type}``, ``{url}`` (the data row's own URL), ``{key}`` (its id);
``{messages}`` by itself is the list of a conversation's messages, ``{"id", "author", "text"}`` each.

``{text}`` of a row that is no text: of HTML what a browser shows, of a conversation its messages under each other, of a
document the words of its text layer or, where it has none, of the file.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from vertex_model_inference.errors import SettingsError
from vertex_model_inference.models import ModelOption, Predictor
from vertex_model_inference.rows import DataRow, MediaType
from vertex_model_inference.spec import Staged
from vertex_model_inference.steps.texts import TEXTUAL

__all__ = ["KEY_FIELD", "Template", "template_of"]

KEY_FIELD = "vmi_key"
"""The field that carries the row's id through a batch job (``instanceConfig.keyField``); the model never sees it."""

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_KNOWN = ("uri", "b64", "text", "messages", "mime_type", "url", "key")
_MESSAGES = "{messages}"


class Template:
    """A parsed instance template.

    Args:
        fields: Field (dots nest) -> text with placeholders.

    Raises:
        SettingsError: A placeholder that does not exist.
    """

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = dict(fields)
        used = {name for text in self.fields.values() for name in _PLACEHOLDER.findall(text)}
        if unknown := sorted(used - set(_KNOWN)):
            raise SettingsError(
                f"The instance template has {{{unknown[0]}}}, which does not exist.",
                hint=f"Placeholders are {', '.join('{' + name + '}' for name in _KNOWN)}.",
            )
        self.needs_uri = "uri" in used
        self.needs_bytes = "b64" in used
        self.needs_text = "text" in used
        self.needs_messages = "messages" in used
        if any("messages" in _PLACEHOLDER.findall(text) and text != _MESSAGES for text in self.fields.values()):
            raise SettingsError(
                "The instance template has {messages} inside of a longer text, but it is a list.",
                hint='Write messages = "{messages}", or use {text}.',
            )

    def fill(self, row: DataRow, staged: Staged, data: bytes | None = None) -> dict[str, Any]:
        """The instance for a row.

        Args:
            row: The data row.
            staged: What the assets step made of it.
            data: The asset's bytes, where ``needs_bytes``.
        """
        values = {
            "uri": staged.uri or "",
            "b64": base64.b64encode(data).decode() if data is not None else "",
            "text": staged.text or "",
            "mime_type": staged.mime_type or "application/octet-stream",
            "url": row.row_data,
            "key": row.id,
        }
        instance: dict[str, Any] = {}
        for field, text in self.fields.items():
            *path, last = field.split(".")
            place = instance
            for part in path:
                place = place.setdefault(part, {})
            if text == _MESSAGES:
                place[last] = [{"id": m.id, "author": m.author, "text": m.text} for m in staged.messages]
            else:
                place[last] = _PLACEHOLDER.sub(lambda found: values[found[1]], text)
        return instance


def template_of(option: ModelOption, media_type: MediaType) -> Template:
    """The option's own template, or the usual one for its kind of model.

    AutoML models read ``{"content", "mimeType"}`` (a URI in batch, the bytes online; Vertex's instance schemas); custom
    models get the same for pictures, documents and sounds in batch, ``{"image": {"b64"}}`` online (``document`` and
    ``audio`` likewise), and ``{"text"}`` for texts, HTML and conversations (``{"messages"}`` where the decoder is
    ``conversation``). Videos are sent by their URI, AutoML models
    are asked about all of them (``video_classification.proto``). Tiled images have no bytes of their own:
    a model is sent their ``{"url"}``, with ``{z}``, ``{x}`` and ``{y}`` in it, if its template says so.
    """
    if option.instance:
        return Template(option.instance)
    if option.gemini is not None:  # the request is made from what is staged (gemini/requests.py)
        if media_type is MediaType.CONVERSATION:
            return Template({"messages": "{messages}"})
        return Template({"text": "{text}"} if media_type in TEXTUAL else {"uri": "{uri}"})
    automl = option.model is not None and option.model.automl
    batch = option.predictor is Predictor.BATCH or option.job_instances
    if media_type is MediaType.CONVERSATION and option.decoder == "conversation":
        return Template({"messages": _MESSAGES})  # who answers by message is asked by message
    if media_type in TEXTUAL:
        if automl:
            return Template({"content": "{uri}" if batch else "{text}", "mimeType": "text/plain"})
        return Template({"text": "{text}"})
    if media_type is MediaType.VIDEO:  # by its URI always: no request holds a video
        fields = {"content": "{uri}", "mimeType": "{mime_type}"}
        return Template({**fields, "timeSegmentStart": "0.0s", "timeSegmentEnd": "Infinity"} if automl else fields)
    if automl or batch:
        return Template({"content": "{uri}" if batch else "{b64}", "mimeType": "{mime_type}"})
    return Template({f"{media_type.value}.b64": "{b64}"})
