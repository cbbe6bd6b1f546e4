"""Figures -> SVG charts: pure, no script, one look in light and dark.

Every chart says in words what it shows (``<title>``, ``<desc>``); lines differ in dash as well as in colour, and their
names stand beside their ends. Colours come from ``static/evaluation.css`` by class. Sizes are the units of the chart's
own ``viewBox``; charts are drawn small enough that their letters can be read on a phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec
from markupsafe import Markup

from vertex_model_inference.evaluation.calibration import Calibration
from vertex_model_inference.evaluation.scores import Curve
from vertex_model_inference.pages.words import shortened

__all__ = ["HEIGHT", "WIDTH", "Part", "by_confidence", "precision_recall", "reliability", "share", "stacked"]

WIDTH, HEIGHT = 360.0, 232.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, 66.0, 10.0, 34.0
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
_LINE_HEIGHT = 12.0


class Part(msgspec.Struct, frozen=True):
    """Of a whole: ``name``, how many, and the CSS class that colours it."""

    name: str
    count: int
    css_class: str


class _Plot:
    """An area whose both axes go from 0 to 1.

    Args:
        right: Room for words on the right. ``bottom``: for the axis and whatever else is below the area.
    """

    def __init__(self, right: float = _RIGHT, bottom: float = _BOTTOM) -> None:
        self.wide, self.high = WIDTH - _LEFT - right, HEIGHT - _TOP - bottom

    def x(self, value: float) -> float:
        return _LEFT + self.wide * min(max(value, 0.0), 1.0)

    def y(self, value: float) -> float:
        return _TOP + self.high * (1 - min(max(value, 0.0), 1.0))

    def axes(self, across: str, up: str) -> Markup:
        parts = []
        for tick in _TICKS:
            x, y, words = self.x(tick), self.y(tick), f"{tick:g}"
            parts.append(
                Markup(
                    '<line class="grid" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>'
                    '<text class="tick" x="{3}" y="{4}" text-anchor="end">{5}</text>'
                    '<text class="tick" x="{6}" y="{7}" text-anchor="middle">{5}</text>'
                ).format(
                    *(_n(self.x(0)), _n(self.x(1)), _n(y), _n(_LEFT - 5), _n(y + 3.5)),
                    *(words, _n(x), _n(_TOP + self.high + 13)),
                )
            )
        parts.append(
            Markup('<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text>').format(
                _n(self.x(0.5)), _n(_TOP + self.high + 27), across
            )
        )
        if up:
            parts.append(
                Markup(
                    '<text class="axis" transform="translate(8 {}) rotate(-90)" text-anchor="middle">{}</text>'
                ).format(_n(self.y(0.5)), up)
            )
        return Markup("").join(parts)


def by_confidence(curve: Curve, name: str, best: float | None = None) -> Markup:
    """Precision, recall and F1 of a class over the threshold; steps, as they are.

    The chart has a line of the class ``at`` that a script may move: ``data-left`` and ``data-wide`` of the chart say
    where thresholds 0 and 1 are.

    Args:
        curve: With falling thresholds.
        name: Of the class.
        best: The threshold with the highest F1, to mark.
    """
    plot = _Plot()
    ends: list[tuple[float, str, str]] = []
    lines: list[Markup] = []
    for css, word, values in (
        ("precision", "precision", curve.precision),
        ("recall", "recall", curve.recall),
        ("f1", "F1", curve.f1),
    ):
        if not values:
            continue
        lines.append(Markup('<path class="curve {}" d="{}"/>').format(css, _steps(plot, curve.threshold, values)))
        ends.append((plot.y(values[0]), css, word))
    mark = Markup("")
    if best is not None:
        x = _n(plot.x(best))
        mark = Markup(
            '<line class="best" x1="{0}" x2="{0}" y1="{1}" y2="{2}"><title>best F1 at {3:.4g}</title></line>'
        ).format(x, _n(_TOP), _n(_TOP + plot.high), best)
    at = Markup('<line class="at" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(
        _n(plot.x(0)), _n(_TOP), _n(_TOP + plot.high)
    )
    return _chart(
        f"Precision, recall and F1 of {name} over confidence",
        _told(curve, best),
        plot.axes("keep what is at least so confident", ""),
        mark,
        *lines,
        at,
        _beside(ends, WIDTH - _RIGHT + 5),
        css_class="chart by-confidence",
        extra=Markup(' data-left="{}" data-wide="{}"').format(_n(_LEFT), _n(plot.wide)),
    )


def precision_recall(curve: Curve, name: str) -> Markup:
    """Precision over recall of a class, from the surest prediction on.

    Args:
        curve: With falling thresholds. ``name``: of the class.
    """
    plot = _Plot(right=14)
    points = list(zip(curve.recall, curve.precision, strict=True))
    line = "".join(f"{'L' if i else 'M'}{_n(plot.x(r))} {_n(plot.y(p))}" for i, (r, p) in enumerate(points))
    dots = Markup("")
    if len(points) == 1:
        dots = Markup('<circle class="dot" cx="{}" cy="{}" r="3.5"/>').format(
            _n(plot.x(points[0][0])), _n(plot.y(points[0][1]))
        )
    said = "No predictions."
    if points:
        (r0, p0), (r1, p1) = points[0], points[-1]
        said = f"From precision {p0:.3f} at recall {r0:.3f} to precision {p1:.3f} at recall {r1:.3f}."
    return _chart(
        f"Precision over recall of {name}",
        said,
        plot.axes("recall", "precision"),
        Markup('<path class="curve f1" d="{}"/>').format(line) if line else Markup(""),
        dots,
    )


def reliability(calibration: Calibration, name: str) -> Markup:
    """How often predictions of each confidence are right, beside how often they would be if confidences were honest.

    The strip below the bars tells how many predictions each bar stands for: a bar of few means little.

    Args:
        calibration: The bins. ``name``: of what.
    """
    plot = _Plot(right=14, bottom=_BOTTOM + 26)
    most = max((one.count for one in calibration.bins), default=1)
    bars = []
    foot = _TOP + plot.high + 58
    for one in calibration.bins:
        left, right = plot.x(one.lower), plot.x(one.upper)
        words = (
            f"confidence {one.lower:.2f} to {one.upper:.2f}: {one.count:,} predictions, {one.accuracy:.1%} right, "
            f"mean confidence {one.confidence:.1%}"
        )
        tall = max(22 * one.count / most, 1.0)
        bars.append(
            Markup(
                '<g><title>{}</title><rect class="share-right" x="{}" y="{}" width="{}" height="{}"/>'
                '<line class="claimed" x1="{}" x2="{}" y1="{}" y2="{}"/>'
                '<rect class="many" x="{}" y="{}" width="{}" height="{}"/></g>'
            ).format(
                words,
                *(_n(left + 1), _n(plot.y(one.accuracy)), _n(right - left - 2), _n(plot.y(0) - plot.y(one.accuracy))),
                *(_n(left + 1), _n(right - 1), _n(plot.y(one.confidence)), _n(plot.y(one.confidence))),
                *(_n(left + 1), _n(foot - tall), _n(right - left - 2), _n(tall)),
            )
        )
    diagonal = Markup('<line class="honest" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
        _n(plot.x(0)), _n(plot.x(1)), _n(plot.y(0)), _n(plot.y(1))
    )
    return _chart(
        f"Calibration of {name}",
        f"Expected calibration error {calibration.expected_error:.3f}. Bars on the dashed diagonal would be honest: "
        "above it the model is better than it says, below it worse.",
        plot.axes("confidence", "share right"),
        diagonal,
        *bars,
    )


def stacked(parts: Sequence[Part], what: str) -> Markup:
    """One bar of several parts; the legend is the caller's (``Part.name`` and counts in words).

    Args:
        parts: In their order; those of none are left out.
        what: Of what they are parts.
    """
    total = sum(part.count for part in parts)
    drawn, at = [], 0.0
    for part in parts:
        if not part.count:
            continue
        wide = 100 * part.count / total
        drawn.append(
            Markup('<rect class="{}" x="{}" y="0" width="{}" height="8"><title>{}: {:,} ({})</title></rect>').format(
                part.css_class, _n(at), _n(wide), part.name, part.count, share(part.count, total)
            )
        )
        at += wide
    said = ", ".join(f"{part.name} {part.count:,}" for part in parts if part.count) or "nothing"
    return Markup(
        '<svg class="stacked" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="{}: {}">{}</svg>'
    ).format(what, said, Markup("").join(drawn))


def share(part: int, whole: int) -> str:
    """As a percentage that never reads 0 % or 100 % where it is not."""
    if not whole:
        return "–"
    value = 100 * part / whole
    if 0 < value < 0.1:
        return "<0.1 %"
    if 99.9 < value < 100:
        return ">99.9 %"
    return f"{value:.0f} %" if value in (0, 100) else f"{value:.1f} %"


def _steps(plot: _Plot, thresholds: Sequence[float], values: Sequence[float]) -> str:
    """From the lowest threshold up: what is kept at a threshold is what is kept down to the next lower confidence."""
    points = list(zip(reversed(thresholds), reversed(values), strict=True))
    parts = [f"M{_n(plot.x(0))} {_n(plot.y(points[0][1]))}H{_n(plot.x(points[0][0]))}"]
    parts += [f"V{_n(plot.y(value))}H{_n(plot.x(at))}" for (_, _), (at, value) in pairwise(points)]
    return "".join(parts)


def _beside(ends: Sequence[tuple[float, str, str]], x: float) -> Markup:
    """Names beside the lines' ends, pushed apart where they would cover each other; each with a sample of its dash."""
    placed: list[tuple[float, str, str]] = []
    for y, css, word in sorted(ends):
        low = placed[-1][0] + _LINE_HEIGHT if placed else _TOP + 4
        placed.append((max(y, low), css, word))
    over = placed[-1][0] - (HEIGHT - _BOTTOM - 3) if placed else 0.0
    if over > 0:
        placed = [(y - over, css, word) for y, css, word in placed]
    return Markup("").join(
        Markup(
            '<line class="curve {0}" x1="{1}" x2="{2}" y1="{3}" y2="{3}"/>'
            '<text class="name {0}" x="{4}" y="{5}">{6}</text>'
        ).format(css, _n(x), _n(x + 13), _n(y), _n(x + 16), _n(y + 3.5), word)
        for y, css, word in placed
    )


def _told(curve: Curve, best: float | None) -> str:
    if not curve.threshold:
        return "No predictions."
    precision, recall, f1 = curve.precision[-1], curve.recall[-1], curve.f1[-1]
    said = f"With all predictions precision {precision:.3f}, recall {recall:.3f}, F1 {f1:.3f}."
    if best is not None:
        said += f" The highest F1 is {max(curve.f1):.3f}, at {best:.4g}."
    return said


def _chart(title: str, description: str, *parts: Markup, css_class: str = "chart", extra: Markup | str = "") -> Markup:
    return Markup(
        '<svg class="{}" viewBox="0 0 {} {}" role="img" aria-label="{}"{}><title>{}</title><desc>{}</desc>{}</svg>'
    ).format(
        css_class,
        _n(WIDTH),
        _n(HEIGHT),
        f"{shortened(title, 120)}. {description}",
        extra,
        shortened(title, 120),
        description,
        Markup("").join(parts),
    )


def _n(value: float) -> str:
    said = f"{value:.1f}"
    return said.removesuffix(".0")
