"""Shapes -> SVG over the asset they are about. Pure.

The drawing's ``viewBox`` is the asset's size, so that it fits over a picture of any other size. Labels and predictions
are told apart by dash and words as well as by colour; the colours are in ``static/overlay.css``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from markupsafe import Markup

from vertex_model_inference.pages.shapes import Drawing, Shape, number
from vertex_model_inference.pages.words import confidence as percent
from vertex_model_inference.pages.words import shortened

__all__ = ["caption", "svg"]

_NAME_CHARACTERS = 32
_CROWD = 8
"""So many shapes of one and the same class are not named one by one."""

_MARKS = {
    "right": "✓",
    "confused": "✗ wrong class",
    "false_alarm": "✗ nothing there",
    "missed": "✗ missed",
    "open": "? not judged",
}


def svg(
    drawing: Drawing,
    width: float,
    height: float,
    *,
    about: str = "",
    captions: bool = True,
    marks: bool = True,
    css_class: str = "over",
) -> Markup:
    """The drawing as an ``<svg>`` element.

    Each shape is a group of the class ``shape``, its caption one of the class ``caption``; both have ``data-side``,
    ``data-index``, ``data-name``, ``data-verdict`` and, for predictions, ``data-confidence``, for scripts that show and
    hide; the shape's title says what it is.

    Args:
        drawing: What to draw.
        width: Of the asset, in pixels or points, > 0; likewise ``height``.
        about: What the picture is, for who does not see it.
        captions: Write names and confidences beside the shapes, but for labels that were found.
        marks: Say in the captions what is right and what is wrong.
        css_class: Of the element.
    """
    # As high as a line of a page when the drawing is some 400 pixels wide; less in strips, where words would hide all.
    longer, shorter = max(width, height), min(width, height)
    size = min(longer / 38, max(shorter / 7, longer / 64))
    parts = [_group(shape, marks=marks) for shape in drawing.shapes]
    if captions:
        # Above all shapes. A label that was found has its prediction's words beside it already.
        named = len(drawing.shapes) < _CROWD or len({shape.name for shape in drawing.shapes}) > 1
        parts += [
            _words_of(shape, _short(shape, named=named, marks=marks), width, height, size)
            for shape in drawing.shapes
            if shape.verdict != "found"
        ]
    said = "; ".join(filter(None, (about, _summary(drawing.shapes))))
    return Markup(
        '<svg class="{}" viewBox="0 0 {} {}" preserveAspectRatio="xMidYMid meet" role="img" aria-label="{}">{}</svg>'
    ).format(css_class, number(width), number(height), said, Markup("").join(parts))


def caption(shape: Shape, *, marks: bool = True) -> str:
    """Name, confidence and, where it was judged, a tick or a cross with what is wrong."""
    mark = _MARKS.get(shape.verdict, "") if marks else ""
    return " ".join(filter(None, (shortened(shape.name, _NAME_CHARACTERS), percent(shape.confidence), mark)))


def _short(shape: Shape, *, named: bool, marks: bool) -> str:
    """As ``caption``, but in a crowd without the name, and what is wrong only crossed."""
    mark = _MARKS.get(shape.verdict, "") if marks else ""
    name = shortened(shape.name, _NAME_CHARACTERS) if named or shape.confidence is None else ""
    # What is missed is said: without a confidence there is little else beside the shape.
    return " ".join(filter(None, (name, percent(shape.confidence), mark if shape.verdict == "missed" else mark[:1])))


def _group(shape: Shape, *, marks: bool) -> Markup:
    kind = "predicted" if shape.side == "prediction" else "labelled"
    return Markup(
        '<g class="shape {}><title>{}: {}</title>'
        '<path class="{}" d="{}" fill-rule="evenodd" vector-effect="non-scaling-stroke"/></g>'
    ).format(_attributes(shape), kind, caption(shape, marks=marks), shape.form, shape.path)


def _words_of(shape: Shape, words: str, width: float, height: float, size: float) -> Markup:
    x, y = _beside(shape, words, width, height, size)
    return Markup('<g class="caption {}><text x="{}" y="{}" font-size="{}">{}</text></g>').format(
        _attributes(shape), number(x), number(y), number(size), words
    )


def _attributes(shape: Shape) -> Markup:
    """The rest of the classes, and what scripts go by."""
    # Scripts take what has no confidence as certain, as Labelbox does.
    certain = "" if shape.confidence is None else Markup(' data-confidence="{:.6g}"').format(shape.confidence)
    return Markup('{}{}" data-side="{}" data-index="{}" data-name="{}" data-verdict="{}"{}').format(
        shape.side,
        " wrong" if shape.verdict in ("confused", "false_alarm", "missed") else "",
        shape.side,
        shape.index,
        shape.name,
        shape.verdict,
        certain,
    )


def _beside(shape: Shape, words: str, width: float, height: float, size: float) -> tuple[float, float]:
    """Where the caption begins: predictions above their shape, labels below it, and within the picture."""
    long = 0.56 * size * len(words)
    x = min(max(shape.left, 0.0), max(0.0, width - long))
    if shape.side == "prediction":
        y = shape.top - 0.3 * size
        if y < size:
            y = max(shape.top, 0.0) + 1.05 * size
    else:
        y = shape.top + shape.height + 1.0 * size
        if y > height:
            y = min(shape.top + shape.height, height) - 0.35 * size
    return x, min(max(y, size), max(size, height - 0.2 * size))


def _summary(shapes: Sequence[Shape]) -> str:
    """What is drawn, in words, bounded."""
    said = []
    for side, kind in (("prediction", "predicted"), ("label", "labelled")):
        counts = Counter(shape.name for shape in shapes if shape.side == side)
        if counts:
            most = [f"{count} × {shortened(name, _NAME_CHARACTERS)}" for name, count in counts.most_common(8)]
            more = len(counts) - len(most)
            said.append(f"{kind} {', '.join(most)}" + (f" and {more} more classes" if more > 0 else ""))
    return "; ".join(said)
