"""Quoted words are found where they stand, in characters of the text as it is stored."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vertex_model_inference.steps.locate import Text

TEXT = "Zu\u0308rich 👩‍👩‍👧 lies\r\nin  Switzerland, party art, Straße “x”"


def found(text: str, quote: str, *, spaced: bool = True) -> list[str]:
    return [text[start : end + 1] for start, end in Text(text).places(quote, spaced=spaced)]


@pytest.mark.parametrize(
    ("quote", "places"),
    [
        ("Zu\u0308rich", ["Zu\u0308rich"]),
        ("Z\u00fcrich", ["Zu\u0308rich"]),  # composed
        ("ZÜRICH", ["Zu\u0308rich"]),
        ("👩‍👩‍👧", ["👩‍👩‍👧"]),
        ("lies in Switzerland", ["lies\r\nin  Switzerland"]),
        ("  lies\nin\tswitzerland  ", ["lies\r\nin  Switzerland"]),
        ("art", ["art"]),  # the word, not the middle of another
        ("arty", ["arty"]),  # inside of a word where it is nowhere else
        ("strasse", ["Straße"]),
        ('"X"', ["“x”"]),
        ("ss", ["ß"]),
        ("Bern", []),
        ("", []),
        ("   \n", []),
    ],
)
def test_places(quote: str, places: list[str]) -> None:
    assert found(TEXT, quote) == places


def test_folding_cuts_no_character() -> None:
    assert found("Maße", "s") == []  # half of a sharp s
    assert found("cafe\u0301", "CAFE") == []  # the accent belongs to the last letter
    assert found("cafe\u0301", "CAFÉ") == ["cafe\u0301"]
    assert found("xa\u0301\u0323y", "XA\u0323\u0301Y") == ["xa\u0301\u0323y"]  # marks in another order


def test_several_places_do_not_overlap() -> None:
    assert Text("aaaaa").places("aa") == [(0, 1), (2, 3)]
    assert Text("a b a").places("A") == [(0, 0), (4, 4)]
    assert Text("A b a").places("a") == [(4, 4)]  # exact places before others


def test_words_of_scripts_without_spaces() -> None:
    assert Text("日 本 語").places("日本語") == []
    assert Text("日 本 語").places("日本語", spaced=False) == [(0, 4)]


def test_what_shows_nothing_is_left_aside() -> None:
    assert found("Donau\u00addampf\u200bschiff", "donaudampfschiff") == ["Donau\u00addampf\u200bschiff"]


texts = st.text(st.sampled_from("aAbßéÉe\u0301\u0323 \r\n\t👩\u200d“x\u00adǅİ각ᄀ"), max_size=40) | st.text(max_size=40)


@settings(deadline=None)
@given(text=texts, data=st.data())
def test_any_substring_is_found_as_it_is(text: str, data: st.DataObject) -> None:
    if not text:
        return
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start, len(text) - 1))
    wanted = text[start : end + 1]
    places = Text(text).places(wanted)
    assert places
    assert all(text[first : last + 1] == wanted for first, last in places)
    assert all(one[1] < other[0] for one, other in pairwise(places))


@settings(deadline=None)
@given(
    words=st.lists(st.text(st.sampled_from("abcdéüñ"), min_size=1, max_size=6), min_size=1, max_size=6), data=st.data()
)
def test_a_quotation_that_was_changed_is_found(words: list[str], data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([" ", "\r\n", "\t  "])).join(words)
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    quote = unicodedata.normalize(data.draw(st.sampled_from(["NFC", "NFD"])), " ".join(words[first : last + 1]))
    quote = data.draw(st.sampled_from([quote, quote.upper(), quote.title()]))
    places = Text(text).places(quote)
    assert places
    for start, end in places:
        same = unicodedata.normalize("NFC", " ".join(text[start : end + 1].split()).lower())
        assert same == unicodedata.normalize("NFC", quote.lower())
