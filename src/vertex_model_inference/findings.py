"""What a model says about one row, before it is known which ontology features that means.

Decoders make findings from a model's JSON; match turns findings into annotations. Coordinates are pixels of the
original asset, origin top left, x to the right, y down, floats.
"""

from __future__ import annotations

import msgspec

__all__ = ["Finding", "FoundBox", "FoundLabel", "FoundText"]


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


Finding = FoundLabel | FoundBox | FoundText
