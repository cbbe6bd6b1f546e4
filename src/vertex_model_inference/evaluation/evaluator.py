"""A run's evaluation: rows are added shard by shard, figures are asked for at the end. No geometry is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from vertex_model_inference.annotations import Checklist, FreeText, Question, Radio, Relationship
from vertex_model_inference.evaluation.agreement import RowAgreement, error_of
from vertex_model_inference.evaluation.kinds import KINDS, Annotated, Group, judge_objects
from vertex_model_inference.evaluation.names import ALL, SPLITS, split_number
from vertex_model_inference.evaluation.objects import ObjectTally, distances, ious, spans
from vertex_model_inference.evaluation.questions import Questions, RowNotes
from vertex_model_inference.evaluation.relations import KIND as RELATIONSHIP
from vertex_model_inference.evaluation.relations import both_ends, judge_relations
from vertex_model_inference.evaluation.scores import RowCounts, SplitScore
from vertex_model_inference.rows import Split

__all__ = ["Evaluator", "RowPair"]

_INDEX = attrgetter("index")
_ASKED = (Radio, Checklist, FreeText)
_OBJECTS = frozenset((*KINDS, Relationship))


class RowPair(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A data row with what is predicted and what is labelled.

    Attributes:
        data_row_id: The row. ``split``: its split. ``global_key``: the customer's key.
        predictions: What the model said, in the order of the run's file; None: it was never answered.
        labels: What is labelled; None: the row has no label, which is not the same as a label with nothing in it.
        several: It has more labels than this one.
        scores: Question -> option -> the model's score, where all of them are known.
    """

    data_row_id: str
    split: Split
    predictions: tuple[Annotated, ...] | None
    labels: tuple[Annotated, ...] | None
    global_key: str | None = None
    several: bool = False
    scores: Mapping[str, Mapping[str, float]] = {}


class Evaluator:
    """Adds up a run.

    Args:
        iou: Chosen level of boxes, polygons and masks, 0..1.
        distance_px: Chosen level of lines and points, pixels.
        keep_rows: Remember the ids of the judged rows, in the order of their numbers in the tables (for comparing).

    Raises:
        ValueError: A level is out of range.
    """

    def __init__(self, *, iou: float = 0.5, distance_px: float = 10.0, keep_rows: bool = False) -> None:
        if not 0 < iou <= 1:
            raise ValueError(f"the IoU must be above 0 and at most 1, not {iou:g}")
        if not distance_px > 0:
            raise ValueError(f"the distance must be above 0 pixels, not {distance_px:g}")
        self.iou = iou
        self.distance_px = distance_px
        self.questions = Questions(keep_rows=keep_rows)
        self.objects: dict[str, ObjectTally] = {}
        self.row_ids: list[str] = []
        self.without_confidence = 0
        self._keep_rows = keep_rows
        self._measures = {"iou": ious(iou), "distance": distances(distance_px), "span": spans()}
        self._judged = 0
        self._counts = {name: [0] * len(SPLITS) for name in RowCounts.__struct_fields__[:-1]}
        self._errors = [0.0] * len(SPLITS)

    def add(self, pairs: Iterable[RowPair]) -> list[RowAgreement]:
        """Judge some rows; what is said about each that is labelled and answered."""
        judged: list[tuple[RowPair, int, RowNotes]] = []
        found: list[RowAgreement | None] = []
        alone = RowNotes()
        for pair in pairs:
            split = split_number(pair.split)
            self._count(pair, split)
            if pair.labels is None or pair.predictions is None:
                continue
            number = self._judged
            self._judged += 1
            if self._keep_rows:
                self.row_ids.append(pair.data_row_id)
            for said in pair.predictions:
                if said.confidence is None:
                    self.without_confidence += 1
            if self._single(pair, (number, split), alone):
                found.append(self._agreement(pair, split, alone))
                alone.clear()
            else:
                found.append(None)
                judged.append((pair, number, RowNotes()))
        self._judge(judged)
        rest = iter(judged)
        return [self._noted(*next(rest)) if one is None else one for one in found]

    def scores(self) -> tuple[SplitScore, ...]:
        """The figures: of all rows, then of each split that has any."""
        found = [self._split(None)]
        found += [self._split(number) for number in range(len(SPLITS)) if self._counts["exported"][number]]
        return tuple(found)

    def _count(self, pair: RowPair, split: int) -> None:
        self._counts["exported"][split] += 1
        self._counts["labelled" if pair.labels is not None else "unlabelled"][split] += 1
        if pair.labels is not None:
            self._counts["judged" if pair.predictions is not None else "unanswered"][split] += 1
            self._counts["several_labels"][split] += pair.several

    def _judge(self, judged: Sequence[tuple[RowPair, int, RowNotes]]) -> None:
        groups: dict[type[Any], tuple[Group, Group]] = {}
        for position, (pair, number, notes) in enumerate(judged):
            split = split_number(pair.split)
            asked: tuple[list[tuple[int, Question]], list[tuple[int, Question]]] = ([], [])
            for side, given in enumerate((pair.predictions or (), pair.labels or ())):
                for index, each in enumerate(given):
                    kind_type = type(each)
                    if kind_type in _OBJECTS:
                        if kind_type not in groups:
                            groups[kind_type] = (Group(), Group())
                        group = groups[kind_type][side]
                        group.places.append((position, number, split, index))
                        group.annotations.append(each)
                    elif isinstance(each, _ASKED):
                        asked[side].append((index, each))
            if asked[0] or asked[1]:
                self.questions.judge("", asked[1], asked[0], (number, split), notes, pair.scores)
        for known, kind in KINDS.items():
            if known not in groups:
                continue
            tally = self.objects.get(kind.name)
            if tally is None:
                tally = self.objects[kind.name] = ObjectTally(
                    kind.name, self._measures[kind.measure], keep_rows=self._keep_rows
                )
            judge_objects(kind, tally, *groups[known], judged, self.questions)
        if Relationship in groups:  # once their ends are judged
            tally = self.objects.get(RELATIONSHIP)
            if tally is None:
                tally = self.objects[RELATIONSHIP] = ObjectTally(RELATIONSHIP, both_ends(), keep_rows=self._keep_rows)
            judge_relations(tally, *groups[Relationship], judged, self.questions)

    def _single(self, pair: RowPair, place: tuple[int, int], notes: RowNotes) -> bool:
        """Whether the row is one answer to one radio, as those of classifiers are; then it is judged."""
        labels, said = pair.labels or (), pair.predictions or ()
        if len(labels) != 1 or len(said) > 1:
            return False
        label, told = labels[0], said[0] if said else None
        if type(label) is not Radio or label.answer.frames or label.message_id is not None:
            return False
        if told is not None and (type(told) is not Radio or told.name != label.name or told.message_id is not None):
            return False
        self.questions.single(label, told, place, notes, pair.scores)
        return True

    def _noted(self, pair: RowPair, _number: int, notes: RowNotes) -> RowAgreement:
        return self._agreement(pair, split_number(pair.split), notes)

    def _agreement(self, pair: RowPair, split: int, notes: RowNotes) -> RowAgreement:
        said, meant = notes.said, notes.meant
        error = error_of(said, meant, notes.texts)
        self._errors[split] += error
        return RowAgreement(
            data_row_id=pair.data_row_id,
            split=SPLITS[split],
            error=error,
            global_key=pair.global_key,
            predictions=tuple(sorted(said, key=_INDEX) if len(said) > 1 else said),
            labels=tuple(sorted(meant, key=_INDEX) if len(meant) > 1 else meant),
        )

    def _split(self, split: int | None) -> SplitScore:
        counts = {name: sum(found) if split is None else found[split] for name, found in self._counts.items()}
        errors = sum(self._errors) if split is None else self._errors[split]
        rows = RowCounts(**counts, mean_error=errors / counts["judged"] if counts["judged"] else None)
        choices, texts = self.questions.scores(split)
        objects = [tally.score(split) for tally in self.objects.values()]
        return SplitScore(
            ALL if split is None else SPLITS[split],
            rows,
            choices,
            tuple(one for one in objects if one.labels or one.predictions),
            texts,
        )
