"""The text that a model is sent for a row, by the row's medium. Pure.

* A text is sent as it is stored (a byte order mark is no part of it).
* Of HTML the text that a browser shows: no tags, scripts or styles. (Labelbox has no entities on HTML, so no place in
  it has to be found again.)
* A conversation is its messages under each other, each with its author (``labelbox.conversations.rendered``).
"""

from __future__ import annotations

from html.parser import HTMLParser

from vertex_model_inference.errors import AssetError
from vertex_model_inference.labelbox.conversations import messages_of, rendered
from vertex_model_inference.rows import MediaType
from vertex_model_inference.sources import Source

__all__ = ["TEXTUAL", "source_of_text", "visible_text"]

TEXTUAL = frozenset((MediaType.TEXT, MediaType.HTML, MediaType.CONVERSATION))
"""Media whose rows become a text for a model."""

_HIDDEN = frozenset(("script", "style", "head", "template", "noscript", "svg"))
_BLOCKS = frozenset(
    (
        *("address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "figcaption", "figure", "footer"),
        *("form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section"),
        *("table", "td", "th", "tr", "ul"),
    )
)


def source_of_text(data: bytes, media_type: MediaType, row_id: str) -> Source:
    """What a model reads of a row of text, HTML or conversation.

    Args:
        data: The asset, UTF-8.
        media_type: One of ``TEXTUAL``.
        row_id: For messages of errors.

    Raises:
        AssetError: ``asset_corrupt``: not UTF-8, or no conversation of Labelbox's form.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AssetError(
            f"The text is not UTF-8 (byte {error.start}).", code="asset_corrupt", hint="Re-encode the file."
        ) from None
    if media_type is MediaType.HTML:
        return Source(text=visible_text(text))
    if media_type is MediaType.CONVERSATION:
        messages = messages_of(text, row_id)
        return Source(text=rendered(messages), messages=messages)
    return Source(text=text)


def visible_text(markup: str) -> str:
    """What a browser shows of HTML: a line for each block, white space as one space. Never fails: nor do browsers."""
    reader = _Visible()
    reader.feed(markup)
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.parts).split("\n"))
    return "\n".join(line for line in lines if line)


class _Visible(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag == "body":
            self._hidden.clear()  # a head need not be closed
        elif tag in _HIDDEN:
            self._hidden.append(tag)
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._hidden:
            while self._hidden.pop() != tag:
                pass
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data.replace("\n", " "))
