"""Findings get places that Labelbox can take, are counted as left out, or fail their row; never anything else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vertex_model_inference.errors import MatchError
from vertex_model_inference.findings import (
    Finding,
    FoundBox,
    FoundEntity,
    FoundLabel,
    FoundPolygon,
    FoundQuote,
    FoundRelation,
    FoundText,
    FoundTokens,
)
from vertex_model_inference.labelbox.conversations import rendered
from vertex_model_inference.labelbox.text_layers import written
from vertex_model_inference.rows import DataRow, MediaType
from vertex_model_inference.sources import Message, Page, Source, Token
from vertex_model_inference.steps.place import needs_placing, needs_source, place

MESSAGES = (Message("m1", "Meet Ada in London, 👋 London!", "Bo"), Message("m2", "London?\r\nYes", ""))
TALK = Source(text=rendered(MESSAGES), messages=MESSAGES)


def token(number: int, group: str, text: str) -> Token:
    return Token(f"{group}-{number}", group, text, 0, 0, 10, 10)


LAYER = (
    Page(1, 600, 800, (token(1, "g", "Ada"), token(2, "g", "Love-"), token(1, "h", "lace"), token(2, "h", "wrote."))),
    Page(2, 600, 800, (token(1, "k", "Ada"), token(2, "k", "again"))),
)
PAPER = Source(pages=LAYER)


def row(media: MediaType, **more: Any) -> DataRow:
    return DataRow(id="cm0datarow000000000000001", row_data="https://x/y", media_type=media, **more)


CONVERSATION, TEXT = row(MediaType.CONVERSATION), row(MediaType.TEXT)
DOCUMENT = row(MediaType.DOCUMENT, page_sizes=((600.0, 800.0), (300.0, 400.0)))


def test_quotations_in_a_text_become_spans() -> None:
    source = Source(text="Ada met Ada.\r\nBo met ada.")
    one = place([FoundQuote("who", "Bo", 0.5, id="x")], TEXT, source)
    assert one == ((FoundEntity("who", 14, 15, 0.5, id="x"),), {}, ())
    twice = place([FoundQuote("who", "Ada"), FoundQuote("who", "Ada")], TEXT, source)
    assert [(e.start, e.end) for e in twice.findings if isinstance(e, FoundEntity)] == [(0, 2), (8, 10)]
    assert twice.notes == ()
    thrice = place([FoundQuote("who", "Ada")] * 3, TEXT, source)
    assert (len(thrice.findings), thrice.dropped) == (2, {"who": 1})
    (first,) = place([FoundQuote("who", "Ada")], TEXT, source).notes
    assert "stands in the row 2 times; the first" in first
    second = place([FoundQuote("who", "Ada", occurrence=1)], TEXT, source)
    assert second == ((FoundEntity("who", 8, 10),), {}, ())
    beyond = place([FoundQuote("who", "Ada", occurrence=5)], TEXT, source)
    assert (beyond.findings, beyond.dropped) == ((), {"who": 1})
    only = place([FoundQuote("who", "Bo", occurrence=1)], TEXT, source)  # there is one place it can be
    assert only.findings == (FoundEntity("who", 14, 15),)
    missing = place([FoundQuote("who", "Eve")], TEXT, source)
    assert (missing.findings, missing.dropped) == ((), {"who": 1})
    assert "'Eve'" in missing.notes[0]


def test_places_in_a_conversation_are_in_one_message() -> None:
    said = place([FoundQuote("city", "London", message_id="m2")], CONVERSATION, TALK)
    assert said.findings == (FoundEntity("city", 0, 5, message_id="m2"),)
    third = place([FoundQuote("city", "London", occurrence=2)], CONVERSATION, TALK)
    assert third.findings == (FoundEntity("city", 0, 5, message_id="m2"),)
    start = (TALK.text or "").index("👋")
    (wave,) = place([FoundEntity("wave", start, start)], CONVERSATION, TALK).findings
    assert wave == FoundEntity("wave", MESSAGES[0].text.index("👋"), MESSAGES[0].text.index("👋"), message_id="m1")
    author = place([FoundEntity("x", 0, 5)], CONVERSATION, TALK)  # "Bo: Me"
    assert (author.findings, author.dropped) == ((), {"x": 1})
    across = place([FoundEntity("x", start, len(TALK.text or "") - 1)], CONVERSATION, TALK)
    assert across.dropped == {"x": 1}
    with pytest.raises(MatchError, match="'m2' has 12 characters"):
        place([FoundEntity("x", 0, 12, message_id="m2")], CONVERSATION, TALK)
    nobody: list[Finding] = [FoundEntity("x", 0, 1, message_id="m9"), FoundQuote("y", "London", message_id="m9")]
    gone = place([*nobody, FoundLabel("z", message_id="m9"), FoundText("t", "a", message_id="m9")], CONVERSATION, TALK)
    assert gone.dropped == {"x": 1, "y": 1, "z": 1, "t": 1}
    kept = place([FoundLabel("z", message_id="m2"), FoundText("t", "a")], CONVERSATION, TALK)
    assert kept.findings == (FoundLabel("z", message_id="m2"), FoundText("t", "a"))


def test_words_of_a_document_are_named_by_its_tokens() -> None:
    quote = FoundQuote("name", "ada love-lace", 0.5, id="x")  # over a line end, in another case
    (words,) = place([quote], DOCUMENT, PAPER).findings
    assert words == FoundTokens("name", ((1, "g", ("g-1", "g-2")), (1, "h", ("h-1",))), 0.5, id="x")
    (part,) = place([FoundQuote("verb", "wrote")], DOCUMENT, PAPER).findings
    assert part == FoundTokens("verb", ((1, "h", ("h-2",)),))
    (later,) = place([FoundQuote("name", "Ada", page=2)], DOCUMENT, PAPER).findings
    assert later == FoundTokens("name", ((2, "k", ("k-1",)),))
    assert place([FoundQuote("name", "Ada", page=3)], DOCUMENT, PAPER).dropped == {"name": 1}
    text, _ = written(LAYER)
    assert text == "Ada Love-\nlace wrote.\fAda again"
    start = text.index("lace")
    (span,) = place([FoundEntity("name", start - 2, start + 5)], DOCUMENT, PAPER).findings
    assert span == FoundTokens("name", ((1, "g", ("g-2",)), (1, "h", ("h-1", "h-2"))))
    with pytest.raises(MatchError, match="characters"):
        place([FoundEntity("name", 0, len(text))], DOCUMENT, PAPER)
    gap = text.index("\f")
    assert place([FoundEntity("name", gap, gap)], DOCUMENT, PAPER).dropped == {"name": 1}


def test_without_a_text_layer_boxes_work_and_entities_are_named() -> None:
    box = FoundBox("table", 10, 20, 30, 40, page=2)
    placed = place([FoundQuote("name", "Ada"), box], DOCUMENT, Source())
    assert (placed.findings, placed.dropped) == ((box,), {"name": 1})
    assert "text layer" in placed.notes[0]
    with pytest.raises(MatchError, match="text layer") as caught:
        place([FoundQuote("name", "Ada"), FoundEntity("name", 0, 1)], DOCUMENT, Source())
    assert caught.value.error_code == "match_text_layer"


def test_boxes_stay_on_their_page() -> None:
    (cut,) = place([FoundBox("table", -5, 300, 400, 200, 0.5, page=2)], DOCUMENT, None).findings
    assert cut == FoundBox("table", 0, 300, 300, 100, 0.5, page=2)
    assert place([FoundBox("table", 290, 390, 0.001, 5, page=2)], DOCUMENT, None).dropped == {"table": 1}
    single = row(MediaType.DOCUMENT, page_sizes=((600.0, 800.0),))
    (first,) = place([FoundBox("table", 1, 2, 3, 4)], single, None).findings
    assert isinstance(first, FoundBox)
    assert first.page == 1
    for page, why in ((None, "does not say"), (0, "page 0"), (3, "the document has 2")):
        with pytest.raises(MatchError, match=why):
            place([FoundBox("table", 1, 2, 3, 4, page=page)], DOCUMENT, None)


@pytest.mark.parametrize(
    ("media", "left_out"),
    [
        (MediaType.TEXT, {"box", "poly"}),
        (MediaType.HTML, {"box", "poly", "span", "quote"}),
        (MediaType.AUDIO, {"box", "poly", "span", "quote"}),
        (MediaType.TILED_IMAGE, {"box", "poly", "span", "quote"}),
        (MediaType.IMAGE, {"span", "quote"}),
        (MediaType.UNKNOWN, {"quote"}),
    ],
)
def test_what_a_medium_does_not_have_is_left_out_by_name(media: MediaType, left_out: set[str]) -> None:
    found: list[Finding] = [
        FoundBox("box", 1, 2, 3, 4),
        FoundPolygon("poly", ((0, 0), (1, 0), (1, 1))),
        FoundEntity("span", 0, 1),
        FoundQuote("quote", "ab"),
        FoundLabel("class"),
        FoundText("caption", "x"),
        FoundRelation("with", "a", "b"),
    ]
    assert needs_placing(found, row(media))
    placed = place(found, row(media), Source(text="ab") if media is MediaType.TEXT else None)
    assert set(placed.dropped) == left_out
    assert {each.label for each in placed.findings} == {each.label for each in found} - left_out
    assert len(placed.notes) >= len(left_out)


def test_pictures_need_nothing() -> None:
    boxes = [FoundBox("box", 1, 2, 3, 4)] * 3
    assert not needs_placing(boxes, row(MediaType.IMAGE))
    assert not needs_source(boxes, row(MediaType.IMAGE))
    assert not needs_source([FoundEntity("x", 0, 1)], TEXT)
    assert needs_source([FoundQuote("x", "y")], TEXT)
    assert not needs_source([FoundLabel("x")], CONVERSATION)
    assert needs_source([FoundLabel("x", message_id="m1")], CONVERSATION)


labels = st.sampled_from("abc")
messages = st.sampled_from([None, "m1", "m2", "m9"])
numbers = st.integers(-2, 60)
findings = st.lists(
    st.builds(FoundQuote, labels, st.sampled_from(["London", "ada", "Yes", "", "zzz"]), message_id=messages,
              page=st.sampled_from([None, 1, 2, 9]), occurrence=st.integers(-1, 3))
    | st.builds(FoundEntity, labels, numbers, numbers, message_id=messages)
    | st.builds(FoundBox, labels, st.floats(-10, 900), st.floats(-10, 900), st.floats(0, 900), st.floats(0, 900),
                page=st.sampled_from([None, 0, 1, 2, 3]))
    | st.builds(FoundLabel, labels, message_id=messages)
    | st.builds(FoundText, labels, st.just("x"), message_id=messages)
    | st.builds(FoundTokens, labels, st.just(((1, "g", ("g-1",)),))),
    max_size=6,
)  # fmt: skip


@settings(deadline=None)
@given(found=findings, media=st.sampled_from(list(MediaType)))
def test_each_finding_is_placed_or_counted_or_fails_the_row(found: list[Finding], media: MediaType) -> None:
    of = DOCUMENT if media is MediaType.DOCUMENT else row(media)
    source = {MediaType.CONVERSATION: TALK, MediaType.DOCUMENT: PAPER}.get(media, Source(text="London ada Yes"))
    try:
        placed = place(found, of, source)
    except MatchError:
        return
    assert len(placed.findings) + sum(placed.dropped.values()) == len(found)
    assert bool(placed.dropped) <= bool(placed.notes)
    assert not any(isinstance(each, FoundQuote) for each in placed.findings)
    for each in placed.findings:
        if isinstance(each, FoundEntity) and each.message_id is not None and media is MediaType.CONVERSATION:
            text = next(message.text for message in MESSAGES if message.id == each.message_id)
            assert 0 <= each.start <= each.end < len(text)
