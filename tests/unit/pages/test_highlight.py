"""Texts with their entities marked: nothing of the text is lost, nothing in it becomes markup."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from vertex_model_inference.annotations import Answer as Option
from vertex_model_inference.annotations import Radio, TextEntity
from vertex_model_inference.pages.highlight import Span, around, highlight, spans_of

ID = "x" * 25


class _Reader(HTMLParser):
    """Text outside of tags for names, and the elements met."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.marked = ""
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "span" not in self._open:
            self.text += data
        if "mark" in self._open:
            self.marked += data


def read(markup: str) -> _Reader:
    reader = _Reader()
    reader.feed(str(markup))  # of a Markup the parser would make pieces that escape what they are joined with
    reader.close()
    return reader


spans = st.builds(
    Span,
    start=st.integers(-3, 40),
    end=st.integers(-3, 45),
    side=st.sampled_from(["prediction", "label"]),
    index=st.integers(0, 5),
    name=st.text(max_size=12),
    confidence=st.none() | st.floats(0, 1),
    verdict=st.sampled_from(["", "right", "missed", "false_alarm"]),
)


@given(st.text(max_size=40).map(lambda text: text.replace("\r", " ").replace("\0", "")), st.lists(spans, max_size=6))
def test_the_text_comes_out_whole_and_marked_where_a_span_is(text: str, given_spans: list[Span]) -> None:
    found = read(highlight(text, given_spans))
    assert found.text == text
    assert {tag for tag, _ in found.elements} <= {"mark", "span"}
    covered = {
        place for one in given_spans for place in range(max(one.start, 0), min(one.end + 1, len(text))) if one.end >= 0
    }
    assert found.marked == "".join(text[place] for place in sorted(covered))


def test_names_confidences_and_verdicts_stand_behind_the_entity() -> None:
    found = highlight(
        "Anna lives in Paris",
        [
            Span(start=0, end=3, side="prediction", index=0, name="PER", confidence=0.912, verdict="right"),
            Span(start=14, end=18, side="label", index=0, name="<LOC>", verdict="missed"),
        ],
    )
    assert found.startswith('<mark class="prediction" data-confidence="0.912" title="predicted PER">Anna</mark>')
    assert "PER 91 % ✓" in found
    assert "&lt;LOC&gt; ✗ missed" in found
    assert "<LOC>" not in found


def test_spans_keep_their_places_among_the_predictions() -> None:
    given_annotations = [
        Radio("q", ID, Option("yes", ID)),
        TextEntity("a", ID, 0, 3, 0.5),
        TextEntity("b", ID, 0, 3, message_id="m1"),
    ]
    (one,) = spans_of(given_annotations, "prediction", verdicts={1: "right"})
    assert (one.index, one.name, one.verdict) == (1, "a", "right")
    (other,) = spans_of(given_annotations, "prediction", message_id="m1")
    assert other.index == 2


@given(st.integers(0, 400), st.integers(1, 30), st.sampled_from(["right", "missed"]))
def test_the_part_of_a_long_text_holds_the_entity(start: int, length: int, verdict: str) -> None:
    text = "word and " * 50
    end = min(start + length, len(text)) - 1
    span = Span(start=min(start, end), end=end, side="label", index=0, name="n", verdict=verdict)
    part, (inside,), before = around(text, [span], 120)
    assert len(part) == 120
    assert text[before : before + 120] == part
    assert part[inside.start : inside.end + 1] == text[span.start : span.end + 1]
    assert around("short", [span], 120)[0] == "short"
