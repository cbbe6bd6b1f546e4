"""Radios and checklists: accuracy, top-k, precision and recall by class, log loss and calibration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vertex_model_inference.annotations import Checklist, Radio
from vertex_model_inference.evaluation.arrays import Columns, Ints, Table, by_number
from vertex_model_inference.evaluation.calibration import binned, calibration
from vertex_model_inference.evaluation.classes import averages, class_score, ratio
from vertex_model_inference.evaluation.names import Numbers
from vertex_model_inference.evaluation.option_ranks import OptionRanks
from vertex_model_inference.evaluation.scores import Averages, ChoiceScore, ClassScore, Confusion

__all__ = ["ChecklistTally", "RadioTally", "confident"]

_TOP = (1, 2, 3, 5, 10)
_NOTHING = -1
_AT_ONCE = 1 << 20


def confident(confidence: float | None) -> float:
    """The confidence, 1 where there is none: so Labelbox takes it."""
    return 1.0 if confidence is None else confidence


class RadioTally:
    """Counts the answers to one radio, a few bytes each.

    Args:
        question: Its name or path.
        keep_rows: Remember which row each answer is of, for ``records``.
    """

    kind = "radio"

    def __init__(self, question: str, *, keep_rows: bool = False) -> None:
        self.question = question
        self._classes = Numbers()
        self._table = Columns(
            () if keep_rows else ("row",),
            row=np.int32, split=np.int8, label=np.int32, said=np.int32, score=np.float64, weight=np.int32,
        )  # fmt: skip
        self._ranks = OptionRanks()
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
        name, number_of = label.answer.name, self._classes.of
        if scores:
            self._ranks.add(split, name, scores, weight)
        if said is None:
            self._table.put(row, split, number_of(name), _NOTHING, 0.0, weight)
        else:
            answer = said.answer
            score = 1.0 if answer.confidence is None else answer.confidence
            self._table.put(row, split, number_of(name), number_of(answer.name), score, weight)

    def leave_open(self, split: int) -> None:
        """A prediction where the label says nothing about the question."""
        self._open[split] += 1

    def records(self) -> Table:
        """Row, label, said and score of each answer (numbers of classes; -1: nothing said), for comparing runs."""
        return self._table.get()

    def score(self, split: int | None) -> ChoiceScore:
        """The figures of a split; None: of all rows."""
        table = self._table.of_split(split)
        label, said, score, weight = (table[name] for name in ("label", "said", "score", "weight"))
        names = self._classes.names
        counts = _crossed(label, said, weight, len(names))
        hits, total, missed = int(np.trace(counts[:-1, :-1])), int(counts.sum()), int(counts[:, -1].sum())
        right = label == said
        once = bool((weight == 1).all())
        support = counts.sum(axis=1).tolist()
        classes = []
        for number, mine in enumerate(by_number(said, len(names))):
            if support[number] or len(mine):
                one = class_score(
                    names[number], score[mine], right[mine], support[number], weights=None if once else weight[mine]
                )
                classes.append(one)
        answered = said != _NOTHING if missed else slice(None)
        log_loss, log_loss_rows = self._ranks.loss(split)
        top = {str(k): self._ranks.top(split, k) for k in _TOP if k <= max(len(classes), 2)}
        return ChoiceScore(
            question=self.question,
            kind=self.kind,
            answered=total,
            unlabelled=self._open.total() if split is None else self._open[split],
            missed=missed,
            accuracy=ratio(hits, total),
            micro=_micro(hits, total - missed, total),
            macro=averages(classes),
            weighted=averages(classes, [float(one.labels) for one in classes]),
            classes=tuple(classes),
            confusion=_confusion(names, counts),
            top_k={k: share for k, share in top.items() if share is not None},
            log_loss=log_loss,
            log_loss_rows=log_loss_rows,
            calibration=calibration(binned(score[answered], right[answered], None if once else weight[answered])),
        )


def _micro(hits: int, said: int, labels: int) -> Averages:
    return Averages(hits / said if said else 0.0, hits / labels if labels else 0.0, 2 * hits / max(said + labels, 1))


def _crossed(label: npt.NDArray[Any], said: npt.NDArray[Any], weight: npt.NDArray[Any], classes: int) -> Ints:
    """How often each class (rows) was predicted as each (columns), shape (classes + 1, classes + 1).

    -1 stands for nothing labelled, or nothing predicted, and is counted in the last row or column.
    """
    side = classes + 1
    counts = np.zeros(side * side, dtype=np.int64)
    for start in range(0, len(label), _AT_ONCE):  # bounds memory
        piece = slice(start, start + _AT_ONCE)
        # The remainder of -1 is the last class.
        joined = (label[piece].astype(np.int64) % side) * side + said[piece] % side
        counts += np.bincount(joined, weight[piece], side * side).astype(np.int64)
    return counts.reshape(side, side)


def _confusion(names: list[str], counts: Ints) -> Confusion:
    """Only classes that occur are listed."""
    used = np.flatnonzero(counts[:-1].sum(axis=1) + counts[:, :-1].sum(axis=0))
    kept = np.append(used, len(names))
    return Confusion(tuple(names[k] for k in used), tuple(tuple(row) for row in counts[np.ix_(kept, kept)].tolist()))


class ChecklistTally:
    """Counts the answers to one checklist: each option by itself, and whether the choice is right as a whole.

    Args:
        question: Its name or path.
        keep_rows: Remember which row each answer is of, for ``records``.
    """

    kind = "checklist"

    def __init__(self, question: str, *, keep_rows: bool = False) -> None:
        self.question = question
        self._classes = Numbers()
        self._options = Columns(
            split=np.int8, option=np.int32, labelled=np.bool_, said=np.bool_, score=np.float64, weight=np.int32
        )
        self._rows = Columns(
            () if keep_rows else ("row",),
            row=np.int32, split=np.int8, right=np.bool_, missed=np.bool_, jaccard=np.float64, weight=np.int32,
        )  # fmt: skip
        self._open: Counter[int] = Counter()

    def add(self, row: int, split: int, label: Checklist, said: Checklist | None, weight: int = 1) -> None:
        """One labelled answer; arguments as of ``RadioTally.add``."""
        meant = {answer.name for answer in label.answers}
        chosen = {} if said is None else {answer.name: answer for answer in said.answers}
        both = sorted(meant.union(chosen))
        for name in both:
            score = confident(chosen[name].confidence) if name in chosen else 0.0
            self._options.put(split, self._classes.of(name), name in meant, name in chosen, score, weight)
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
        option, weight = options["option"], options["weight"]
        labelled, said, score = options["labelled"], options["said"], options["score"]
        right = labelled & said
        names = self._classes.names
        counts = _crossed(np.where(labelled, option, _NOTHING), np.where(said, option, _NOTHING), weight, len(names))
        support, told = counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist()
        classes: list[ClassScore] = []
        for number, each in enumerate(by_number(option, len(names))):
            mine = each[said[each]]
            if support[number] or len(mine):
                one = class_score(names[number], score[mine], right[mine], support[number], weights=weight[mine])
                classes.append(one)
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
            micro=_micro(int(np.trace(counts[:-1, :-1])), sum(told[:-1]), sum(support[:-1])),
            macro=averages(classes),
            weighted=averages(classes, [float(one.labels) for one in classes]),
            classes=tuple(classes),
            confusion=_confusion(names, counts),
            jaccard=ratio(float((rows["jaccard"] * of_rows).sum()), total),
            calibration=calibration(binned(score[said], right[said], weight[said])),
        )
