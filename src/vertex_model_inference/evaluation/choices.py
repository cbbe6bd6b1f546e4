"""Radios and checklists: accuracy, top-k, precision and recall by class, log loss and calibration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from vertex_model_inference.annotations import Checklist, Radio
from vertex_model_inference.evaluation.arrays import Bools, Columns, Ints, Table
from vertex_model_inference.evaluation.calibration import calibration
from vertex_model_inference.evaluation.classes import averages, class_score, ratio
from vertex_model_inference.evaluation.names import Numbers
from vertex_model_inference.evaluation.scores import Averages, ChoiceScore, ClassScore, Confusion

__all__ = ["ChecklistTally", "RadioTally", "confident"]

_TOP = (1, 2, 3, 5, 10)
_NOTHING = -1
_SMALLEST = float(np.finfo(np.float64).eps)
_WHOLE = 0.02
"""Scores are a whole distribution over the classes when their sum is this near to 1."""


def confident(confidence: float | None) -> float:
    """The confidence, 1 where there is none: so Labelbox takes it."""
    return 1.0 if confidence is None else confidence


class RadioTally:
    """Counts the answers to one radio, a few bytes each.

    Args:
        question: Its name or path.
    """

    kind = "radio"

    def __init__(self, question: str) -> None:
        self.question = question
        self._classes = Numbers()
        self._table = Columns(
            row=np.int32, split=np.int8, label=np.int32, said=np.int32, score=np.float64, weight=np.int64,
            place=np.int32, loss=np.float64,
        )  # fmt: skip
        self._open: Counter[int] = Counter()

    def add(
        self,
        row: int,
        split: int,
        label: Radio,
        said: Radio | None,
        scores: Mapping[str, float] | None = None,
        weight: int = 1,
    ) -> None:
        """One labelled answer.

        Args:
            row: Number of the data row. ``split``: number of its split.
            label: What is labelled. ``said``: what is predicted, None: nothing.
            scores: The model's score of each class that it knows; None: not known.
            weight: How often it counts: frames of a video.
        """
        place, loss = _place_and_loss(label.answer.name, scores)
        self._table.put(
            row,
            split,
            self._classes.of(label.answer.name),
            _NOTHING if said is None else self._classes.of(said.answer.name),
            0.0 if said is None else confident(said.answer.confidence),
            weight,
            place,
            loss,
        )

    def leave_open(self, split: int) -> None:
        """A prediction where the label says nothing about the question."""
        self._open[split] += 1

    def records(self) -> Table:
        """Row, label, said and score of each answer (numbers of classes; -1: nothing said), for comparing runs."""
        return self._table.get()

    def score(self, split: int | None) -> ChoiceScore:
        """The figures of a split; None: of all rows."""
        table = self._table.of_split(split)
        label, said = table["label"].astype(np.int64), table["said"].astype(np.int64)
        score, weight = table["score"], table["weight"]
        names = self._classes.names
        right: Bools = label == said
        answered = said != _NOTHING
        total, hits = int(weight.sum()), int(weight[right].sum())
        classes = []
        for number, name in enumerate(names):
            mine = said == number
            labels = int(weight[label == number].sum())
            if labels or mine.any():
                classes.append(class_score(name, score[mine], right[mine], labels, weights=weight[mine]))
        place, loss = table["place"], table["loss"]
        ranked, scored = place >= 0, ~np.isnan(loss)
        known = int(weight[ranked].sum())
        most = max((len(classes), 2))
        said_total = int(weight[answered].sum())
        return ChoiceScore(
            question=self.question,
            kind=self.kind,
            answered=total,
            unlabelled=self._open.total() if split is None else self._open[split],
            missed=total - said_total,
            accuracy=ratio(hits, total),
            micro=_micro(hits, said_total, total),
            macro=averages(classes),
            weighted=averages(classes, [float(one.labels) for one in classes]),
            classes=tuple(classes),
            confusion=_confusion(names, label, said, weight),
            top_k={str(k): float(weight[ranked & (place < k)].sum() / known) for k in _TOP if known and k <= most},
            log_loss=float((loss * weight)[scored].sum() / weight[scored].sum()) if scored.any() else None,
            log_loss_rows=int(weight[scored].sum()),
            calibration=calibration(score[answered], right[answered], weight[answered]),
        )


def _place_and_loss(label: str, scores: Mapping[str, float] | None) -> tuple[int, float]:
    """Place of the labelled class among the scores (0: best; -1: not known), and -ln of its share (NaN: not known)."""
    if not scores:
        return _NOTHING, np.nan
    mine = scores.get(label)
    # A class without a score comes after all that have one; of equal scores the first is the model's choice.
    before = 0
    for name, score in scores.items():
        if name == label:
            break
        before += mine is None or score >= mine
    after = 0
    if mine is not None:
        seen = False
        for name, score in scores.items():
            after += seen and score > mine
            seen = seen or name == label
    else:
        before = len(scores)
    total = sum(scores.values())
    if abs(total - 1) > _WHOLE:
        return before + after, np.nan
    share = min(max((mine or 0.0) / total, _SMALLEST), 1 - _SMALLEST)
    return before + after, -float(np.log(share))


def _micro(hits: int, said: int, labels: int) -> Averages:
    return Averages(hits / said if said else 0.0, hits / labels if labels else 0.0, 2 * hits / max(said + labels, 1))


def _confusion(names: list[str], label: Ints, said: Ints, weight: Ints) -> Confusion:
    """-1 stands for nothing labelled, or nothing predicted. Only classes that occur are listed."""
    used = np.unique(np.concatenate((label, said)))
    used = used[used >= 0]
    n = len(used)
    place = np.full(len(names) + 1, n, dtype=np.int64)  # the last entry serves -1
    place[used] = np.arange(n)
    counts = np.zeros((n + 1, n + 1), dtype=np.int64)
    np.add.at(counts, (place[label], place[said]), weight)
    return Confusion(tuple(names[k] for k in used), tuple(tuple(row) for row in counts.tolist()))


class ChecklistTally:
    """Counts the answers to one checklist: each option by itself, and whether the choice is right as a whole.

    Args:
        question: Its name or path.
    """

    kind = "checklist"

    def __init__(self, question: str) -> None:
        self.question = question
        self._classes = Numbers()
        self._options = Columns(
            row=np.int32, split=np.int8, option=np.int32, labelled=np.bool_, said=np.bool_, score=np.float64,
            weight=np.int64,
        )  # fmt: skip
        self._rows = Columns(
            row=np.int32, split=np.int8, right=np.bool_, missed=np.bool_, jaccard=np.float64, weight=np.int64
        )
        self._open: Counter[int] = Counter()

    def add(self, row: int, split: int, label: Checklist, said: Checklist | None, weight: int = 1) -> None:
        """One labelled answer; arguments as of ``RadioTally.add``."""
        meant = {answer.name for answer in label.answers}
        chosen = {} if said is None else {answer.name: answer for answer in said.answers}
        both = sorted(meant.union(chosen))
        for name in both:
            score = confident(chosen[name].confidence) if name in chosen else 0.0
            self._options.put(row, split, self._classes.of(name), name in meant, name in chosen, score, weight)
        shared = len(meant.intersection(chosen))
        whole = meant == chosen.keys()
        self._rows.put(row, split, whole, not chosen, shared / len(both) if both else 1.0, weight)

    def leave_open(self, split: int) -> None:
        """A prediction where the label says nothing about the question."""
        self._open[split] += 1

    def records(self) -> Table:
        """Row and whether it is right of each answer, for comparing runs."""
        return self._rows.get()

    def score(self, split: int | None) -> ChoiceScore:
        """The figures of a split; None: of all rows."""
        options, rows = self._options.of_split(split), self._rows.of_split(split)
        option, weight = options["option"].astype(np.int64), options["weight"]
        labelled, said, score = options["labelled"], options["said"], options["score"]
        right = labelled & said
        classes: list[ClassScore] = []
        names = self._classes.names
        for number, name in enumerate(names):
            mine = (option == number) & said
            labels = int(weight[(option == number) & labelled].sum())
            if labels or mine.any():
                classes.append(class_score(name, score[mine], right[mine], labels, weights=weight[mine]))
        of_rows = rows["weight"]
        total = int(of_rows.sum())
        whole = rows["right"]
        return ChoiceScore(
            question=self.question,
            kind=self.kind,
            answered=total,
            unlabelled=self._open.total() if split is None else self._open[split],
            missed=int(of_rows[rows["missed"]].sum()),
            accuracy=ratio(int(of_rows[whole].sum()), total),
            micro=_micro(int(weight[right].sum()), int(weight[said].sum()), int(weight[labelled].sum())),
            macro=averages(classes),
            weighted=averages(classes, [float(one.labels) for one in classes]),
            classes=tuple(classes),
            confusion=_confusion(names, np.where(labelled, option, _NOTHING), np.where(said, option, _NOTHING), weight),
            jaccard=ratio(float((rows["jaccard"] * of_rows).sum()), total),
            calibration=calibration(score[said], right[said], weight[said]),
        )
