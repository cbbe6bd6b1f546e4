"""A run's evaluation: rows are added shard by shard, figures are asked for at the end. No geometry is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from vertex_model_inference.annotations import Checklist, FreeText, Question, Radio
from vertex_model_inference.evaluation.agreement import RowAgreement, error_of
from vertex_model_inference.evaluation.kinds import KINDS, Annotated, Group, judge_objects
from vertex_model_inference.evaluation.names import ALL, SPLITS, split_number
from vertex_model_inference.evaluation.objects import ObjectTally, distances, ious, spans
from vertex_model_inference.evaluation.questions import Questions, RowNotes
from vertex_model_inference.evaluation.scores import RowCounts, SplitScore
from vertex_model_inference.rows import Split

__all__ = ["Evaluator", "RowPair"]

_INDEX = attrgetter("index")


class RowPair(msgspec.Struct, frozen=True, kw_only=True):
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
        self.questions = Questions()
        self.objects: dict[str, ObjectTally] = {}
        self.row_ids: list[str] = []
        self.without_confidence = 0
        self._keep_rows = keep_rows
        self._measures = {"iou": ious(iou), "distance": distances(distance_px), "span": spans()}
        self._judged = 0
        self._counts: dict[str, Counter[int]] = {name: Counter() for name in RowCounts.__struct_fields__[:-1]}
        self._errors = [0.0] * len(SPLITS)

    def add(self, pairs: Iterable[RowPair]) -> list[RowAgreement]:
        """Judge some rows; what is said about each that is labelled and answered."""
        judged: list[tuple[RowPair, int, RowNotes]] = []
        for pair in pairs:
            split = split_number(pair.split)
            self._count(pair, split)
            if pair.labels is None or pair.predictions is None:
                continue
            notes = RowNotes()
            judged.append((pair, self._judged, notes))
            self._judged += 1
            if self._keep_rows:
                self.row_ids.append(pair.data_row_id)
            self.without_confidence += sum(1 for said in pair.predictions if said.confidence is None)
        self._judge(judged)
        return [self._agreement(pair, notes) for pair, _, notes in judged]

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
                    if kind_type in KINDS:
                        if kind_type not in groups:
                            groups[kind_type] = (Group(), Group())
                        group = groups[kind_type][side]
                        group.places.append((position, number, split, index))
                        group.annotations.append(each)
                    elif isinstance(each, Radio | Checklist | FreeText):
                        asked[side].append((index, each))
            if asked[0] or asked[1]:
                self.questions.judge("", asked[1], asked[0], (number, split), notes, pair.scores)
        for known, kind in KINDS.items():
            if known not in groups:
                continue
            tally = self.objects.get(kind.name)
            if tally is None:
                tally = self.objects[kind.name] = ObjectTally(kind.name, self._measures[kind.measure])
            judge_objects(kind, tally, *groups[known], judged, self.questions)

    def _agreement(self, pair: RowPair, notes: RowNotes) -> RowAgreement:
        error = error_of(notes.said, notes.meant, notes.texts)
        self._errors[split_number(pair.split)] += error
        return RowAgreement(
            data_row_id=pair.data_row_id,
            split=pair.split.value,
            error=error,
            global_key=pair.global_key,
            predictions=tuple(sorted(notes.said, key=_INDEX)),
            labels=tuple(sorted(notes.meant, key=_INDEX)),
        )

    def _split(self, split: int | None) -> SplitScore:
        counts = {name: found.total() if split is None else found[split] for name, found in self._counts.items()}
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
