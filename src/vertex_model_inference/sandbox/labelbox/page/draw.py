"""Annotations in export form as things that a page can show: shapes, chips and highlighted text. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from vertex_model_inference.sandbox.labelbox.page.annotated import Annotated, Json
from vertex_model_inference.sandbox.labelbox.page.chips import Chip, chips_of, short
from vertex_model_inference.sandbox.labelbox.page.highlight import Segment, Span, highlight, span_of
from vertex_model_inference.sandbox.labelbox.page.shapes import Document, Shape, arrow, shapes_of
from vertex_model_inference.sandbox.labelbox.page.talk import Message, Said

__all__ = ["MOST_CHIPS", "MOST_SHAPES", "Drawing", "Relation", "draw"]

#: Bounds of one data row's part of a page.
MOST_SHAPES = 200
MOST_CHIPS = 60


class Relation(msgspec.Struct, frozen=True):
    """A relationship in words: its name, and the names of the annotations at its ends."""

    source: str
    name: str
    start: str
    end: str


class Drawing(msgspec.Struct, frozen=True):
    """What to show for a row; ``undrawn`` counts what this page cannot draw, by kind, and what is over the bounds."""

    shapes: list[Shape]
    chips: list[Chip]
    segments: list[Segment]
    undrawn: dict[str, int]
    messages: list[Message] = []
    relations: list[Relation] = []

    @property
    def counts(self) -> dict[str, int]:
        """Objects drawn, by source."""
        return Counter(shape.source for shape in self.shapes if not shape.part and shape.form != "arrow")


def draw(
    annotated: Iterable[Annotated],
    text: str | None = None,
    *,
    document: Document | None = None,
    said: Sequence[Said] = (),
) -> Drawing:
    """Put the annotations of a row together for showing.

    Args:
        annotated: Labels and predictions.
        text: The row's text (or its beginning) when it is one.
        document: Its pages, when it is a PDF.
        said: Its messages, when it is a conversation.
    """
    shapes: list[Shape] = []
    chips: list[Chip] = []
    spans: dict[str | None, list[Span]] = {message.id: [] for message in said}
    if text is not None:
        spans[None] = []
    of_message: dict[str, list[Chip]] = {message.id: [] for message in said}
    relations: list[Relation] = []
    undrawn: Counter[str] = Counter()
    for side in annotated:
        drawn: dict[str, Shape] = {}
        names: dict[str, str] = {}
        for item in side.objects:
            own, span = shapes_of(item, side.source, document), span_of(item, side.source)
            feature_id = str(item.get("feature_id"))
            names[feature_id] = short(item.get("name"))
            if own:
                shapes += own
                drawn[feature_id] = own[0]
            elif span is not None and span[0] in spans:
                spans[span[0]].append(span[1])
            else:
                undrawn[str(item.get("annotation_kind") or "annotation")] += 1
            for question in item.get("classifications") or ():
                chips.extend(chips_of(question, side.source, str(item.get("name"))))
        for item in side.classifications:
            of_message.get(str(item.get("message_id")), chips).extend(chips_of(item, side.source))
        for item in side.relationships:
            relation, line = _relation(item, side.source, names, drawn)
            relations.append(relation)
            if line is not None:
                shapes.append(line)
        if side.others:
            undrawn["other annotation"] += side.others
    if len(shapes) > MOST_SHAPES:
        undrawn["shape over the bound of this page"] += len(shapes) - MOST_SHAPES
    if len(chips) > MOST_CHIPS:
        undrawn["answer over the bound of this page"] += len(chips) - MOST_CHIPS
    # Large shapes first, so that small ones stay reachable on top of them.
    shapes = sorted(shapes[:MOST_SHAPES], key=lambda shape: -(shape.box[2] * shape.box[3]) if shape.box else -1e18)
    return Drawing(
        shapes,
        chips[:MOST_CHIPS],
        highlight(text, spans[None]) if text is not None else [],
        dict(undrawn),
        [
            Message(one.author, one.right, highlight(one.text, spans[one.id]), of_message[one.id][:MOST_CHIPS])
            for one in said
        ],
        relations[:MOST_CHIPS],
    )


def _relation(item: Json, source: str, names: dict[str, str], drawn: dict[str, Shape]) -> tuple[Relation, Shape | None]:
    """A relationship in words, and as an arrow where both ends are drawn."""
    ends: Json = next((item[key] for key in item if key.endswith("_relationship") and isinstance(item[key], dict)), {})
    start, end = str(ends.get("source")), str(ends.get("target"))
    relation = Relation(source, short(item.get("name")), names.get(start, "?"), names.get(end, "?"))
    line = arrow(relation.name, source, drawn[start], drawn[end]) if start in drawn and end in drawn else None
    return relation, line
