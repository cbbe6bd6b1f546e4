"""An evaluation as the pages and the report show it: one split, its questions and objects, bounded in size. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from vertex_model_inference.evaluation.calibration import Calibration
from vertex_model_inference.evaluation.names import ALL
from vertex_model_inference.evaluation.scores import (
    ChoiceScore,
    ClassScore,
    Confusion,
    Evaluation,
    ObjectScore,
    SplitScore,
    TextScore,
)
from vertex_model_inference.pages.words import figure, plural

__all__ = [
    "Cell",
    "ErrorLine",
    "Figure",
    "Matrix",
    "Part",
    "View",
    "view",
]

MOST_IN_MATRIX = 14
"""Classes in a confusion matrix: more columns cannot be read, those with the most errors are shown."""
MOST_ERRORS = 30
"""Pairs in the list of the most frequent errors."""
SHADES = 8
"""Of cells; ``shade-1`` to ``shade-8`` in the style sheet."""


class Figure(NamedTuple):
    """A headline: ``name``, ``value`` as shown, and what it means in a few words."""

    name: str
    value: str
    means: str = ""


class Cell(msgspec.Struct, frozen=True):
    """Of a confusion matrix.

    Attributes:
        count: How often. ``words``: that in a sentence.
        truth: The labelled class, None: no label there. ``said``: the predicted class, None: nothing predicted.
        shade: 0 for nothing, to ``SHADES`` for the largest of its row.
        right: On the diagonal.
    """

    count: int
    words: str
    truth: str | None
    said: str | None
    shade: int
    right: bool


class Matrix(NamedTuple):
    """A confusion matrix, or the part of it with the most errors.

    Attributes:
        columns: Predicted classes, None: nothing predicted.
        rows: Labelled class (None: no label there) and its cells, in the order of the columns.
        left_out: Classes that are not shown.
    """

    columns: tuple[str | None, ...]
    rows: tuple[tuple[str | None, tuple[Cell, ...]], ...]
    left_out: int


class ErrorLine(msgspec.Struct, frozen=True):
    """A pair of classes that is confused, or a class that is missed or predicted where there is none."""

    count: int
    words: str
    truth: str | None
    said: str | None


class Part(NamedTuple):
    """A question, or a kind of object.

    Attributes:
        feature: As in ``agreement/``: name or path of the question, or the kind.
        title: For people. ``kind``: ``radio``, ``checklist``, ``text`` or as of ``ObjectScore``.
        figures: Headlines. ``notes``: whole sentences about what was left out.
        classes: By falling number of labels. ``ranked``: they have an average precision.
        overlap: What the mean overlap of a class is called; empty: there is none.
        matrix: None where there is nothing to confuse. ``errors``: the most frequent first.
        calibration: None where there is none.
    """

    feature: str
    title: str
    kind: str
    figures: tuple[Figure, ...]
    notes: tuple[str, ...]
    classes: tuple[ClassScore, ...]
    ranked: bool
    overlap: str
    matrix: Matrix | None
    errors: tuple[ErrorLine, ...]
    calibration: Calibration | None


class View(NamedTuple):
    """One split of an evaluation.

    Attributes:
        split: Its name, ``all`` for all rows. ``splits``: name -> rows judged, of those that can be chosen.
        rows: Headlines about rows. ``notes``: whole sentences about what was not judged.
        parts: What was measured.
        thresholds: Lines for ``vmi.toml``. ``thresholds_from``: the split they are from.
    """

    split: str
    splits: Mapping[str, int]
    rows: tuple[Figure, ...]
    notes: tuple[str, ...]
    parts: tuple[Part, ...]
    thresholds: tuple[str, ...]
    thresholds_from: str | None


def view(evaluation: Evaluation, split: str | None = None) -> View | None:
    """What to show of a split.

    Args:
        evaluation: The run's.
        split: Its name; None: the one that the thresholds are from, or the first of validation, test, unassigned and
            training that has judged rows.

    Returns:
        None where the run has no rows of that split.
    """
    judged = {one.split: one.rows.judged for one in evaluation.splits}
    if split is None:
        split = evaluation.thresholds_from or _telling(judged)
    chosen = evaluation.split(split)
    if chosen is None:
        return None
    parts = [_choice(one) for one in chosen.choices]
    parts += [_objects(one) for one in chosen.objects]
    parts += [_text(one) for one in chosen.texts]
    return View(
        split=split,
        splits=judged,
        rows=_rows(chosen),
        notes=_notes(evaluation, chosen),
        parts=tuple(parts),
        thresholds=evaluation.thresholds,
        thresholds_from=evaluation.thresholds_from,
    )


def _telling(judged: Mapping[str, int]) -> str:
    order = ("validation", "test", "unassigned", "training")
    return next((name for name in order if judged.get(name)), ALL)


def _rows(one: SplitScore) -> tuple[Figure, ...]:
    rows = one.rows
    found = [
        Figure("rows judged", f"{rows.judged:,}", f"of {rows.exported:,}: labelled, and answered by the model"),
        Figure("rows without a label", f"{rows.unlabelled:,}", "counted, never guessed"),
    ]
    if rows.mean_error is not None:
        found.append(Figure("mean error", figure(rows.mean_error), "of a row, 0 to 1; smaller is better"))
    return tuple(found)


def _notes(evaluation: Evaluation, one: SplitScore) -> tuple[str, ...]:
    rows = one.rows
    found = []
    if rows.unanswered:
        found.append(f"{plural(rows.unanswered, 'labelled row')} failed or skipped, and so not judged.")
    if rows.several_labels:
        found.append(f"{plural(rows.several_labels, 'row')} with several labels: the first is used.")
    if evaluation.without_confidence:
        count = plural(evaluation.without_confidence, "prediction")
        found.append(f"{count} without a confidence: taken as 1, as Labelbox does.")
    found += [f"Not measured: {count:,} × {kind}." for kind, count in evaluation.unsupported.items()]
    return tuple(found)


def _choice(one: ChoiceScore) -> Part:
    figures = [
        Figure(
            "accuracy", figure(one.accuracy), "answers right" if one.kind == "radio" else "answers right as a whole"
        ),
        Figure("macro F1", figure(one.macro.f1), "mean of the classes"),
    ]
    figures += [
        Figure(f"top-{k}", figure(value), f"label among the {k} best") for k, value in one.top_k.items() if k != "1"
    ]
    if one.jaccard is not None:
        figures.append(Figure("Jaccard", figure(one.jaccard), "answers in common"))
    if one.log_loss is not None:
        figures.append(Figure("log loss", figure(one.log_loss), f"of {plural(one.log_loss_rows, 'row')}"))
    figures += _calibrated(one.calibration)
    notes = [f"{plural(one.answered, 'labelled answer')}; for {one.missed:,} nothing was predicted."]
    if one.unlabelled:
        notes.append(
            f"{plural(one.unlabelled, 'answer')} predicted where the label leaves the question open: not judged."
        )
    return Part(
        feature=one.question,
        title=one.question,
        kind=one.kind,
        figures=tuple(figures),
        notes=tuple(notes),
        classes=_by_labels(one.classes),
        ranked=False,
        overlap="",
        matrix=_matrix(one.confusion),
        errors=_errors(one.confusion),
        calibration=one.calibration,
    )


def _objects(one: ObjectScore) -> Part:
    level = one.levels[0]
    name = one.kind.replace("_", " ")
    figures = [
        Figure("F1", figure(level.f1), ""),
        Figure("precision", figure(level.precision), "of what is predicted"),
        Figure("recall", figure(level.recall), "of what is labelled"),
    ]
    match one.measure:
        case "iou":
            half = next((each.mean_average_precision for each in one.levels if each.level == "0.5"), None)
            figures += [Figure("mAP@.5", figure(half)), Figure("mAP@[.5:.95]", figure(one.mean_average_precision))]
            figures.append(Figure("mean IoU", figure(one.mean_overlap), "of matched pairs"))
            at, overlap = f"found from IoU {one.at} on", "mean IoU"
        case "distance":
            figures.append(Figure("mean distance", _pixels(one.mean_overlap), "of matched pairs"))
            at, overlap = f"found within {one.at} px", "mean px"
        case "span":
            figures.append(Figure("overlap F1", figure(one.levels[1].f1), "where spans only overlap"))
            at, overlap = f"{one.at} spans", ""
        case _:
            at, overlap = f"right where {one.at} are", ""
    figures += _calibrated(one.calibration)
    return Part(
        feature=one.kind,
        title=f"{name}: {at}",
        kind=one.kind,
        figures=tuple(figures),
        notes=(f"{one.labels:,} labelled, {one.predictions:,} predicted.",),
        classes=_by_labels(one.classes),
        ranked=True,
        overlap=overlap,
        matrix=_matrix(one.confusion),
        errors=_errors(one.confusion),
        calibration=one.calibration,
    )


def _text(one: TextScore) -> Part:
    notes = [f"{plural(one.answered, 'labelled text')}; for {one.missed:,} nothing was predicted."]
    if one.unlabelled:
        notes.append(
            f"{plural(one.unlabelled, 'text')} predicted where the label leaves the question open: not judged."
        )
    return Part(
        feature=one.question,
        title=one.question,
        kind="text",
        figures=(
            Figure("exact", figure(one.exact), "to the character"),
            Figure("edit distance", figure(one.edit_distance), "over the longer text's length, mean"),
            Figure("character errors", figure(one.character_error_rate), "edits over all labelled characters"),
        ),
        notes=tuple(notes),
        classes=(),
        ranked=False,
        overlap="",
        matrix=None,
        errors=(),
        calibration=None,
    )


def _calibrated(found: Calibration | None) -> list[Figure]:
    return [] if found is None else [Figure("calibration error", figure(found.expected_error), "smaller is better")]


def _pixels(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} px"


def _by_labels(classes: Sequence[ClassScore]) -> tuple[ClassScore, ...]:
    return tuple(sorted(classes, key=lambda one: (-one.labels, -one.predictions, _natural(one.name))))


def _sentence(count: int, truth: str | None, said: str | None) -> str:
    times = f"{count:,} ×"
    if truth is None:
        return f"{times} “{said}” predicted where there is none"
    if said is None:
        return f"{times} “{truth}” missed"
    if truth == said:
        return f"{times} “{truth}” right"
    return f"{times} “{truth}” taken for “{said}”"


def _errors(confusion: Confusion) -> tuple[ErrorLine, ...]:
    names: tuple[str | None, ...] = (*confusion.classes, None)
    cells = [
        (count, truth, said)
        for truth, row in enumerate(confusion.counts)
        for said, count in enumerate(row)
        if truth != said and count
    ]
    cells.sort(key=lambda cell: -cell[0])
    return tuple(
        ErrorLine(count, _sentence(count, names[truth], names[said]), names[truth], names[said])
        for count, truth, said in cells[:MOST_ERRORS]
    )


def _matrix(confusion: Confusion) -> Matrix | None:
    n = len(confusion.classes)
    counts = confusion.counts
    if not n or not any(any(row) for row in counts):
        return None
    wrong = [
        sum(count for said, count in enumerate(counts[k]) if said != k)
        + sum(row[k] for truth, row in enumerate(counts) if truth != k)
        for k in range(n)
    ]
    worst = sorted(range(n), key=lambda k: (-wrong[k], -sum(counts[k]), k))[:MOST_IN_MATRIX]
    shown = [*sorted(worst, key=lambda k: _natural(confusion.classes[k])), n]
    names: tuple[str | None, ...] = (*confusion.classes, None)
    rows = []
    for truth in shown:
        most = max(counts[truth][said] for said in shown)
        cells = tuple(
            Cell(
                counts[truth][said],
                _sentence(counts[truth][said], names[truth], names[said]),
                names[truth],
                names[said],
                _shade(counts[truth][said], most),
                right=truth == said < n,
            )
            for said in shown
        )
        rows.append((names[truth], cells))
    return Matrix(tuple(names[k] for k in shown), tuple(rows), n - len(worst))


def _natural(name: str) -> list[tuple[int, int, str]]:
    """To order by: numbers in names as numbers."""
    parts = re.split(r"(\d{1,15})", name.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


def _shade(count: int, most: int) -> int:
    return 0 if not count else max(1, round(SHADES * count / most))
