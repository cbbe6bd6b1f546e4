"""Relationships: right where both ends are, and where the tool is the label's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vertex_model_inference.annotations import Relationship
from vertex_model_inference.evaluation.agreement import SaidVerdict
from vertex_model_inference.evaluation.arrays import Ints
from vertex_model_inference.evaluation.choices import confident
from vertex_model_inference.evaluation.kinds import KINDS, Group, Judged, Unmeasured, note_matches
from vertex_model_inference.evaluation.objects import Measure, ObjectTally, Side
from vertex_model_inference.evaluation.pairing import Overlaps
from vertex_model_inference.evaluation.questions import Questions, RowNotes

__all__ = ["KIND", "both_ends", "judge_relations"]

KIND = "relationship"
_OBJECTS = frozenset(kind.name for kind in KINDS.values())


def both_ends() -> Measure:
    """A relationship has no place of its own: it is there or not."""
    return Measure("ends", (1.0,), ("both ends",), (0,))


def judge_relations(tally: ObjectTally, said: Group, meant: Group, judged: Judged, questions: Questions) -> None:
    """Match, count and note the relationships of some rows, once their objects are judged.

    A predicted one meets the label whose ends are the labels that its own ends were found to be; of those without a
    direction, either way round. One whose end could not be judged is left out, on either side.

    Args:
        tally: Where they are counted.
        said: Predictions. ``meant``: labels.
        judged: Rows with their numbers and notes.
        questions: Not asked: relationships have no questions.
    """
    partners = [_partners(notes) for _, _, notes in judged]
    said, meant = (_readable(group, side, judged) for side, group in enumerate((said, meant)))
    by_ends: dict[tuple[int, int, int], list[int]] = {}
    for number, (relation, place) in enumerate(zip(meant.annotations, meant.places, strict=True)):
        for source, target in _ends(relation):
            by_ends.setdefault((place[0], source, target), []).append(number)
    pairs: dict[tuple[int, int], None] = {}
    for number, (relation, place) in enumerate(zip(said.annotations, said.places, strict=True)):
        known = partners[place[0]]
        for source, target in _ends(relation):
            if source in known and target in known:
                for label in by_ends.get((place[0], known[source], known[target]), ()):
                    pairs[(number, label)] = None
    ends: Ints = np.asarray(list(pairs), dtype=np.int64).reshape(-1, 2)
    found = Overlaps(ends[:, 0], ends[:, 1], np.ones(len(pairs)))
    met = tally.add(_side(said, tally), _side(meant, tally), found)
    matches = [
        (label, same, value)
        for label, same, value in zip(met.label.tolist(), met.same.tolist(), met.overlap.tolist(), strict=True)
    ]
    note_matches(KIND, judged, said, meant, matches, questions)


def _ends(relation: Relationship) -> Sequence[tuple[int, int]]:
    ends = (relation.source, relation.target)
    return (ends,) if relation.directed else (ends, ends[::-1])


def _partners(notes: RowNotes) -> dict[int, int]:
    """Of the row's objects that are right: place of the prediction -> place of the label."""
    return {
        one.index: one.label
        for one in notes.said
        if one.verdict is SaidVerdict.RIGHT and one.label is not None and one.feature in _OBJECTS
    }


def _readable(group: Group, side: int, judged: Judged) -> Group:
    """Those whose two ends could be judged."""
    kept = Group()
    for relation, place in zip(group.annotations, group.places, strict=True):
        pair = judged[place[0]][0]
        there = (pair.predictions if side == 0 else pair.labels) or ()
        ends = (relation.source, relation.target)
        if all(end < len(there) and not isinstance(there[end], Unmeasured) for end in ends):
            kept.annotations.append(relation)
            kept.places.append(place)
    return kept


def _side(group: Group, tally: ObjectTally) -> Side:
    place: Ints = np.asarray(group.places, dtype=np.int64).reshape(-1, 4)
    label = np.asarray([tally.classes.of(each.name) for each in group.annotations], dtype=np.int64)
    score = np.asarray([confident(each.confidence) for each in group.annotations], dtype=np.float64)
    return Side(place[:, 0], place[:, 1], place[:, 2], label, score)
