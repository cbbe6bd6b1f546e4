"""Row by row, what is right and what is wrong: ``agreement/00000.jsonl``, which the pages and ``vmi compare`` read."""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = ["LabelVerdict", "Meant", "RowAgreement", "Said", "SaidVerdict", "error_of"]


class SaidVerdict(StrEnum):
    """What a prediction turned out to be."""

    RIGHT = "right"
    CONFUSED = "confused"  # in the place of a label of another class, or another answer than the label's
    FALSE_ALARM = "false_alarm"
    OPEN = "open"  # the label says nothing about it: not judged


class LabelVerdict(StrEnum):
    """What became of a label."""

    FOUND = "found"
    CONFUSED = "confused"
    MISSED = "missed"


class Said(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """One prediction; of a checklist, one answer.

    Attributes:
        index: Place among the row's lines in ``predictions/``, from 0; of nested answers: of their object or question.
        feature: Kind of the object (see ``scores.ObjectScore``), or the question's name or path.
        name: The class: tool or option; of texts: the question.
        verdict: At the chosen level (IoU, distance, exact span).
        confidence: None: the model gives none.
        label: Place of the label it is matched with among the row's labels, from 0; None: there is none.
        overlap: With that label: IoU, pixels of distance, share of characters, or likeness of texts.
    """

    index: int
    feature: str
    name: str
    verdict: SaidVerdict
    confidence: float | None = None
    label: int | None = None
    overlap: float | None = None


class Meant(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """One label; of a checklist, one answer. Attributes as of ``Said``; ``index`` among the row's labels."""

    index: int
    feature: str
    name: str
    verdict: LabelVerdict
    prediction: int | None = None


class RowAgreement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One judged row: labelled, and answered by the model.

    Attributes:
        data_row_id: The row. ``split``: its split. ``global_key``: the customer's key.
        error: How wrong the row is, 0..1, to order rows by: confidences of wrong predictions (of texts: how unlike they
            are) and missed labels, 1 each, over the number of predictions and missed labels; 0 where there is nothing.
        predictions: Each, in their order. ``labels``: each, in the order of ``parse_labels``.
    """

    data_row_id: str
    split: str
    error: float
    global_key: str | None = None
    predictions: tuple[Said, ...] = ()
    labels: tuple[Meant, ...] = ()


def error_of(predictions: list[Said], labels: list[Meant], texts: dict[int, float]) -> float:
    """The row's error (see ``RowAgreement``).

    Args:
        predictions: The row's. ``labels``: likewise.
        texts: Place in ``predictions`` of each text -> how unlike its label it is, 0..1.
    """
    wrong = 0.0
    judged = 0
    for place, said in enumerate(predictions):
        verdict = said.verdict
        if verdict is _OPEN:
            continue
        judged += 1
        if texts and place in texts:
            wrong += texts[place]
        elif verdict is not _RIGHT:
            wrong += 1.0 if said.confidence is None else said.confidence
    for meant in labels:
        if meant.verdict is _MISSED:
            wrong += 1
            judged += 1
    return round(wrong / judged, 6) if wrong else 0.0


_OPEN, _RIGHT, _MISSED = SaidVerdict.OPEN, SaidVerdict.RIGHT, LabelVerdict.MISSED
