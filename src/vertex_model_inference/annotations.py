"""What is uploaded: annotations that fit an ontology, before anyone has thought of NDJSON.

Coordinates are pixels of the original asset, origin top left, x to the right, y down. Each annotation names its feature
by ``name`` and by ``feature_schema_id``; ``by_id`` says that the name is not unique where it stands, so that the
reference must be the id. A confidence is 0..1, or None where the model gives none (Labelbox then takes it as 1).
"""

from __future__ import annotations

import msgspec

__all__ = [
    "Annotation",
    "Answer",
    "Box",
    "Checklist",
    "FreeText",
    "Mask",
    "Point",
    "Polygon",
    "Polyline",
    "Question",
    "Radio",
    "Shape",
    "TextEntity",
]


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A chosen option of a radio or checklist.

    Attributes:
        name: The option's name (its ``value`` in Labelbox).
        feature_schema_id: The option's schema id, 25 characters.
        confidence: 0..1 of this answer, or None.
        by_id: Refer to the option by its id.
        classifications: Answers to the questions that choosing this option asks.
    """

    name: str
    feature_schema_id: str
    confidence: float | None = None
    by_id: bool = False
    classifications: tuple[Question, ...] = ()


class Radio(msgspec.Struct, frozen=True, omit_defaults=True, tag="radio"):
    """The one answer to a question, about the asset or (nested) about an object or answer.

    Attributes:
        name: The question's name (its ``instructions`` in Labelbox).
        feature_schema_id: The question's schema id, 25 characters.
        answer: The chosen option; carries the confidence.
        by_id: Refer to the question by its id.
    """

    name: str
    feature_schema_id: str
    answer: Answer
    by_id: bool = False

    @property
    def confidence(self) -> float | None:
        """That of the answer."""
        return self.answer.confidence


class Checklist(msgspec.Struct, frozen=True, omit_defaults=True, tag="checklist"):
    """The answers to a question that takes several.

    Attributes:
        name: The question's name. ``feature_schema_id``: its schema id, 25 characters.
        answers: The chosen options, each with its own confidence; never empty.
        by_id: Refer to the question by its id.
    """

    name: str
    feature_schema_id: str
    answers: tuple[Answer, ...]
    by_id: bool = False

    @property
    def confidence(self) -> float | None:
        """The highest of the answers', or None when one of them has none."""
        found = [answer.confidence for answer in self.answers]
        known = [confidence for confidence in found if confidence is not None]
        return max(known) if known and len(known) == len(found) else None


class FreeText(msgspec.Struct, frozen=True, omit_defaults=True, tag="text"):
    """A text written as the answer to a question.

    Attributes:
        name: The question's name. ``feature_schema_id``: its schema id, 25 characters.
        text: The answer.
        confidence: 0..1, or None.
        by_id: Refer to the question by its id.
    """

    name: str
    feature_schema_id: str
    text: str
    confidence: float | None = None
    by_id: bool = False


Question = Radio | Checklist | FreeText
"""An answered question; top-level about the asset, nested about an object or an answer."""


class Box(msgspec.Struct, frozen=True, omit_defaults=True, tag="box"):
    """An object in an axis-parallel rectangle.

    Attributes:
        name: The tool's name. ``feature_schema_id``: its schema id, 25 characters.
        left: Pixels from the left edge. ``top``: pixels from the top edge. ``width``, ``height``: pixels, > 0.
        confidence: 0..1, or None.
        classifications: Answered questions about the object.
        by_id: Refer to the tool by its id.
    """

    name: str
    feature_schema_id: str
    left: float
    top: float
    width: float
    height: float
    confidence: float | None = None
    classifications: tuple[Question, ...] = ()
    by_id: bool = False


class Polygon(msgspec.Struct, frozen=True, omit_defaults=True, tag="polygon"):
    """An object in an outline of straight sides.

    Attributes:
        name: The tool's name. ``feature_schema_id``: its schema id, 25 characters.
        points: (x, y) in pixels around one outer ring, at least three; the last is not the first again.
        confidence: 0..1, or None.
        classifications: Answered questions about the object.
        by_id: Refer to the tool by its id.
    """

    name: str
    feature_schema_id: str
    points: tuple[tuple[float, float], ...]
    confidence: float | None = None
    classifications: tuple[Question, ...] = ()
    by_id: bool = False


class Polyline(msgspec.Struct, frozen=True, omit_defaults=True, tag="line"):
    """A line of at least two ``points``, (x, y) in pixels, in its order; other attributes as of ``Polygon``."""

    name: str
    feature_schema_id: str
    points: tuple[tuple[float, float], ...]
    confidence: float | None = None
    classifications: tuple[Question, ...] = ()
    by_id: bool = False


class Point(msgspec.Struct, frozen=True, omit_defaults=True, tag="point"):
    """One place, ``x`` and ``y`` in pixels; other attributes as of ``Polygon``."""

    name: str
    feature_schema_id: str
    x: float
    y: float
    confidence: float | None = None
    classifications: tuple[Question, ...] = ()
    by_id: bool = False


class Mask(msgspec.Struct, frozen=True, omit_defaults=True, tag="mask"):
    """The pixels of an object; run lengths here, a PNG once they are uploaded.

    Attributes:
        name: The tool's name. ``feature_schema_id``: its schema id, 25 characters.
        counts: COCO's compressed run lengths (column by column, beginning with background), ASCII.
        width: Of the picture the mask covers whole, in pixels; likewise ``height``.
        confidence: 0..1, or None.
        classifications: Answered questions about the object.
        by_id: Refer to the tool by its id.
    """

    name: str
    feature_schema_id: str
    counts: bytes
    width: int
    height: int
    confidence: float | None = None
    classifications: tuple[Question, ...] = ()
    by_id: bool = False


class TextEntity(msgspec.Struct, frozen=True, omit_defaults=True, tag="entity"):
    """A span of a text.

    Attributes:
        name: The tool's name. ``feature_schema_id``: its schema id, 25 characters.
        start: First character, counted from 0 in Unicode code points; ``end``: last character, inclusive.
        confidence: 0..1, or None.
        classifications: Answered questions about the span.
        by_id: Refer to the tool by its id.
    """

    name: str
    feature_schema_id: str
    start: int
    end: int
    confidence: float | None = None
    classifications: tuple[Question, ...] = ()
    by_id: bool = False


Shape = Box | Polygon | Polyline | Point | Mask | TextEntity
"""An annotation of a tool: it has a place in the asset, and may have questions of its own."""

Annotation = Radio | Checklist | FreeText | Box | Polygon | Polyline | Point | Mask | TextEntity
