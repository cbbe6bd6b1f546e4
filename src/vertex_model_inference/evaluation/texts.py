"""Free text: exact matches and edit distance."""

from __future__ import annotations

from collections import Counter

import numpy as np

from vertex_model_inference.evaluation.arrays import Columns, Table
from vertex_model_inference.evaluation.classes import ratio
from vertex_model_inference.evaluation.scores import TextScore

__all__ = ["TextTally", "edit_distance", "text_error"]


def edit_distance(one: str, other: str) -> int:
    """Least number of characters to insert, remove or replace to make one text of the other (Levenshtein).

    Bit-parallel over the shorter text (Myers 1999, in Hyyrö's form), with Python's integers as words of any length.
    """
    if one == other:
        return 0
    short, long = (one, other) if len(one) <= len(other) else (other, one)
    if not short:
        return len(long)
    ones = (1 << len(short)) - 1
    last = 1 << (len(short) - 1)
    where: dict[str, int] = {}
    for place, character in enumerate(short):
        where[character] = where.get(character, 0) | 1 << place
    more, less, distance = ones, 0, len(short)
    for character in long:
        equal = where.get(character, 0)
        diagonal = (((equal & more) + more) ^ more) | equal | less
        up = less | (ones & ~(diagonal | more))
        down = diagonal & more
        if up & last:
            distance += 1
        elif down & last:
            distance -= 1
        up = (up << 1 | 1) & ones
        down = (down << 1) & ones
        more = down | (ones & ~(diagonal | up))
        less = up & diagonal
    return distance


def text_error(label: str, said: str | None) -> float:
    """Edit distance over the length of the longer text, 0..1; 1 where nothing is said."""
    if said is None:
        return 1.0
    longest = max(len(label), len(said))
    return edit_distance(label, said) / longest if longest else 0.0


class TextTally:
    """Counts the answers to one free-text question.

    Args:
        question: Its name or path.
        keep_rows: Remember which row each answer is of, for ``records``.
    """

    kind = "text"

    def __init__(self, question: str, *, keep_rows: bool = False) -> None:
        self.question = question
        self._table = Columns(
            () if keep_rows else ("row",),
            row=np.int32, split=np.int8, right=np.bool_, missed=np.bool_, error=np.float64, edits=np.int32,
            length=np.int32, weight=np.int32,
        )  # fmt: skip
        self._open: Counter[int] = Counter()

    def add(self, row: int, split: int, label: str, said: str | None, weight: int = 1) -> float:
        """One labelled text; returns its error (``text_error``)."""
        edits = len(label) if said is None else edit_distance(label, said)
        longest = max(len(label), len(said or ""))
        error = 1.0 if said is None else edits / longest if longest else 0.0
        self._table.put(row, split, label == said, said is None, error, edits, len(label), weight)
        return error

    def leave_open(self, split: int) -> None:
        """A prediction where the label says nothing about the question."""
        self._open[split] += 1

    def records(self) -> Table:
        """Row and whether it is right of each text, for comparing runs."""
        return self._table.get()

    def score(self, split: int | None) -> TextScore:
        """The figures of a split; None: of all rows."""
        table = self._table.of_split(split)
        weight = table["weight"]
        total = int(weight.sum())
        return TextScore(
            question=self.question,
            answered=total,
            unlabelled=self._open.total() if split is None else self._open[split],
            missed=int(weight[table["missed"]].sum()),
            exact=ratio(int(weight[table["right"]].sum()), total),
            edit_distance=ratio(float((table["error"] * weight).sum()), total),
            character_error_rate=ratio(
                int((table["edits"] * weight.astype(np.int64)).sum()),
                int((table["length"] * weight.astype(np.int64)).sum()),
            ),
        )
