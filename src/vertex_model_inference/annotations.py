"""What is uploaded: annotations that fit an ontology, before anyone has thought of NDJSON.

Coordinates are pixels of the original asset, origin top left, x to the right, y down. Each annotation names its feature
by ``name`` and by ``feature_schema_id``; ``by_id`` says that the name is not unique where it stands, so that the
reference must be the id. A confidence is 0..1, or None where the model gives none (Labelbox then takes it as 1).

On pages of documents coordinates are points (1/72 inch) of the page, pages counted from 1 here. Frames of a video are
counted from 1, as Labelbox counts; ranges of frames include both ends. A ``message_id`` names the message of a
conversation that is meant; None: the conversation.

They are trees, made by the million and never part of a cycle, so Python's garbage collector need not look at them
(``gc=False``): without that it takes a quarter of the time of an evaluation.
"""

from __future__ import annotations

import msgspec

__all__ = [
    "Annotation",
    "Answer",
    "Box",
    "Checklist",
    "DocumentEntity",
    "FrameMask",
    "FreeText",
    "KeyFrame",
    "Mask",
    "MaskLink",
    "Point",
    "Polygon",
    "Polyline",
    "Question",
    "Radio",
    "Relationship",
    "Selection",
    "Shape",
    "TextEntity",
    "VideoBox",
    "VideoMask",
]


class Answer(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A chosen option of a radio or checklist.

    Attributes:
        name: The option's name (its ``value`` in Labelbox).
        feature_schema_id: The option's schema id, 25 characters.
        confidence: 0..1 of this answer, or None.
        by_id: Refer to the option by its id.
        classifications: Answers to the questions that choosing this option asks.
        frames: Ranges (first, last) of a video's frames in which it holds; none: it is about the whole asset.
    """

    name: str
    feature_schema_id: str
    confidence: float | None = None
    by_id: bool = False
    classifications: tuple[Question, ...] = ()
    frames: tuple[tuple[int, int], ...] = ()


class Radio(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag="radio"):
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
    message_id: str | None = None

    @property
    def confidence(self) -> float | None:
        """That of the answer."""
        return self.answer.confidence


class Checklist(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag="checklist"):
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
    message_id: str | None = None

    @property
    def confidence(self) -> float | None:
        """The highest of the answers', or None when one of them has none."""
        found = [answer.confidence for answer in self.answers]
        known = [confidence for confidence in found if confidence is not None]
        return max(known) if known and len(known) == len(found) else None


class FreeText(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag="text"):
    """A text written as the answer to a question.

    Attributes:
        name: The question's name. ``feature_schema_id``: its schema id, 25 characters.
        text: The answer.
        confidence: 0..1, or None.
        by_id: Refer to the question by its id.
        frames: Of labels, as of ``Answer``; predictions are of the whole asset.
    """

    name: str
    feature_schema_id: str
    text: str
    confidence: float | None = None
    by_id: bool = False
    message_id: str | None = None
    frames: tuple[tuple[int, int], ...] = ()


Question = Radio | Checklist | FreeText
"""An answered question; top-level about the asset, nested about an object or an answer."""


class Box(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag="box"):
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
    page: int | None = None


class Polygon(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag="polygon"):
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


class Polyline(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag="line"):
    """A line of at least two ``points``, (x, y) in pixels, in its order; other attributes as of ``Polygon``."""

    name: str
    feature_schema_id: str
    points: tuple[tuple[float, float], ...]
    confidence: float | None = None
    classifications: tuple[Question, ...] = ()
    by_id: bool = False


class Point(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag="point"):
    """One place, ``x`` and ``y`` in pixels; other attributes as of ``Polygon``."""

    name: str
    feature_schema_id: str
    x: float
    y: float
    confidence: float | None = None
    classifications: tuple[Question, ...] = ()
    by_id: bool = False


class Mask(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag="mask"):
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


class MaskLink(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag="mask_link"):
    """The pixels of one colour in a picture that Labelbox fetches; ``uri`` and ``color`` (red, green, blue, 0..255).

    Other attributes as of ``Mask``.
    """

    name: str
    feature_schema_id: str
    uri: str
    color: tuple[int, int, int]
    confidence: float | None = None
    classifications: tuple[Question, ...] = ()
    by_id: bool = False


class TextEntity(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag="entity"):
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
    message_id: str | None = None


class Selection(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one group of a document's text layer: their ids, the group's id, and the page, from 1."""

    token_ids: tuple[str, ...]
    group_id: str
    page: int


class DocumentEntity(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag="document_entity"):
    """Words of a document, as ``selections`` of its text layer; other attributes as of ``TextEntity``."""

    name: str
    feature_schema_id: str
    selections: tuple[Selection, ...]
    confidence: float | None = None
    classifications: tuple[Question, ...] = ()
    by_id: bool = False


class KeyFrame(msgspec.Struct, frozen=True, gc=False):
    """Where an object is in one frame of a video: ``frame`` from 1, and a box in pixels as of ``Box``."""

    frame: int
    left: float
    top: float
    width: float
    height: float


class VideoBox(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag="video_box"):
    """An object followed through a video.

    Attributes:
        name: The tool's name. ``feature_schema_id``: its schema id, 25 characters.
        segments: Stretches in which the object is seen, each a rising series of key frames; Labelbox fills in between.
        confidence: 0..1, or None.
        classifications: Answered questions about the object.
        by_id: Refer to the tool by its id.
    """

    name: str
    feature_schema_id: str
    segments: tuple[tuple[KeyFrame, ...], ...]
    confidence: float | None = None
    classifications: tuple[Question, ...] = ()
    by_id: bool = False


class FrameMask(msgspec.Struct, frozen=True, gc=False):
    """An object's pixels in one frame of a video: ``frame`` from 1, ``counts`` as of ``Mask``."""

    frame: int
    counts: bytes


class VideoMask(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag="video_mask"):
    """An object's pixels through a video, of ``width`` x ``height`` pixels; other attributes as of ``VideoBox``."""

    name: str
    feature_schema_id: str
    frames: tuple[FrameMask, ...]
    width: int
    height: int
    confidence: float | None = None
    by_id: bool = False


class Relationship(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag="relationship"):
    """Two objects of the row belong together.

    Attributes:
        name: The tool's name (Labelbox's kind ``edge``). ``feature_schema_id``: its schema id, 25 characters.
        source: Index of the object it starts from among the row's annotations; ``target``: of the one it leads to.
        directed: Whether the order of the two means something.
        confidence: 0..1, or None.
        by_id: Refer to the tool by its id.
    """

    name: str
    feature_schema_id: str
    source: int
    target: int
    directed: bool = True
    confidence: float | None = None
    by_id: bool = False


Shape = Box | Polygon | Polyline | Point | Mask | MaskLink | TextEntity | DocumentEntity
"""An annotation of a tool: it has a place in the asset, and may have questions of its own."""

Annotation = (
    Radio
    | Checklist
    | FreeText
    | Box
    | Polygon
    | Polyline
    | Point
    | Mask
    | MaskLink
    | TextEntity
    | DocumentEntity
    | VideoBox
    | VideoMask
    | Relationship
)
