"""What an asset holds that annotations can name: pages and tokens of documents, messages of conversations. Pure."""

from __future__ import annotations

import threading
from typing import Any

import msgspec

__all__ = ["PDFIUM", "Layout", "of_conversation", "of_document", "read"]


class Layout(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an import is checked against, and what its export form needs.

    Attributes:
        pages: Width and height in points of a document's pages, first page first.
        tokens: Page number -> group id -> token id -> word, of a document's text layer.
        messages: Message id -> characters of its text, of a conversation.
    """

    pages: tuple[tuple[float, float], ...] = ()
    tokens: dict[int, dict[str, dict[str, str]]] = {}
    messages: dict[str, int] = {}


class _Token(msgspec.Struct):
    id: str
    content: str = ""


class _Group(msgspec.Struct):
    id: str
    tokens: list[_Token] = []


class _Page(msgspec.Struct):
    number: int
    groups: list[_Group] = []


_LAYOUT = msgspec.json.Decoder(Layout)
_LAYER = msgspec.json.Decoder(list[_Page])
PDFIUM = threading.Lock()  # PDFium is not safe in several threads


def read(text: str | None) -> Layout | None:
    """A stored layout."""
    return None if text is None else _LAYOUT.decode(text)


def of_document(pdf: bytes, text_layer: bytes | None) -> Layout | None:
    """The pages of a PDF and the tokens of its text layer; None: it is no PDF that can be opened."""
    import pypdfium2

    with PDFIUM:
        try:
            document = pypdfium2.PdfDocument(pdf)
        except pypdfium2.PdfiumError:
            return None
        try:
            pages = tuple(document.get_page_size(index) for index in range(len(document)))
        finally:
            document.close()
    tokens: dict[int, dict[str, dict[str, str]]] = {}
    if text_layer is not None:
        try:
            for page in _LAYER.decode(text_layer):
                groups = tokens.setdefault(page.number, {})
                for group in page.groups:
                    groups.setdefault(group.id, {}).update({token.id: token.content for token in group.tokens})
        except (msgspec.MsgspecError, UnicodeDecodeError):
            tokens = {}
    return Layout(pages=pages, tokens=tokens)


def of_conversation(data: Any) -> tuple[Layout, dict[str, Any]]:
    """The messages of a conversation, and its media attributes.

    Args:
        data: Its JSON: version 1 (a list of messages) or 2 (messages by id).
    """
    messages = data.get("messages") if isinstance(data, dict) else None
    lengths: dict[str, int] = {}
    labelable: list[str] = []
    if isinstance(messages, dict):
        for key, node in messages.items():
            parts = node.get("content") if isinstance(node, dict) else None
            texts = [p["content"] for p in parts or () if isinstance(p, dict) and isinstance(p.get("content"), str)]
            lengths[key] = len("\n".join(texts))
            labelable.append(key)
    for message in messages if isinstance(messages, list) else ():
        key = message.get("messageId") if isinstance(message, dict) else None
        if isinstance(key, str):
            content = message.get("content")
            lengths[key] = len(content) if isinstance(content, str) else 0
            if message.get("canLabel", True):
                labelable.append(key)
    attributes = {
        "asset_type": "conversational",
        "mime_type": "application/vnd.labelbox.conversational",
        "labelable_ids": labelable,
        "message_count": len(messages) if isinstance(messages, list | dict) else 0,
    }
    return Layout(messages=lengths), attributes
