"""Where quoted words stand in a text. Pure.

Characters are Unicode code points, counted from 0 in the text as it is stored: nothing of it is normalised, so that
line ends (CRLF too), combining marks and emoji count as Labelbox counts them. First the words are looked for as they
are; then with differences left aside that a model makes when it quotes: upper and lower case, composed or decomposed
accents, the length and kind of white space, typographic quotation marks and dashes. Such a place is found in a folded
copy of the text, each of whose characters knows the one that it came from. Both take time linear in the text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

__all__ = ["Text"]

_PLAIN = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"')
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-")
    | dict.fromkeys("\u00ad\u200b\u2060\ufeff", None)
)
"""Typographic marks -> what is typed for them; characters that show nothing -> nothing."""


class Text:
    """A text to find places in; its folded copies are made when they are first needed.

    Args:
        text: As it is stored.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._folded: dict[bool, tuple[str, list[int]]] = {}

    def places(self, quote: str, *, spaced: bool = True) -> list[tuple[int, int]]:
        """Where the words stand, from left to right, not overlapping.

        Places where they stand as whole words are preferred to those inside of longer ones, and exact places to those
        that differ in the ways told above: only the places of the best kind are returned.

        Args:
            quote: The words.
            spaced: White space counts; else the words are also found where it is missing or where there is more of it.

        Returns:
            First and last character of each place, both inclusive. Empty: they stand nowhere, or there are no words.
        """
        if not quote:
            return []
        exact = list(_found(self.text, quote))
        if exact:
            return [(start, end) for start, end in _whole(self.text, exact)]
        found = self._places(quote, spaced=True)
        return found if found or spaced else self._places(quote, spaced=False)

    def _places(self, quote: str, *, spaced: bool) -> list[tuple[int, int]]:
        wanted = _fold(quote, spaced=spaced)[0].strip()
        if not wanted:
            return []
        folded = self._folded.get(spaced)
        if folded is None:
            folded = self._folded[spaced] = _fold(self.text, spaced=spaced)
        text, origins = folded
        found = [place for place in _found(text, wanted) if _uncut(text, origins, *place)]
        return [(origins[start], _last(self.text, origins[end])) for start, end in _whole(text, found)]


def _found(text: str, wanted: str) -> Iterator[tuple[int, int]]:
    at = text.find(wanted)
    while at >= 0:
        yield at, at + len(wanted) - 1
        at = text.find(wanted, at + len(wanted))


def _whole(text: str, places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those places that cut no word, or all of them if each does."""
    whole = [
        (start, end)
        for start, end in places
        if not (start > 0 and _wordy(text[start - 1]) and _wordy(text[start]))
        and not (end + 1 < len(text) and _wordy(text[end + 1]) and _wordy(text[end]))
    ]
    return whole or places


def _wordy(character: str) -> bool:
    return character.isalnum() or unicodedata.combining(character) > 0


def _uncut(text: str, origins: list[int], start: int, end: int) -> bool:
    """Whether a place in a folded text begins and ends between characters of the text itself."""
    if start > 0 and origins[start - 1] == origins[start]:
        return False
    if end + 1 == len(text):
        return True
    return origins[end + 1] != origins[end] and not unicodedata.combining(text[end + 1])


def _last(text: str, last: int) -> int:
    """The last character of what is seen as one: canonical order may have put its last mark before another."""
    while last + 1 < len(text) and unicodedata.combining(text[last + 1]):
        last += 1
    return last


def _fold(text: str, *, spaced: bool) -> tuple[str, list[int]]:
    """The text with what may differ made equal, and for each of its characters the index of the one it came from."""
    out: list[str] = []
    origins: list[int] = []
    marks: list[tuple[int, str, int]] = []  # combining class, mark, origin: put in canonical order as NFD demands
    for index, character in enumerate(text):
        if character.isascii():
            pieces = character.lower()
        else:
            plain = unicodedata.normalize("NFD", character.translate(_PLAIN))
            pieces = unicodedata.normalize("NFD", plain.casefold())
        for piece in pieces:
            order = unicodedata.combining(piece)
            if order:
                marks.append((order, piece, index))
                continue
            _flush(marks, out, origins)
            if piece.isspace():
                if spaced and (not out or out[-1] != " "):
                    out.append(" ")
                    origins.append(index)
                continue
            out.append(piece)
            origins.append(index)
    _flush(marks, out, origins)
    return "".join(out), origins


def _flush(marks: list[tuple[int, str, int]], out: list[str], origins: list[int]) -> None:
    if marks:
        marks.sort(key=lambda mark: mark[0])
        for _, mark, origin in marks:
            out.append(mark)
            origins.append(origin)
        marks.clear()
