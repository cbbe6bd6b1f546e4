"""Least figures that a run must reach, for builds that are to fail: ``f1=.8,map=.5``. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from vertex_model_inference.errors import RequestError
from vertex_model_inference.evaluation.scores import ChoiceScore, ObjectScore, SplitScore, TextScore

__all__ = ["FIGURES", "Gate", "GateResult", "check_gates", "parse_gates"]

FIGURES = {
    "accuracy": "share of answers right (radios; checklists: right as a whole)",
    "f1": "F1 over all answers or objects, at the chosen level",
    "precision": "precision, likewise",
    "recall": "recall, likewise",
    "macro_f1": "mean F1 of the classes",
    "map": "COCO's mAP, levels .5 to .95",
    "map50": "mAP at IoU .5",
    "mean_iou": "mean IoU of the matched pairs",
    "exact": "share of texts right to the character",
}
"""Name -> what it is. A larger one is better, each is 0..1."""


class Gate(msgspec.Struct, frozen=True):
    """A figure that must be reached.

    Attributes:
        figure: One of ``FIGURES``. ``least``: 0..1.
        feature: Only of this question or kind of object; None: of each that has such a figure.
    """

    figure: str
    least: float
    feature: str | None = None


class GateResult(msgspec.Struct, frozen=True):
    """What came of a gate at one question or kind of object; ``value`` None: nothing to measure it by."""

    gate: Gate
    feature: str
    value: float | None

    @property
    def passed(self) -> bool:
        """Whether the figure is reached. What cannot be measured is not."""
        return self.value is not None and self.value >= self.gate.least

    def __str__(self) -> str:
        value = "cannot be measured" if self.value is None else f"is {self.value:.4g}"
        return f"{self.gate.figure} of {self.feature} {value}; at least {self.gate.least:g} is asked for"


def parse_gates(text: str) -> tuple[Gate, ...]:
    """``f1=.8,map=.5``; of one question or kind only: ``digit:f1=.8``.

    Raises:
        RequestError: ``bad_gate``: not of that form, a figure that is not known, or not 0..1.
    """
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.rpartition("=")
        feature, colon, figure = name.strip().rpartition(":")
        try:
            least = float(value)
        except ValueError:
            least = math.nan
        if not equals or figure not in FIGURES or not 0 <= least <= 1:
            raise RequestError(
                f"{part!r} is no figure to reach.",
                code="bad_gate",
                hint=f"Write FIGURE=NUMBER or FEATURE:FIGURE=NUMBER, 0 to 1; figures: {', '.join(FIGURES)}.",
            )
        found.append(Gate(figure, least, feature if colon else None))
    if not found:
        raise RequestError("No figure to reach is given.", code="bad_gate", hint="For example: f1=.8,map=.5")
    return tuple(found)


def check_gates(gates: tuple[Gate, ...], split: SplitScore) -> tuple[GateResult, ...]:
    """Each gate at each question or kind of object that has its figure; one that none has is not reached.

    Args:
        gates: To reach. ``split``: the figures.
    """
    figures: list[tuple[str, Mapping[str, float | None]]] = [
        *((one.question, _of_choice(one)) for one in split.choices),
        *((one.kind, _of_objects(one)) for one in split.objects),
        *((one.question, _of_text(one)) for one in split.texts),
    ]
    found = []
    for gate in gates:
        mine = [
            GateResult(gate, feature, values[gate.figure])
            for feature, values in figures
            if gate.figure in values and gate.feature in (None, feature)
        ]
        found += mine or [GateResult(gate, gate.feature or "anything measured", None)]
    return tuple(found)


def _of_choice(one: ChoiceScore) -> dict[str, float | None]:
    judged = one.answered > 0
    return {
        "accuracy": one.accuracy,
        "f1": one.micro.f1 if judged else None,
        "precision": one.micro.precision if judged else None,
        "recall": one.micro.recall if judged else None,
        "macro_f1": one.macro.f1 if judged else None,
    }


def _of_objects(one: ObjectScore) -> dict[str, float | None]:
    level = one.levels[0]
    found = {
        "f1": level.f1,
        "precision": level.precision,
        "recall": level.recall,
        "macro_f1": one.macro.f1 if one.labels else None,
    }
    if one.measure == "iou":
        half = next((each.mean_average_precision for each in one.levels if each.level == "0.5"), None)
        found |= {"map": one.mean_average_precision, "map50": half, "mean_iou": one.mean_overlap}
    return found


def _of_text(one: TextScore) -> dict[str, float | None]:
    return {"exact": one.exact}
