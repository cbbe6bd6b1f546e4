"""A text with its entities marked. Pure: whatever is in the text or in a name comes out as text."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import msgspec
from markupsafe import Markup

from vertex_model_inference.annotations import TextEntity
from vertex_model_inference.pages.shapes import Side
from vertex_model_inference.pages.words import confidence as percent
from vertex_model_inference.pages.words import shortened

__all__ = ["Span", "around", "highlight", "spans_of"]

_NAME_CHARACTERS = 32
_MARKS = {"right": " ✓", "confused": " ✗ wrong class", "false_alarm": " ✗ nothing there", "missed": " ✗ missed"}


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Some characters of a text.

    Attributes:
        start: First character, from 0, in Unicode code points. ``end``: last character, inclusive.
        side: Whether it was predicted or labelled.
        index: Place among the row's predictions (labels), from 0, as in ``agreement/``.
        name: Of the tool. ``confidence``: 0..1, or None.
        verdict: As of ``agreement.py``; empty where the row was not judged.
    """

    start: int
    end: int
    side: Side
    index: int
    name: str
    confidence: float | None = None
    verdict: str = ""


def spans_of(
    annotations: Sequence[object],
    side: Side,
    *,
    verdicts: Mapping[int, str] | None = None,
    message_id: str | None = None,
) -> tuple[Span, ...]:
    """The spans among some annotations.

    Args:
        annotations: Of one row; all but text entities are passed over, but keep their places.
        side: Which of the two they are.
        verdicts: Place -> what it turned out to be.
        message_id: Of a conversation: only spans in that message; None: only those of the asset itself.
    """
    return tuple(
        Span(
            start=each.start,
            end=each.end,
            side=side,
            index=index,
            name=each.name,
            confidence=each.confidence,
            verdict=(verdicts or {}).get(index, ""),
        )
        for index, each in enumerate(annotations)
        if isinstance(each, TextEntity) and each.message_id == message_id
    )


def around(text: str, spans: Sequence[Span], most: int) -> tuple[str, tuple[Span, ...], int]:
    """The part of a long text that holds the most telling spans: wrong ones first.

    Args:
        text: The whole text. ``spans``: in it.
        most: Characters to keep.

    Returns:
        The part, the spans that lie in it counted from its beginning, and the number of characters before it.
    """
    if len(text) <= most:
        return text, tuple(spans), 0
    wrong = [one for one in spans if one.verdict in ("confused", "false_alarm", "missed")] or list(spans)
    first = min((one.start for one in wrong), default=0)
    last = len(text) - most
    begin = max(0, min(first - most // 5, last))
    while 0 < begin < min(first, last) and not text[begin - 1].isspace():
        begin += 1
    inside = tuple(
        msgspec.structs.replace(one, start=max(one.start - begin, 0), end=min(one.end - begin, most - 1))
        for one in spans
        if one.end >= begin and one.start < begin + most
    )
    return text[begin : begin + most], inside, begin


def highlight(text: str, spans: Sequence[Span], *, marks: bool = True) -> Markup:
    """The text as safe HTML: each entity in ``<mark>``, with its name, confidence and verdict behind its end.

    Entities may overlap: the text is cut at the ends of all of them, and each piece carries the classes of what covers
    it. A piece has ``data-confidence``, the highest of the predictions over it; a name has that of its own prediction.

    Args:
        text: Untrusted.
        spans: In it; parts outside of the text are left out.
        marks: Say what is right and what is wrong.
    """
    within = [one for one in spans if one.end >= one.start and one.start < len(text) and one.end >= 0]
    cuts = sorted(
        {0, len(text), *(max(one.start, 0) for one in within), *(min(one.end + 1, len(text)) for one in within)}
    )
    parts: list[Markup] = []
    for first, beyond in itertools.pairwise(cuts):
        over = [one for one in within if one.start <= first and beyond <= one.end + 1]
        parts.append(_piece(text[first:beyond], over))
        ending = [one for one in over if min(one.end + 1, len(text)) == beyond]
        parts += [_tag(one, marks=marks) for one in sorted(ending, key=lambda one: (one.side, one.index))]
    return Markup("").join(parts)


def _piece(text: str, over: Sequence[Span]) -> Markup:
    if not over:
        return Markup("{}").format(text)
    sides = sorted({one.side for one in over})
    predicted = [1.0 if one.confidence is None else one.confidence for one in over if one.side == "prediction"]
    certain = Markup(' data-confidence="{:.6g}"').format(max(predicted)) if predicted else ""
    title = ", ".join(f"{_kind(one)} {one.name}" for one in over)
    return Markup('<mark class="{}"{} title="{}">{}</mark>').format(" ".join(sides), certain, title, text)


def _tag(one: Span, *, marks: bool) -> Markup:
    words = " ".join(filter(None, (shortened(one.name, _NAME_CHARACTERS), percent(one.confidence))))
    certain = ""
    if one.side == "prediction":
        certain = Markup(' data-confidence="{:.6g}"').format(1.0 if one.confidence is None else one.confidence)
    wrong = " wrong" if one.verdict in ("confused", "false_alarm", "missed") else ""
    return Markup(
        '<span class="tag {}{}" data-side="{}" data-index="{}" data-name="{}" data-verdict="{}"{}>'
        '<span class="hide">{} </span>{}{}</span>'
    ).format(
        one.side,
        wrong,
        one.side,
        one.index,
        one.name,
        one.verdict,
        certain,
        _kind(one),
        words,
        _MARKS.get(one.verdict, "") if marks else "",
    )


def _kind(one: Span) -> str:
    return "predicted" if one.side == "prediction" else "labelled"
