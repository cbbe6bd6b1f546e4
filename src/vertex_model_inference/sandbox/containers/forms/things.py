"""What a model of pictures found, before it is put into a form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["BitMask", "Size", "Thing", "thing_of_mask"]

BitMask = npt.NDArray[np.bool_]
Size = tuple[int, int]
"""(width, height) of the picture in pixels."""


@dataclass(frozen=True)
class Thing:
    """One object.

    Attributes:
        label: Its class.
        score: 0..1.
        left: Pixels from the left edge of the picture; likewise ``top``, ``right`` and ``bottom``.
        mask: Of the whole picture, height x width; None where the model gives boxes only.
        text: What is written there; None where the model does not read.
    """

    label: str
    score: float
    left: float
    top: float
    right: float
    bottom: float
    mask: BitMask | None = None
    text: str | None = None


def thing_of_mask(label: str, score: float, mask: BitMask) -> Thing:
    """A thing with the smallest box around its pixels (of which there is at least one); edges are those of pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return Thing(label, score, float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1), mask)
