"""What a model read, as far as places in it must be found again: a text, a conversation's messages, a document's words.

Quotes (``FoundQuote``) and spans of characters are looked up in it when findings become annotations.
"""

from __future__ import annotations

import msgspec

__all__ = ["Message", "Page", "Source", "Token"]


class Message(msgspec.Struct, frozen=True):
    """A message of a conversation: ``id`` as the data row names it, its ``text``, and who wrote it (``author``)."""

    id: str
    text: str
    author: str = ""


class Token(msgspec.Struct, frozen=True):
    """A word of a document's text layer.

    Attributes:
        id: As the text layer names it. ``group_id``: of the group (line, paragraph) that holds it.
        text: The word.
        left: Points (1/72 inch) from the left edge of the page; ``top``: from its top; ``width``, ``height``: points.
    """

    id: str
    group_id: str
    text: str
    left: float
    top: float
    width: float
    height: float


class Page(msgspec.Struct, frozen=True):
    """A page of a document: ``number`` from 1, size in points, and its words in reading order."""

    number: int
    width: float
    height: float
    tokens: tuple[Token, ...] = ()


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the model read of one row; only what the row's media type has is set.

    Attributes:
        text: The text that the model was sent, or would have been: of conversations their messages under each other
            (``rendered``), of documents the words of their text layer (``written``).
        messages: Of a conversation, in its order.
        pages: Of a document, first page first.
    """

    text: str | None = None
    messages: tuple[Message, ...] = ()
    pages: tuple[Page, ...] = ()
