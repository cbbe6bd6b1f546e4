"""Names beside shapes: labels over them, predictions under them; what would cover each other in lines. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from vertex_model_inference.sandbox.labelbox.page.shapes import Shape

__all__ = ["Tag", "tags_of"]

_MOST_TAGS = 60
_MOST_CHARACTERS = 40
_NEAR = 0.025
"""Of the picture's larger side: anchors that are nearer to each other than about this share a place."""


class Tag(msgspec.Struct, frozen=True):
    """A name and where it stands.

    Attributes:
        source: ``label`` or ``prediction``.
        x: Left end, in the shapes' coordinates. ``y``: the edge of the shape that it stands at.
        line: 0 for the first at its place, 1 for the next further out, ...
    """

    source: str
    text: str
    x: float
    y: float
    line: int


def tags_of(shapes: Sequence[Shape], width: float | None, height: float | None) -> list[Tag]:
    """The names of shapes that have a place; none at all where there are too many to be read.

    Args:
        shapes: Of one picture.
        width: Of the picture, in the shapes' coordinates; likewise ``height``. None: unknown, nothing is moved.
    """
    named = [shape for shape in shapes if shape.box is not None and not shape.part and shape.form != "arrow"]
    if len(named) > _MOST_TAGS:
        return []
    step = _NEAR * max(width or 0.0, height or 0.0) or 1e-9
    taken: Counter[tuple[str, int, int]] = Counter()
    tags = []
    for shape in named:
        assert shape.box is not None, "chosen above"
        left, top, _, high = shape.box
        edge = top + high if shape.source == "prediction" else top
        place = (shape.source, round(left / step), round(edge / step))
        name = shape.name if len(shape.name) <= _MOST_CHARACTERS else f"{shape.name[: _MOST_CHARACTERS - 1]}…"
        text = name if shape.confidence is None else f"{name} {shape.confidence:.2f}"
        tags.append(Tag(shape.source, text, left, edge, taken[place]))
        taken[place] += 1
    return tags
