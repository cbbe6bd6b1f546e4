"""Two runs over the same rows: what changed, which rows got better and worse, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np

from vertex_model_inference.evaluation.arrays import Bools, Flags, Floats, Ints, Table
from vertex_model_inference.evaluation.choices import RadioTally
from vertex_model_inference.evaluation.evaluator import Evaluator
from vertex_model_inference.evaluation.objects import ObjectTally
from vertex_model_inference.evaluation.scores import ClassScore, SplitScore
from vertex_model_inference.evaluation.sweep import average_precision

__all__ = ["AnswerChange", "ClassChange", "Comparison", "Interval", "ObjectChange", "RowChange", "compare", "mcnemar"]

_SEED = 20_260
_SAME = 1e-9


class ClassChange(msgspec.Struct, frozen=True, kw_only=True):
    """One class in both runs: ``first`` and ``second`` of each figure, None where a run has none.

    Attributes:
        feature: Question or kind of object. ``name``: the class.
        labels: How often it is labelled.
    """

    feature: str
    name: str
    labels: int
    precision: tuple[float | None, float | None]
    recall: tuple[float | None, float | None]
    f1: tuple[float | None, float | None]
    average_precision: tuple[float | None, float | None]


class AnswerChange(msgspec.Struct, frozen=True, kw_only=True):
    """One question: rows that both, either or none of the runs answer right.

    Attributes:
        accuracy: Share of rows right, first and second.
        p_value: McNemar's exact test, two-sided: how likely so uneven a split of the rows that only one run gets right
            is, when both are equally good.
    """

    question: str
    rows: int
    both: int
    only_first: int
    only_second: int
    neither: int
    accuracy: tuple[float, float]
    p_value: float


class Interval(msgspec.Struct, frozen=True):
    """A difference, second less first, and where it lies in 95 of 100 resamplings of the rows."""

    difference: float
    low: float
    high: float


class ObjectChange(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of object, at the chosen level.

    Attributes:
        at: The level. ``f1``: first and second, over all classes. ``f1_change``: their difference.
        average_precision: Mean over the classes, first and second, at that level; None without labels.
    """

    kind: str
    at: str
    f1: tuple[float, float]
    f1_change: Interval
    average_precision: tuple[float, float] | None
    average_precision_change: Interval | None


class RowChange(msgspec.Struct, frozen=True):
    """A row and its error (see ``agreement.RowAgreement``) in the first and the second run."""

    data_row_id: str
    first: float
    second: float


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What ``vmi compare`` says.

    Attributes:
        first: Run id. ``second``: likewise.
        split: Of the rows compared.
        rows: Judged in both runs, and so compared. ``only_first``, ``only_second``: judged in one, left out.
        better: Rows whose error fell. ``worse``: rows whose error rose.
        most_better: The rows that got most better. ``most_worse``: most worse.
        mean_error: Of the rows compared, first and second.
    """

    first: str
    second: str
    split: str
    rows: int
    only_first: int
    only_second: int
    mean_error: tuple[float, float]
    better: int
    worse: int
    most_better: tuple[RowChange, ...]
    most_worse: tuple[RowChange, ...]
    answers: tuple[AnswerChange, ...]
    objects: tuple[ObjectChange, ...]
    classes: tuple[ClassChange, ...]


def mcnemar(only_first: int, only_second: int) -> float:
    """McNemar's exact test, two-sided: the binomial probability of a split at least as uneven, 0..1."""
    n, k = only_first + only_second, min(only_first, only_second)
    if n == 0 or only_first == only_second:
        return 1.0
    logs = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - n * math.log(2) for i in range(k + 1)]
    top = max(logs)
    return min(1.0, 2 * math.exp(top) * math.fsum(math.exp(one - top) for one in logs))


def compare(
    names: tuple[str, str],
    split: str,
    evaluators: tuple[Evaluator, Evaluator],
    scores: tuple[SplitScore, SplitScore],
    errors: tuple[Mapping[str, float], Mapping[str, float]],
    *,
    left_out: tuple[int, int] = (0, 0),
    most_rows: int = 20,
    resamplings: int = 1000,
) -> Comparison:
    """Compare two runs that were judged on the same rows.

    Args:
        names: Run ids. ``split``: of the rows.
        split: See ``names``.
        evaluators: That counted the rows of this split and no others, with ``keep_rows``.
        scores: Their figures.
        errors: Row id -> error, of the same rows.
        left_out: Rows that only one of the runs judged.
        most_rows: Rows listed as better, and as worse.
        resamplings: Of the rows, for intervals; the same each time.
    """
    ids = sorted(errors[0])
    first, second = (np.asarray([each[row_id] for row_id in ids]) for each in errors)
    change = second - first
    order = np.argsort(change, kind="stable")
    rows = [RowChange(ids[k], float(first[k]), float(second[k])) for k in order]
    better, worse = int((change < -_SAME).sum()), int((change > _SAME).sum())
    numbers = {row_id: number for number, row_id in enumerate(ids)}
    places = tuple(np.asarray([numbers[row_id] for row_id in each.row_ids], dtype=np.int64) for each in evaluators)
    return Comparison(
        first=names[0],
        second=names[1],
        split=split,
        rows=len(ids),
        only_first=left_out[0],
        only_second=left_out[1],
        mean_error=(float(first.mean()), float(second.mean())) if ids else (0.0, 0.0),
        better=better,
        worse=worse,
        most_better=tuple(rows[: min(better, most_rows)]),
        most_worse=tuple(reversed(rows[len(rows) - min(worse, most_rows) :])) if worse else (),
        answers=tuple(_answers(evaluators, (places[0], places[1]), len(ids))),
        objects=tuple(_objects(evaluators, (places[0], places[1]), resamplings)),
        classes=tuple(_classes(scores)),
    )


def _answers(evaluators: tuple[Evaluator, Evaluator], places: tuple[Ints, Ints], rows: int) -> list[AnswerChange]:
    wrong: list[dict[tuple[str, str], tuple[Bools, Bools]]] = []
    for evaluator, place in zip(evaluators, places, strict=True):
        mine: dict[tuple[str, str], tuple[Bools, Bools]] = {}
        for tally in evaluator.questions.tallies:
            table = tally.records()
            right = table["label"] == table["said"] if isinstance(tally, RadioTally) else table["right"]
            there, bad = np.zeros(rows, dtype=np.bool_), np.zeros(rows, dtype=np.bool_)
            there[place[table["row"]]] = True
            bad[place[table["row"][~right]]] = True
            mine[(tally.kind, tally.question)] = (there, bad)
        wrong.append(mine)
    found = []
    for key in wrong[0].keys() & wrong[1].keys():
        (there_a, bad_a), (there_b, bad_b) = wrong[0][key], wrong[1][key]
        there = there_a & there_b
        total = int(there.sum())
        if not total:
            continue
        right_a, right_b = there & ~bad_a, there & ~bad_b
        one, other = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
        both = int((right_a & right_b).sum())
        found.append(
            AnswerChange(
                question=key[1],
                rows=total,
                both=both,
                only_first=one,
                only_second=other,
                neither=total - both - one - other,
                accuracy=((both + one) / total, (both + other) / total),
                p_value=mcnemar(one, other),
            )
        )
    return sorted(found, key=lambda each: each.question)


class _Ranked:
    """Predictions of one class by falling confidence, and its labels, with the number of the row of each."""

    def __init__(self, said: Table, meant: Table, number: int, place: Ints) -> None:
        mine = np.flatnonzero(said["label"] == number)
        order = mine[np.argsort(-said["score"][mine], kind="stable")]
        self.scores: Floats = said["score"][order]
        self.flags: Flags = said["flags"][order] & np.uint16(1)
        self.rows: Ints = place[said["row"][order]]
        self.labels: Ints = place[meant["row"][meant["label"] == number]]

    def precision(self, counts: Ints) -> float:
        labels = int(counts[self.labels].sum())
        return float(average_precision(self.scores, self.flags, labels, 1, counts[self.rows])[0])


class _Resampled:
    """One run's objects of one kind, measured again on rows that are drawn anew."""

    def __init__(self, tally: ObjectTally, place: Ints, rows: int) -> None:
        said, meant = tally.records()
        right = (said["flags"] & np.uint16(1)).astype(np.bool_)
        self.right = np.bincount(place[said["row"][right]], minlength=rows)
        self.said = np.bincount(place[said["row"]], minlength=rows)
        self.meant = np.bincount(place[meant["row"]], minlength=rows)
        self.classes = [_Ranked(said, meant, number, place) for number in range(len(tally.classes.names))]

    def f1(self, counts: Ints) -> float:
        total = int(counts @ self.said) + int(counts @ self.meant)
        return 2 * int(counts @ self.right) / total if total else 0.0

    def precision(self, counts: Ints) -> float | None:
        found = [one.precision(counts) for one in self.classes if counts[one.labels].any()]
        return math.fsum(found) / len(found) if found else None


def _drawn(rows: int, resamplings: int) -> Iterator[Ints]:
    """How often each row is drawn, again and again; the same each time it is asked for, one at a time in memory."""
    dice = np.random.default_rng(_SEED)
    for _ in range(resamplings):
        yield np.bincount(dice.integers(0, rows, rows), minlength=rows).astype(np.int64)


def _objects(
    evaluators: tuple[Evaluator, Evaluator], places: tuple[Ints, Ints], resamplings: int
) -> list[ObjectChange]:
    found = []
    for kind in evaluators[0].objects.keys() & evaluators[1].objects.keys():
        tallies = [evaluator.objects[kind] for evaluator in evaluators]
        rows = len(places[0])
        first, second = (_Resampled(tally, place, rows) for tally, place in zip(tallies, places, strict=True))
        once = np.ones(rows, dtype=np.int64)
        f1 = (first.f1(once), second.f1(once))
        one, other = first.precision(once), second.precision(once)
        f1_changes: list[float] = []
        changes: list[float] = []
        for counts in _drawn(rows, resamplings):
            f1_changes.append(second.f1(counts) - first.f1(counts))
            a, b = first.precision(counts), second.precision(counts)
            if a is not None and b is not None:
                changes.append(b - a)
        known = one is not None and other is not None
        found.append(
            ObjectChange(
                kind=kind,
                at=tallies[0].measure.words[0],
                f1=f1,
                f1_change=_interval(f1[1] - f1[0], f1_changes),
                average_precision=(one, other) if one is not None and other is not None else None,
                average_precision_change=_interval((other or 0.0) - (one or 0.0), changes) if known else None,
            )
        )
    return sorted(found, key=lambda each: each.kind)


def _interval(difference: float, changes: Sequence[float]) -> Interval:
    if not changes:
        return Interval(difference, difference, difference)
    low, high = np.percentile(np.asarray(changes), (2.5, 97.5)).tolist()
    return Interval(difference, low, high)


def _classes(scores: tuple[SplitScore, SplitScore]) -> list[ClassChange]:
    found: list[dict[tuple[str, str], ClassScore]] = []
    for split in scores:
        mine = {(choice.question, one.name): one for choice in split.choices for one in choice.classes}
        mine.update({(objects.kind, one.name): one for objects in split.objects for one in objects.classes})
        found.append(mine)
    changes = []
    for key in dict.fromkeys((*found[0], *found[1])):
        a, b = found[0].get(key), found[1].get(key)
        changes.append(
            ClassChange(
                feature=key[0],
                name=key[1],
                labels=max(one.labels for one in (a, b) if one is not None),
                precision=_pair(a, b, "precision"),
                recall=_pair(a, b, "recall"),
                f1=_pair(a, b, "f1"),
                average_precision=_pair(a, b, "average_precision"),
            )
        )
    return sorted(changes, key=lambda one: -abs((one.f1[1] or 0.0) - (one.f1[0] or 0.0)))


def _pair(a: ClassScore | None, b: ClassScore | None, figure: str) -> tuple[float | None, float | None]:
    return getattr(a, figure, None), getattr(b, figure, None)
