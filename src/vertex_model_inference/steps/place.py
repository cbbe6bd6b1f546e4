"""Findings get their places in what the model read: quoted words become spans or tokens, boxes stay on their pages.

Pure and total: each finding comes out with a place that Labelbox can take, or is counted as dropped with a sentence
that says why, or is an error of the row. What Labelbox has no annotation for on a medium (a box on a text, anything but
answers on audio, HTML and tiled images) is dropped here too, rather than refused by Labelbox after the upload.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import msgspec

from vertex_model_inference.errors import MatchError
from vertex_model_inference.findings import (
    Finding,
    FoundBox,
    FoundEntity,
    FoundLabel,
    FoundLine,
    FoundMask,
    FoundMaskLink,
    FoundPoint,
    FoundPolygon,
    FoundQuote,
    FoundRelation,
    FoundText,
    FoundTokens,
    FoundTrack,
    FoundVideoMask,
)
from vertex_model_inference.labelbox.conversations import rendered, spans
from vertex_model_inference.labelbox.text_layers import written
from vertex_model_inference.rows import DataRow, MediaType
from vertex_model_inference.sources import Page, Source, Token
from vertex_model_inference.steps.locate import Text

__all__ = ["Placed", "needs_placing", "needs_source", "place"]

_T = TypeVar("_T")
_GEOMETRY = frozenset((FoundBox, FoundPolygon, FoundLine, FoundPoint, FoundMask, FoundMaskLink))
_SPANS = frozenset((FoundEntity, FoundQuote))
_IN_FRAMES = frozenset((FoundTrack, FoundVideoMask))
_TAKES: dict[MediaType, frozenset[type]] = {
    MediaType.IMAGE: _GEOMETRY,
    MediaType.VIDEO: _IN_FRAMES,
    MediaType.TEXT: _SPANS,
    MediaType.CONVERSATION: _SPANS,
    MediaType.DOCUMENT: _SPANS | {FoundBox, FoundTokens},
    MediaType.HTML: frozenset(),
    MediaType.AUDIO: frozenset(),
    MediaType.TILED_IMAGE: frozenset(),
}
"""What Labelbox takes on a medium besides answers (docs.labelbox.com/reference/import-...-annotations, one page for
each medium). Tiled images take shapes as well, but in degrees of latitude and longitude, which no model answers in
pixels. What is unknown is not judged here."""

_WORDS = frozenset((FoundQuote, FoundTokens))
_ANSWERS = frozenset((FoundLabel, FoundText))
_PLACELESS: frozenset[type] = frozenset((FoundRelation,))
_AS_IT_IS = _IN_FRAMES | _ANSWERS | _PLACELESS
"""What needs no looking at on a video."""
_LEAST = 0.01
"""Points: a box that has less of a page than this has no area once it is written down."""


class Placed(NamedTuple):
    """What came of a row's findings.

    Attributes:
        findings: With places; no ``FoundQuote`` among them.
        dropped: Model class name -> findings left out.
        notes: Why, and what else a reader of the outcome should know, one sentence each.
    """

    findings: tuple[Finding, ...]
    dropped: dict[str, int]
    notes: tuple[str, ...]


def needs_placing(findings: Sequence[Finding], row: DataRow) -> bool:
    """Whether ``place`` would change or check anything; boxes in pictures, the bulk of all findings, need nothing."""
    if row.media_type is MediaType.VIDEO:
        return any(type(found) not in _AS_IT_IS for found in findings)
    if row.media_type in (MediaType.IMAGE, MediaType.UNKNOWN):
        kinds = _WORDS | _IN_FRAMES if row.media_type is MediaType.IMAGE else _WORDS
        return any(type(found) in kinds for found in findings)
    return bool(findings)


def needs_source(findings: Sequence[Finding], row: DataRow) -> bool:
    """Whether ``place`` needs to know what the model read, which may have to be fetched for it."""
    if row.media_type is MediaType.TEXT:
        return any(type(found) is FoundQuote for found in findings)
    if row.media_type is MediaType.DOCUMENT:
        return any(type(found) in _SPANS for found in findings)
    if row.media_type is MediaType.CONVERSATION:
        return any(type(found) in _SPANS or getattr(found, "message_id", None) is not None for found in findings)
    return False


def place(findings: Sequence[Finding], row: DataRow, source: Source | None) -> Placed:
    """Find the places of a row's findings.

    Args:
        findings: As the decoder gives them.
        row: Where they were found; its ``page_sizes`` bound the boxes on a document's pages.
        source: What the model read; needed where ``needs_source`` says so.

    Raises:
        MatchError: A span that reaches beyond its text, a box on no page or one that does not exist; or
            ``match_text_layer``: the row's findings are all words of a document that has no text layer.
    """
    placer = _Placer(findings, row, source or Source())
    for found in findings:
        placer.take(found)
    if placer.unlayered and not placer.findings:
        raise MatchError(
            f"Data row {row.id} has no text layer, whose tokens Labelbox needs for entities on documents.",
            code="match_text_layer",
            hint="Add text_layer_url to the data row in Labelbox, or have the model give boxes.",
            data_row_id=row.id,
        )
    return Placed(tuple(placer.findings), placer.dropped, tuple(placer.notes))


class _Placer:
    """The row whose findings are being placed."""

    def __init__(self, findings: Sequence[Finding], row: DataRow, source: Source) -> None:
        self._row = row
        self._source = source
        self._takes = _TAKES.get(row.media_type)
        self._taken: dict[tuple[str, ...], set[int]] = {}
        self._said: dict[tuple[str, ...], int] = {}
        for found in findings:
            if isinstance(found, FoundQuote):
                self._said[_key(found)] = self._said.get(_key(found), 0) + 1
        self._text: Text | None = None
        self._messages: dict[str, Text] | None = None
        self._spans: tuple[tuple[int, int], ...] | None = None
        self._pages: dict[int, _Words] | None = None
        self._tokens: tuple[list[int], list[tuple[int, Token]]] | None = None
        self.findings: list[Finding] = []
        self.dropped: dict[str, int] = {}
        self.notes: dict[str, None] = {}
        self.unlayered = False

    def take(self, found: Finding) -> None:
        """Place one finding, or drop it."""
        media = self._row.media_type
        kind: type = type(found)
        if kind in _ANSWERS:
            self._answer(found)
        elif kind not in _PLACELESS and self._takes is not None and kind not in self._takes:
            name = media.value.replace("_", " ")
            what = kind.__name__.removeprefix("Found").lower()
            why = (
                "on them shapes are measured in degrees, not in pixels"
                if media is MediaType.TILED_IMAGE and kind in _GEOMETRY
                else "Labelbox has no such annotation there"
            )
            self._drop(found.label, f"A {what} of class {_short(found.label)} was left out on a row of {name}: {why}.")
        elif isinstance(found, FoundQuote):
            self._quote(found)
        elif isinstance(found, FoundEntity) and media is MediaType.CONVERSATION:
            self._said_in(found)
        elif isinstance(found, FoundEntity) and media is MediaType.DOCUMENT:
            self._written(found)
        elif isinstance(found, FoundBox) and media is MediaType.DOCUMENT:
            self._box(found)
        else:
            self.findings.append(found)

    def _drop(self, label: str, note: str) -> None:
        self.dropped[label] = self.dropped.get(label, 0) + 1
        self.notes[note] = None

    def _answer(self, found: Finding) -> None:
        message_id = getattr(found, "message_id", None)
        if message_id is None:
            self.findings.append(found)
        elif self._row.media_type is not MediaType.CONVERSATION:
            self.notes["The model names messages, but the row is no conversation: its answers are about the row."] = (
                None
            )
            self.findings.append(msgspec.structs.replace(found, message_id=None))
        elif message_id not in self._by_message():
            self._drop(found.label, f"There is no message {_short(message_id)} in the conversation.")
        else:
            self.findings.append(found)

    # -- quoted words -------------------------------------------------------------------------------------------------
    def _quote(self, found: FoundQuote) -> None:
        media = self._row.media_type
        if media is MediaType.CONVERSATION:
            if found.message_id is not None and found.message_id not in self._by_message():
                self._drop(found.label, f"There is no message {_short(found.message_id)} in the conversation.")
                return
            said = [
                (key, first, last)
                for key, text in self._by_message().items()
                if found.message_id in (None, key)
                for first, last in text.places(found.text)
            ]
            place = self._choose(found, said)
            if place is not None:
                self.findings.append(_entity(found, place[1], place[2], place[0]))
        elif media is MediaType.DOCUMENT:
            self._quote_on_pages(found)
        elif media is MediaType.TEXT and self._source.text is not None:
            if self._text is None:
                self._text = Text(self._source.text)
            span = self._choose(found, self._text.places(found.text))
            if span is not None:
                self.findings.append(_entity(found, *span, None))
        else:
            self._drop(found.label, f"The place of a quotation of class {_short(found.label)} is not known.")

    def _choose(self, found: FoundQuote, places: Sequence[_T]) -> _T | None:
        """One of the places where the words stand; a class that quotes the same words again means the next place."""
        if not places:
            self._drop(found.label, f"{_short(found.text)} (class {_short(found.label)}) was not found in the row.")
            return None
        key = _key(found)
        taken = self._taken.setdefault(key, set())
        index = found.occurrence
        if index in taken or not 0 <= index < len(places):
            free = next((each for each in range(len(places)) if each not in taken), None)
            if free is None or (index >= len(places) > 1 and index not in taken):
                much = "once" if len(places) == 1 else f"{len(places)} times"
                self._drop(found.label, f"{_short(found.text)} stands in the row only {much}, the model means another.")
                return None
            index = free
        elif len(places) > 1 and index == 0 and self._said[key] == 1:
            self.notes[f"{_short(found.text)} stands in the row {len(places)} times; the first place was taken."] = None
        taken.add(index)
        return places[index]

    # -- conversations ------------------------------------------------------------------------------------------------
    def _by_message(self) -> dict[str, Text]:
        if self._messages is None:
            self._messages = {message.id: Text(message.text) for message in self._source.messages}
        return self._messages

    def _said_in(self, found: FoundEntity) -> None:
        if found.message_id is not None:
            text = self._by_message().get(found.message_id)
            if text is None:
                self._drop(found.label, f"There is no message {_short(found.message_id)} in the conversation.")
                return
            self._check_end(found, len(text.text), f"message {_short(found.message_id)}")
            self.findings.append(found)
            return
        messages = self._source.messages
        if self._spans is None:
            self._spans = spans(messages)
        self._check_end(found, len(rendered(messages)), "the conversation")
        index = bisect_right(self._spans, (found.start, float("inf"))) - 1
        if index < 0 or not self._spans[index][0] <= found.start <= found.end < self._spans[index][1]:
            self._drop(found.label, f"A span of class {_short(found.label)} is not inside of one message.")
            return
        first = self._spans[index][0]
        self.findings.append(
            msgspec.structs.replace(
                found, start=found.start - first, end=found.end - first, message_id=messages[index].id
            )
        )

    def _check_end(self, found: FoundEntity, length: int, where: str) -> None:
        if not 0 <= found.start <= found.end < length:
            raise MatchError(
                f"The entity of class {_short(found.label)} on data row {self._row.id} goes from character "
                f"{found.start} to {found.end}, but {where} has {length} characters.",
                hint="Ends are inclusive and counted from 0, in characters and not in bytes.",
                data_row_id=self._row.id,
            )

    # -- documents ----------------------------------------------------------------------------------------------------
    def _layered(self, label: str) -> bool:
        if any(page.tokens for page in self._source.pages):
            return True
        self.unlayered = True
        self._drop(
            label, "Entities were left out: the document has no text layer, whose tokens Labelbox needs for them."
        )
        return False

    def _quote_on_pages(self, found: FoundQuote) -> None:
        if not self._layered(found.label):
            return
        if self._pages is None:
            self._pages = {page.number: _Words(page) for page in self._source.pages}
        if found.page is not None and found.page not in self._pages:
            self._drop(found.label, f"The document's text layer has no page {found.page}.")
            return
        places = [
            (number, tokens)
            for number, words in self._pages.items()
            if found.page in (None, number)
            for tokens in words.places(found.text)
        ]
        place = self._choose(found, places)
        if place is not None:
            number, tokens = place
            self._append_tokens(found, [(number, token) for token in tokens])

    def _written(self, found: FoundEntity) -> None:
        if not self._layered(found.label):
            return
        if self._tokens is None:
            pages = self._source.pages
            text, places = written(pages)
            tokens = [token for page in pages for token in page.tokens]
            self._text = Text(text)
            self._tokens = (
                [first for first, _, _ in places],
                [(number, token) for (_, _, number), token in zip(places, tokens, strict=True)],
            )
        assert self._text is not None
        self._check_end(found, len(self._text.text), "the text of the document")
        starts, all_tokens = self._tokens
        chosen = []
        for index in range(max(0, bisect_right(starts, found.start) - 1), len(starts)):
            if starts[index] > found.end:
                break
            number, token = all_tokens[index]
            if starts[index] + len(token.text) > found.start:
                chosen.append((number, token))
        if not chosen:
            self._drop(found.label, f"A span of class {_short(found.label)} holds no word of the document.")
            return
        self._append_tokens(found, chosen)

    def _append_tokens(self, found: FoundQuote | FoundEntity, tokens: Sequence[tuple[int, Token]]) -> None:
        groups: dict[tuple[int, str], list[str]] = {}
        for number, token in tokens:
            groups.setdefault((number, token.group_id), []).append(token.id)
        selections = tuple((number, group, tuple(ids)) for (number, group), ids in groups.items())
        self.findings.append(FoundTokens(found.label, selections, found.confidence, found.answers, found.id))

    def _box(self, found: FoundBox) -> None:
        sizes = self._row.page_sizes
        page = found.page
        if page is None and len(sizes) == 1:
            page = 1
        if page is None or page < 1 or (sizes and page > len(sizes)):
            which = "does not say on which page it is" if page is None else f"is on page {page}"
            count = f"the document has {len(sizes)}" if sizes else "pages are counted from 1"
            raise MatchError(
                f"The box of class {_short(found.label)} on data row {self._row.id} {which}; {count}.",
                hint="Let the model say the page of each box, from 1; the decoder document-pages reads such answers.",
                data_row_id=self._row.id,
            )
        left, top, width, height = found.left, found.top, found.width, found.height
        if sizes:
            right, bottom = min(left + width, sizes[page - 1][0]), min(top + height, sizes[page - 1][1])
            left, top = max(left, 0.0), max(top, 0.0)
            width, height = right - left, bottom - top
            if width < _LEAST or height < _LEAST:
                self._drop(found.label, f"A box of class {_short(found.label)} lies outside of page {page}.")
                return
        self.findings.append(msgspec.structs.replace(found, page=page, left=left, top=top, width=width, height=height))


class _Words:
    """The words of one page, joined to be searched."""

    def __init__(self, page: Page) -> None:
        self._tokens = page.tokens
        self._text = Text(" ".join(token.text for token in page.tokens))
        self._starts: list[int] = []
        at = 0
        for token in page.tokens:
            self._starts.append(at)
            at += len(token.text) + 1

    def places(self, quote: str) -> list[tuple[Token, ...]]:
        """The tokens of each place; one that is quoted in part is meant as a whole."""
        found = []
        for first, last in self._text.places(quote, spaced=False):
            begin = bisect_right(self._starts, first) - 1
            end = bisect_right(self._starts, last)
            found.append(tuple(token for token in self._tokens[begin:end] if token.text.strip()))
        return found


def _entity(found: FoundQuote, start: int, end: int, message_id: str | None) -> FoundEntity:
    return FoundEntity(found.label, start, end, found.confidence, found.answers, found.id, message_id)


def _key(found: FoundQuote) -> tuple[str, ...]:
    return found.label, found.text, found.message_id or "", str(found.page or 0)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:59]}…")
