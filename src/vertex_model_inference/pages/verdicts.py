"""What became of each prediction and label of a row, by its place, for whoever draws them. Pure."""

from __future__ import annotations

import msgspec

from vertex_model_inference.evaluation.agreement import RowAgreement
from vertex_model_inference.evaluation.kinds import KINDS
from vertex_model_inference.evaluation.relations import KIND as RELATIONSHIP

__all__ = ["SideVerdicts", "Verdicts", "verdicts_of"]


class SideVerdicts(msgspec.Struct, frozen=True):
    """Of the row's predictions, or of its labels.

    Attributes:
        objects: Place -> verdict, for ``shapes.draw`` and ``highlight.spans_of``.
        answers: Place, question's path and option -> verdict, for ``answers.chips``.
    """

    objects: dict[int, str] = {}
    answers: dict[tuple[int, str, str], str] = {}


class Verdicts(msgspec.Struct, frozen=True):
    """Of both sides; empty where the row was not judged."""

    predictions: SideVerdicts = SideVerdicts()
    labels: SideVerdicts = SideVerdicts()


_OBJECTS = frozenset((RELATIONSHIP, *(kind.name for kind in KINDS.values())))
"""``ObjectScore.kind``; every other feature is a question."""


def verdicts_of(row: RowAgreement | None) -> Verdicts:
    """By place; None: a row that was not judged."""
    if row is None:
        return Verdicts()
    sides = []
    for given in (row.predictions, row.labels):
        side = SideVerdicts({}, {})
        for each in given:
            # A question may be called "box": an object's place comes once, with the object's verdict first.
            if each.feature in _OBJECTS and each.index not in side.objects:
                side.objects[each.index] = each.verdict.value
            side.answers[(each.index, each.feature, each.name)] = each.verdict.value
        sides.append(side)
    return Verdicts(*sides)
