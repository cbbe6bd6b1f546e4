"""What a model says about one row, before it is known which ontology features that means.

Decoders make findings from a model's JSON; match turns findings into annotations. Coordinates are pixels of the
original asset, origin top left, x to the right, y down, floats; on pages of documents they are points (1/72 inch) of
the page. Frames of a video are counted from 1, as Labelbox counts; ranges of frames include both ends.

Attributes that several kinds have:
    answers: What the model says about the object, or about the class it chose: labels that name their ``question``,
        and texts whose ``label`` is the question's name.
    id: The model's own name of the object, unique in its answer, for relations to refer to.
    message_id: The message of a conversation that is meant; None: the conversation.
    page: Page of a document, from 1.
"""

from __future__ import annotations

import msgspec

__all__ = [
    "Finding",
    "FoundBox",
    "FoundEntity",
    "FoundFrame",
    "FoundFrameMask",
    "FoundLabel",
    "FoundLine",
    "FoundMask",
    "FoundMaskLink",
    "FoundObject",
    "FoundPoint",
    "FoundPolygon",
    "FoundQuote",
    "FoundRelation",
    "FoundText",
    "FoundTokens",
    "FoundTrack",
    "FoundVideoMask",
]


class FoundLabel(msgspec.Struct, gc=False, frozen=True, tag="label"):
    """The model gives the whole asset a class. Several of these for one row are its scores over the classes.

    Attributes:
        label: The model's own name of the class.
        confidence: 0..1, or None when the model gives none.
        question: Name of the question that it answers, where the model says so; None: the one that has such an option.
        frames: Ranges (first, last) of a video's frames in which it holds; none: everywhere.
    """

    label: str
    confidence: float | None = None
    question: str | None = None
    answers: tuple[FoundLabel | FoundText, ...] = ()
    frames: tuple[tuple[int, int], ...] = ()
    message_id: str | None = None


class FoundBox(msgspec.Struct, gc=False, frozen=True, tag="box"):
    """The model found an object, in an axis-parallel box.

    Attributes:
        label: The model's own name of the class.
        left: Pixels from the left edge. ``top``: pixels from the top edge. ``width``, ``height``: pixels, >= 0.
        confidence: 0..1, or None when the model gives none.
        text: What is written in the box, where the model reads (OCR).
    """

    label: str
    left: float
    top: float
    width: float
    height: float
    confidence: float | None = None
    text: str | None = None
    answers: tuple[FoundLabel | FoundText, ...] = ()
    id: str | None = None
    page: int | None = None


class FoundText(msgspec.Struct, gc=False, frozen=True, tag="text"):
    """The model wrote text about the whole asset.

    Attributes:
        label: The model's own name for what the text is (often the question's name).
        text: The text.
        confidence: 0..1, or None when the model gives none.
    """

    label: str
    text: str
    confidence: float | None = None
    message_id: str | None = None


class FoundPolygon(msgspec.Struct, gc=False, frozen=True, tag="polygon"):
    """The model outlined an object.

    Attributes:
        label: The model's own name of the class.
        points: (x, y) in pixels around one outer ring, at least three, not closed (the last is not the first again).
        confidence: 0..1, or None when the model gives none.
    """

    label: str
    points: tuple[tuple[float, float], ...]
    confidence: float | None = None
    answers: tuple[FoundLabel | FoundText, ...] = ()
    id: str | None = None


class FoundLine(msgspec.Struct, gc=False, frozen=True, tag="line"):
    """The model drew a line through at least two (x, y) points in pixels; other attributes as of ``FoundPolygon``."""

    label: str
    points: tuple[tuple[float, float], ...]
    confidence: float | None = None
    answers: tuple[FoundLabel | FoundText, ...] = ()
    id: str | None = None


class FoundPoint(msgspec.Struct, gc=False, frozen=True, tag="point"):
    """The model marked one place, ``x`` and ``y`` in pixels; a keypoint model gives several."""

    label: str
    x: float
    y: float
    confidence: float | None = None
    answers: tuple[FoundLabel | FoundText, ...] = ()
    id: str | None = None


class FoundMask(msgspec.Struct, gc=False, frozen=True, tag="mask"):
    """The model marked an object's pixels.

    Attributes:
        label: The model's own name of the class.
        counts: COCO's compressed run lengths (column by column, beginning with background), ASCII.
        width: Of the picture the mask covers whole, in pixels; likewise ``height``.
        confidence: 0..1, or None when the model gives none.
    """

    label: str
    counts: bytes
    width: int
    height: int
    confidence: float | None = None
    answers: tuple[FoundLabel | FoundText, ...] = ()
    id: str | None = None


class FoundMaskLink(msgspec.Struct, gc=False, frozen=True, tag="mask_link"):
    """The model drew the mask into a picture somewhere else, which Labelbox fetches; nobody here looks at its pixels.

    Attributes:
        label: The model's own name of the class.
        uri: Of the picture (http, https, gs), as large as the asset.
        color: Red, green and blue of the object's pixels in it, 0..255.
        confidence: 0..1, or None when the model gives none.
    """

    label: str
    uri: str
    color: tuple[int, int, int] = (255, 255, 255)
    confidence: float | None = None
    answers: tuple[FoundLabel | FoundText, ...] = ()
    id: str | None = None


class FoundEntity(msgspec.Struct, gc=False, frozen=True, tag="entity"):
    """The model marked a span of a text.

    Attributes:
        label: The model's own name of the class.
        start: First character, counted from 0 in Unicode code points; ``end``: last character, inclusive.
        confidence: 0..1, or None when the model gives none.
    """

    label: str
    start: int
    end: int
    confidence: float | None = None
    answers: tuple[FoundLabel | FoundText, ...] = ()
    id: str | None = None
    message_id: str | None = None


class FoundQuote(msgspec.Struct, gc=False, frozen=True, tag="quote"):
    """The model quoted a span of what it read; where that stands is found by looking for it.

    Attributes:
        label: The model's own name of the class.
        text: The words as the model gives them.
        confidence: 0..1, or None when the model gives none.
        occurrence: Which of several places is meant where the words stand more than once, from 0.
    """

    label: str
    text: str
    confidence: float | None = None
    answers: tuple[FoundLabel | FoundText, ...] = ()
    id: str | None = None
    message_id: str | None = None
    page: int | None = None
    occurrence: int = 0


class FoundTokens(msgspec.Struct, gc=False, frozen=True, tag="tokens"):
    """The model marked words of a document, named as its text layer names them.

    Attributes:
        label: The model's own name of the class.
        selections: Page (from 1), id of a group of the text layer, and the ids of those of its tokens that are meant.
        confidence: 0..1, or None when the model gives none.
    """

    label: str
    selections: tuple[tuple[int, str, tuple[str, ...]], ...]
    confidence: float | None = None
    answers: tuple[FoundLabel | FoundText, ...] = ()
    id: str | None = None


class FoundFrame(msgspec.Struct, gc=False, frozen=True):
    """Where a tracked object is in one frame: ``frame`` from 1, and a box in pixels as of ``FoundBox``."""

    frame: int
    left: float
    top: float
    width: float
    height: float


class FoundTrack(msgspec.Struct, gc=False, frozen=True, tag="track"):
    """The model followed an object through a video.

    Attributes:
        label: The model's own name of the class.
        segments: Stretches in which the object is seen, each a rising series of frames.
        confidence: 0..1, or None when the model gives none.
    """

    label: str
    segments: tuple[tuple[FoundFrame, ...], ...]
    confidence: float | None = None
    answers: tuple[FoundLabel | FoundText, ...] = ()
    id: str | None = None


class FoundFrameMask(msgspec.Struct, gc=False, frozen=True):
    """An object's pixels in one frame: ``frame`` from 1, ``counts`` as of ``FoundMask``."""

    frame: int
    counts: bytes


class FoundVideoMask(msgspec.Struct, gc=False, frozen=True, tag="video_mask"):
    """The model marked an object's pixels through a video; ``width`` and ``height`` of the picture, in pixels."""

    label: str
    frames: tuple[FoundFrameMask, ...]
    width: int
    height: int
    confidence: float | None = None
    id: str | None = None


class FoundRelation(msgspec.Struct, gc=False, frozen=True, tag="relation"):
    """The model relates two things that it found: ``source`` and ``target`` are their ``id``.

    ``directed``: whether the order of the two means something.
    """

    label: str
    source: str
    target: str
    confidence: float | None = None
    directed: bool = True


FoundObject = (
    FoundBox
    | FoundPolygon
    | FoundLine
    | FoundPoint
    | FoundMask
    | FoundMaskLink
    | FoundEntity
    | FoundQuote
    | FoundTokens
    | FoundTrack
    | FoundVideoMask
)
"""What has a place in the asset."""

Finding = FoundLabel | FoundText | FoundObject | FoundRelation
"""Anything that a model says about a row."""
