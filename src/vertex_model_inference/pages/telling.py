"""Which rows of a run tell the most about it: wrong, missed and unsure ones; and why rows failed."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from vertex_model_inference.evaluation.agreement import LabelVerdict, RowAgreement, SaidVerdict
from vertex_model_inference.outcomes import Outcome, OutcomeStatus
from vertex_model_inference.pages.words import confidence, plural
from vertex_model_inference.spec import Files
from vertex_model_inference.steps.judged_rows import JudgedRows
from vertex_model_inference.storage.store import Store

__all__ = ["Cause", "Group", "Telling", "causes_of", "telling_rows"]

_AGREEMENT = msgspec.json.Decoder(RowAgreement)
_OUTCOME = msgspec.json.Decoder(Outcome)
_MOST_CAUSES = 40
_EXAMPLES = 3
_SURE = 0.9
"""A row with a prediction as confident as that is not among the least sure ones."""
_LOOKED_AT = 200
"""Shards whose predictions are read for the least sure rows of a run without labels."""


class Telling(NamedTuple):
    """A row, the shard it is in, and why it is shown, in words."""

    data_row_id: str
    shard: int
    why: str


class Group(NamedTuple):
    """Rows shown for the same reason."""

    title: str
    means: str
    rows: tuple[Telling, ...]


class Cause(msgspec.Struct):
    """Rows that ended at the same step for the same cause.

    Attributes:
        status: ``failed`` or ``skipped``. ``step``, ``code``: as of ``Outcome``.
        message: Of the first of them. ``retryable``: running them again can help.
        number: How many. ``examples``: ids (or global keys) of the first.
    """

    status: str
    step: str
    code: str
    message: str
    retryable: bool
    number: int = 0
    examples: list[str] = []


class _Best:
    """Keeps the rows with the highest keys; of equal ones the first that came."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[float, int, Telling]] = []
        self._came = 0

    def add(self, key: float, row: str, shard: int, why: str) -> None:
        if key <= 0 or (len(self._heap) == self._most and key <= self._heap[0][0]):
            return
        self._came -= 1
        entry = (key, self._came, Telling(row, shard, why))
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def rows(self) -> list[Telling]:
        return [row for _, _, row in sorted(self._heap, reverse=True)]


_GROUPS = {
    "wrong": ("Most wrong", "confident errors and missed labels, over all that was predicted or missed"),
    "confused": ("Sure of the wrong class", "the model was sure, and the label says another class"),
    "extra": ("Sure where there is nothing", "false alarms, the surest first"),
    "missed": ("Missed", "the most labels that nothing was predicted for"),
    "unsure": ("Least sure", "the surest prediction of the row is still unsure: rows worth labelling"),
}


def telling_rows(store: Store, files: Files, most: int = 6, split: str | None = None) -> tuple[Group, ...]:
    """The most telling rows, each in one group at most.

    Args:
        store: Where the run is. ``files``: its files.
        most: Rows of a group.
        split: Only judged rows of this split; None: of all.

    Raises:
        StorageError: The run's files cannot be read.
    """
    kept = {name: _Best(most * len(_GROUPS)) for name in _GROUPS}
    judged = False
    for shard, line in _lines(store, f"{files.folder}/agreement"):
        row = _AGREEMENT.decode(line)
        if split not in (None, row.split):
            continue
        judged = True
        _note(kept, row, shard)
    if not judged:
        _unsure_of_all(kept["unsure"], store, files)
    taken: set[str] = set()
    groups = []
    for name, best in kept.items():
        mine = [row for row in best.rows() if row.data_row_id not in taken][:most]
        taken.update(row.data_row_id for row in mine)
        if mine:
            groups.append(Group(*_GROUPS[name], tuple(mine)))
    return tuple(groups)


def causes_of(store: Store, files: Files) -> tuple[list[Cause], int]:
    """Why rows failed or were skipped, most frequent first, and how many rare causes are left out.

    Raises:
        StorageError: The run's files cannot be read.
    """
    found: dict[tuple[str, str, str], Cause] = {}
    for _, line in _lines(store, files.outcomes_folder):
        one = _OUTCOME.decode(line)
        if one.status not in (OutcomeStatus.FAILED, OutcomeStatus.SKIPPED):
            continue
        key = (one.status.value, one.step or "", one.code or "")
        cause = found.get(key)
        if cause is None:
            cause = found[key] = Cause(*key, one.message or "", one.retryable, examples=[])
        cause.number += 1
        if len(cause.examples) < _EXAMPLES:
            cause.examples.append(one.global_key or one.data_row_id)
    ordered = sorted(found.values(), key=lambda cause: -cause.number)
    return ordered[:_MOST_CAUSES], max(0, len(ordered) - _MOST_CAUSES)


def _note(kept: dict[str, _Best], row: RowAgreement, shard: int) -> None:
    said = [one for one in row.predictions if one.verdict is not SaidVerdict.OPEN]
    where = (row.data_row_id, shard)
    kept["wrong"].add(row.error, *where, f"error {row.error:.3f}")
    for name, verdict, words in (
        ("confused", SaidVerdict.CONFUSED, "labelled otherwise"),
        ("extra", SaidVerdict.FALSE_ALARM, "nothing labelled there"),
    ):
        # A text that differs is no class that is mistaken: its "class" is the question itself.
        wrong = [one for one in said if one.verdict is verdict and one.feature.rpartition("/")[2] != one.name]
        if wrong:
            top = max(wrong, key=lambda one: 1.0 if one.confidence is None else one.confidence)
            sure = 1.0 if top.confidence is None else top.confidence
            kept[name].add(sure, *where, f"“{top.name}” {confidence(top.confidence)}, {words}")
    missed = sum(1 for one in row.labels if one.verdict is LabelVerdict.MISSED)
    kept["missed"].add(missed, *where, f"{plural(missed, 'label')} missed")
    known = [one.confidence for one in said if one.confidence is not None]
    if known and max(known) < _SURE:
        kept["unsure"].add(1 - max(known), *where, f"surest prediction {confidence(max(known))}")


def _unsure_of_all(best: _Best, store: Store, files: Files) -> None:
    rows = JudgedRows(store, files, None)
    for shard in rows.shards()[:_LOOKED_AT]:
        for row in rows.of_shard(shard):
            known = [one.confidence for one in row.predictions or () if one.confidence is not None]
            if known and max(known) < _SURE:
                best.add(1 - max(known), row.data_row_id, shard, f"surest prediction {confidence(max(known))}")


def _lines(store: Store, folder: str) -> Iterator[tuple[int, bytes]]:
    """Number of the shard, and each line, of the files in a folder."""
    named = []
    for entry in store.entries(folder):
        match = re.fullmatch(r"(\d+)\.jsonl", entry.path.rsplit("/", 1)[-1])
        if match:
            named.append((int(match.group(1)), entry.path))
    for shard, path in sorted(named):
        for line in store.lines(path):
            yield shard, line
