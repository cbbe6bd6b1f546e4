"""A row as a page shows it: its asset, what is drawn over it, answers, and how it ended. Pure but for reading texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from markupsafe import Markup

from vertex_model_inference.annotations import DocumentEntity
from vertex_model_inference.errors import AssetError
from vertex_model_inference.labelbox.conversations import messages_of
from vertex_model_inference.labelbox.text_layers import pages_of as layer_of
from vertex_model_inference.pages.answers import Chip, chips
from vertex_model_inference.pages.asset_source import AssetSource
from vertex_model_inference.pages.highlight import around, highlight, spans_of
from vertex_model_inference.pages.overlay import svg
from vertex_model_inference.pages.row_files import RowFacts
from vertex_model_inference.pages.shapes import MASK_SIDE, Drawing, draw, frames_of, pages_of
from vertex_model_inference.pages.verdicts import Verdicts, verdicts_of
from vertex_model_inference.rows import MediaType
from vertex_model_inference.sources import Token
from vertex_model_inference.steps.texts import visible_text

__all__ = ["Passage", "RowView", "view_of"]

_CARD_CHARACTERS = 420
_CARD_MASK_SIDE = 160
_PAGE_CHARACTERS = 200_000
_MOST_MESSAGES = 500
_PICTURES = (MediaType.IMAGE, MediaType.DOCUMENT, MediaType.VIDEO)


class Passage(msgspec.Struct, frozen=True):
    """A text, or a message of a conversation: who wrote it (or nobody), and its safe HTML."""

    author: str
    html: Markup
    cut: bool = False


class RowView(msgspec.Struct, frozen=True, kw_only=True):
    """A row to show.

    Attributes:
        facts: What the run knows of it.
        title: Its global key, or its id.
        picture: The asset is shown as a picture; else ``passages``, or nothing because of ``problem``.
        width, height: Of what is drawn on, in the units of the annotations; None: not known before it is read.
        overlay: The drawing, for ``picture``.
        small: So small that its pixels are to be seen.
        page, frame: Which one is shown; of ``pages`` and ``frames`` (those with something on them).
        chips: Answers. ``more_chips``: left out.
        undrawn: Why something is not shown -> how many.
        tally: right, wrong, extra, missed: how many; empty where the row was not judged.
        confidences: Of the judged predictions, right or not, for scripts: ``"0.93 1 0.41 0"``. ``labels``: how many.
    """

    facts: RowFacts
    title: str
    picture: bool = False
    passages: tuple[Passage, ...] = ()
    problem: str = ""
    width: float | None = None
    height: float | None = None
    overlay: Markup | None = None
    small: bool = False
    page: int | None = None
    frame: int | None = None
    pages: int = 0
    frames: tuple[int, ...] = ()
    chips: tuple[Chip, ...] = ()
    more_chips: int = 0
    undrawn: Mapping[str, int] = {}
    tally: Mapping[str, int] = {}
    confidences: str = ""
    labels: int = 0


def view_of(
    facts: RowFacts,
    source: AssetSource,
    *,
    card: bool,
    page: int | None = None,
    frame: int | None = None,
    size: Callable[[], tuple[float, float]] | None = None,
) -> RowView:
    """How a row is shown.

    Args:
        facts: What the run knows of it.
        source: For texts and text layers.
        card: One of many, so small and quick.
        page: Of a document, from 1; None: the first with something on it.
        frame: Of a video, from 1; None: the first with something in it.
        size: Finds the size of a picture out where the run does not know it.
    """
    verdicts = verdicts_of(facts.agreement)
    said, more_said = chips(facts.predictions, "prediction", verdicts=verdicts.predictions.answers)
    meant, more_meant = chips(facts.labels or (), "label", verdicts=verdicts.labels.answers)
    made: dict[str, Any] = {
        "facts": facts,
        "title": facts.row.global_key or facts.row.external_id or facts.row.id,
        "chips": (*meant, *said),
        "more_chips": more_said + more_meant,
        **_judged(facts),
    }
    undrawn: Counter[str] = Counter(facts.unread)
    try:
        if facts.staged is None and facts.outcome is not None and facts.outcome.step in ("export", "assets"):
            made["problem"] = "The run itself could not read this asset."
        elif facts.row.media_type in _PICTURES:
            made |= _pictured(facts, source, verdicts, undrawn, card=card, page=page, frame=frame, size=size)
        elif facts.row.media_type in (MediaType.TEXT, MediaType.HTML, MediaType.CONVERSATION):
            made["passages"] = _read(facts, source, verdicts, card=card)
        else:
            made["problem"] = f"A row of {facts.row.media_type.value.replace('_', ' ')} has no picture to show here."
    except AssetError as error:
        made["problem"] = error.message
    return RowView(**made, undrawn=dict(undrawn))


def _judged(facts: RowFacts) -> dict[str, Any]:
    agreement = facts.agreement
    if agreement is None:
        return {}
    said = Counter(each.verdict.value for each in agreement.predictions)
    meant = Counter(each.verdict.value for each in agreement.labels)
    judged = [each for each in agreement.predictions if each.verdict.value != "open"]
    return {
        "tally": {
            "right": said["right"],
            "wrong": said["confused"],
            "extra": said["false_alarm"],
            "missed": meant["missed"],
        },
        "confidences": " ".join(
            f"{1.0 if each.confidence is None else each.confidence:.6g} {int(each.verdict.value == 'right')}"
            for each in judged
        ),
        "labels": len(agreement.labels),
    }


def _pictured(
    facts: RowFacts,
    source: AssetSource,
    verdicts: Verdicts,
    undrawn: Counter[str],
    *,
    card: bool,
    page: int | None,
    frame: int | None,
    size: Callable[[], tuple[float, float]] | None,
) -> dict[str, Any]:
    row, staged = facts.row, facts.staged
    everything = (*facts.predictions, *(facts.labels or ()))
    width: float | None
    height: float | None
    width, height = (staged.width, staged.height) if staged is not None and staged.width else (row.width, row.height)
    made: dict[str, Any] = {"picture": True}
    tokens: dict[str, Token] = {}
    if row.media_type is MediaType.DOCUMENT:
        sizes = (staged.page_sizes if staged is not None else ()) or row.page_sizes
        page = page or next(iter(pages_of(everything)), 1)
        made |= {"page": page, "pages": max(len(sizes), page, *pages_of(everything), 1)}
        width, height = sizes[page - 1] if 0 < page <= len(sizes) else (None, None)
        if any(isinstance(each, DocumentEntity) for each in everything):
            tokens = _tokens(facts, source, sizes)
    elif row.media_type is MediaType.VIDEO:
        frames = frames_of(everything)
        frame = frame or (frames[len(frames) // 3] if frames else 1)
        made |= {"frame": frame, "frames": frames}
    if not (width and height) and size is not None:
        width, height = size()
    if width and height:
        side = _CARD_MASK_SIDE if card else MASK_SIDE
        of: dict[str, Any] = {"page": page, "frame": frame, "tokens": tokens, "mask_side": side}
        drawing: Drawing = draw(facts.labels or (), "label", verdicts=verdicts.labels.objects, **of)
        drawing += draw(facts.predictions, "prediction", verdicts=verdicts.predictions.objects, **of)
        undrawn.update(drawing.undrawn)
        made |= {
            "width": width,
            "height": height,
            "small": max(width, height) <= 128,
            # In a card of a few centimetres captions hide more than they tell.
            "overlay": svg(drawing, width, height, captions=not card, about=made.get("title", ""))
            if drawing.shapes
            else None,
        }
    return made


def _tokens(facts: RowFacts, source: AssetSource, sizes: tuple[tuple[float, float], ...]) -> dict[str, Token]:
    try:
        data = source.text_layer(facts)
        pages = () if data is None else layer_of(data, facts.row.id, sizes)
    except AssetError:
        return {}  # then the drawing says that the words' places are not known
    return {token.id: token for page in pages for token in page.tokens}


def _read(facts: RowFacts, source: AssetSource, verdicts: Verdicts, *, card: bool) -> tuple[Passage, ...]:
    data = source.text(facts)
    most = _CARD_CHARACTERS if card else _PAGE_CHARACTERS
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise AssetError("The text is not UTF-8.", code="asset_corrupt") from None
    if facts.row.media_type is MediaType.CONVERSATION:
        messages = messages_of(text, facts.row.id)
        shown = messages[: 4 if card else _MOST_MESSAGES]
        passages = [
            Passage(message.author, *_marked(message.text, facts, verdicts, most // (3 if card else 1), message.id))
            for message in shown
        ]
        if len(messages) > len(shown):
            passages.append(Passage("", Markup("… {} more messages").format(len(messages) - len(shown))))
        return tuple(passages)
    if facts.row.media_type is MediaType.HTML:
        text = visible_text(text)
    return (Passage("", *_marked(text, facts, verdicts, most, None)),)


def _marked(text: str, facts: RowFacts, verdicts: Verdicts, most: int, message_id: str | None) -> tuple[Markup, bool]:
    spans = (
        *spans_of(facts.labels or (), "label", verdicts=verdicts.labels.objects, message_id=message_id),
        *spans_of(facts.predictions, "prediction", verdicts=verdicts.predictions.objects, message_id=message_id),
    )
    part, inside, _ = around(text, spans, most)
    return highlight(part, inside), len(part) < len(text)
