"""What a model says about one row, before it is known which ontology features that means.

Decoders make findings from a model's JSON; match turns findings into annotations. Coordinates are pixels of the
original asset, origin top left, x to the right, y down, floats.
"""

from __future__ import annotations

import msgspec

__all__ = [
    "Finding",
    "FoundBox",
    "FoundEntity",
    "FoundLabel",
    "FoundLine",
    "FoundMask",
    "FoundPoint",
    "FoundPolygon",
    "FoundText",
]


class FoundLabel(msgspec.Struct, frozen=True, tag="label"):
    """The model gives the whole asset a class. Several of these for one row are its scores over the classes.

    Attributes:
        label: The model's own name of the class.
        confidence: 0..1, or None when the model gives none.
    """

    label: str
    confidence: float | None = None


class FoundBox(msgspec.Struct, frozen=True, tag="box"):
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


class FoundText(msgspec.Struct, frozen=True, tag="text"):
    """The model wrote text about the whole asset.

    Attributes:
        label: The model's own name for what the text is (often the question's name).
        text: The text.
        confidence: 0..1, or None when the model gives none.
    """

    label: str
    text: str
    confidence: float | None = None


class FoundPolygon(msgspec.Struct, frozen=True, tag="polygon"):
    """The model outlined an object.

    Attributes:
        label: The model's own name of the class.
        points: (x, y) in pixels around one outer ring, at least three, not closed (the last is not the first again).
        confidence: 0..1, or None when the model gives none.
    """

    label: str
    points: tuple[tuple[float, float], ...]
    confidence: float | None = None


class FoundLine(msgspec.Struct, frozen=True, tag="line"):
    """The model drew a line through at least two (x, y) points in pixels; other attributes as of ``FoundPolygon``."""

    label: str
    points: tuple[tuple[float, float], ...]
    confidence: float | None = None


class FoundPoint(msgspec.Struct, frozen=True, tag="point"):
    """The model marked one place, ``x`` and ``y`` in pixels; a keypoint model gives several."""

    label: str
    x: float
    y: float
    confidence: float | None = None


class FoundMask(msgspec.Struct, frozen=True, tag="mask"):
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


class FoundEntity(msgspec.Struct, frozen=True, tag="entity"):
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


Finding = FoundLabel | FoundBox | FoundText | FoundPolygon | FoundLine | FoundPoint | FoundMask | FoundEntity
