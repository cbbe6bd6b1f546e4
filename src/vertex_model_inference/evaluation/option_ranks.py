"""Where the labelled class stands among the scores that a model gives all classes, and what it costs: many at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np

from vertex_model_inference.evaluation.arrays import Floats, Ints, summed

__all__ = ["OptionRanks", "places_and_losses"]

_SMALLEST = float(np.finfo(np.float64).eps)
_WHOLE = 0.02
"""Scores are a whole distribution over the classes when their sum is this near to 1."""
_SCORES_AT_ONCE = 1 << 16


def places_and_losses(labels: Sequence[str], scores: Sequence[Mapping[str, float]]) -> tuple[Ints, Floats]:
    """Place and loss of the labelled class in each of some answers.

    Args:
        labels: The labelled classes, n of them.
        scores: Class -> score of each answer, none of them empty.

    Returns:
        Place, 0 the best: of equal scores the first is the model's choice, a class without a score comes after all that
        have one; shape (n,). -ln of its share, natural logarithm; NaN where the scores are not a whole distribution;
        shape (n,).
    """
    place, loss = np.empty(len(labels), dtype=np.int64), np.full(len(labels), np.nan)
    sizes: dict[int, list[int]] = {}
    for index, one in enumerate(scores):
        sizes.setdefault(len(one), []).append(index)
    for size, indices in sizes.items():
        given = chain.from_iterable(scores[index].values() for index in indices)
        table = np.fromiter(given, dtype=np.float64, count=size * len(indices)).reshape(len(indices), size)
        mine = np.asarray([_position(scores[index], labels[index]) for index in indices])
        known = mine >= 0
        own = np.where(known, table[np.arange(len(mine)), mine], -np.inf)[:, None]
        before = (table > own) | ((table == own) & (np.arange(size) < mine[:, None]))
        place[indices] = np.where(known, before.sum(axis=1), size)
        total = table.sum(axis=1)
        whole = np.abs(total - 1) <= _WHOLE
        share = np.where(known, own[:, 0], 0.0)[whole] / total[whole]
        loss[np.asarray(indices)[whole]] = -np.log(np.clip(share, _SMALLEST, 1 - _SMALLEST))
    return place, loss


def _position(scores: Mapping[str, float], label: str) -> int:
    return list(scores).index(label) if label in scores else -1


class OptionRanks:
    """Counts places and adds up losses by split; answers wait for each other, so that many are looked at together."""

    def __init__(self) -> None:
        self._places: Counter[tuple[int, int]] = Counter()
        self._losses: dict[int, tuple[float, int]] = {}
        self._waiting: list[tuple[int, str, Mapping[str, float], int]] = []
        self._size = 0

    def add(self, split: int, label: str, scores: Mapping[str, float], weight: int) -> None:
        """One answer.

        Args:
            split: Number of the row's split. ``label``: the labelled class.
            scores: Class -> score, not empty; must not be changed afterwards.
            weight: How often it counts.
        """
        self._waiting.append((split, label, scores, weight))
        self._size += len(scores)
        if self._size >= _SCORES_AT_ONCE:
            self._settle()

    def top(self, split: int | None, k: int) -> float | None:
        """Share of the answers whose labelled class is among the ``k`` best-scored; None: no scores are known."""
        self._settle()
        found = [(place, count) for (each, place), count in self._places.items() if split in (None, each)]
        total = sum(count for _, count in found)
        return sum(count for place, count in found if place < k) / total if total else None

    def loss(self, split: int | None) -> tuple[float | None, int]:
        """Mean loss of the answers with a whole distribution (None: there is none), and how many those are."""
        self._settle()
        found = [sums for each, sums in self._losses.items() if split in (None, each)]
        count = sum(number for _, number in found)
        return (sum(loss for loss, _ in found) / count if count else None), count

    def _settle(self) -> None:
        if not self._waiting:
            return
        splits, labels, scores, weights = zip(*self._waiting, strict=True)
        self._waiting, self._size = [], 0
        place, loss = places_and_losses(labels, scores)
        split, weight = np.asarray(splits), np.asarray(weights)
        for (of, at), count in summed(weight, split, place):
            self._places[(of, at)] += int(count)
        for number in set(splits):
            mine = (split == number) & ~np.isnan(loss)
            before, count_before = self._losses.get(number, (0.0, 0))
            total = before + float((loss * weight)[mine].sum())
            self._losses[number] = (total, count_before + int(weight[mine].sum()))
