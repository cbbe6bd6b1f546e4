"""What becomes of one row's findings while they are matched, and what is told of it in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from vertex_model_inference.annotations import Annotation, Checklist, FreeText, Question, Radio
from vertex_model_inference.findings import Finding

__all__ = ["Matched", "Tally", "answers_in", "quoted", "uses"]


class Matched(msgspec.Struct, frozen=True):
    """What became of one row's findings; an answer within a finding counts as one itself, at any depth.

    ``findings + extra == uses in annotations + sum(dropped) + outscored + lost``, see ``uses``.

    Attributes:
        annotations: To upload; none means that the row is empty.
        dropped: Model class name -> findings left out (unmapped, below the threshold, too small, above the maximum).
        notes: What a reader of the row's outcome should know, one sentence each.
        outscored: Labels that lost to a better answer to the same question, and objects to a better one in their place.
        extra: Uses beyond the first of a finding: of classes that feed several features, of masks in several parts, of
            options chosen because a nested one is, of texts in boxes.
        lost: Answers about what was itself left out.
    """

    annotations: tuple[Annotation, ...]
    dropped: dict[str, int]
    notes: tuple[str, ...] = ()
    outscored: int = 0
    extra: int = 0
    lost: int = 0


@dataclass(slots=True)
class Tally:
    """The row being matched."""

    annotations: list[Annotation] = field(default_factory=list)
    labels: list[tuple[str, ...]] = field(default_factory=list)  # classes that each annotation came from
    dropped: dict[str, int] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    outscored: int = 0
    extra: int = 0
    lost: int = 0
    places: dict[str, int | None] = field(default_factory=dict)  # the model's id of an object -> its annotation

    def add(self, annotation: Annotation, *labels: str) -> None:
        """Take an annotation, made of findings of these classes."""
        self.annotations.append(annotation)
        self.labels.append(labels)

    def drop(self, label: str) -> None:
        """Count a finding that is left out."""
        self.dropped[label] = self.dropped.get(label, 0) + 1

    def leave(self, found: Finding) -> None:
        """Count a finding that is left out, and what it says about itself as lost with it."""
        self.drop(found.label)
        self.lost += answers_in(found)

    def note(self, sentence: str) -> None:
        """Tell the reader of the outcome something, once."""
        self.notes[sentence] = None

    def remove(self, beyond: set[int]) -> None:
        """Take annotations away again, by their indices, and count what they were made of as dropped."""
        if not beyond:
            return
        for index in sorted(beyond):
            used, labels = uses(self.annotations[index]), self.labels[index]
            for label in labels[:used]:
                self.drop(label)
            self.lost += max(0, used - len(labels))
        kept = [index for index in range(len(self.annotations)) if index not in beyond]
        moved = {index: place for place, index in enumerate(kept)}
        self.annotations = [self.annotations[index] for index in kept]
        self.labels = [self.labels[index] for index in kept]
        self.places = {key: None if at is None else moved.get(at) for key, at in self.places.items()}

    def result(self) -> Matched:
        """What is told in the end."""
        return Matched(tuple(self.annotations), self.dropped, tuple(self.notes), self.outscored, self.extra, self.lost)


def answers_in(found: Finding) -> int:
    """How many answers a finding has, those within answers counted."""
    answers: Sequence[Finding] = getattr(found, "answers", ())
    return sum(1 + answers_in(each) for each in answers) if answers else 0


def uses(annotation: Annotation) -> int:
    """How many findings an annotation stands for: itself (a checklist: each answer) and each answer within it."""
    if isinstance(annotation, Radio):
        return 1 + _within(annotation.answer.classifications)
    if isinstance(annotation, Checklist):
        return sum(1 + _within(answer.classifications) for answer in annotation.answers)
    if isinstance(annotation, FreeText):
        return 1
    return 1 + _within(getattr(annotation, "classifications", ()))


def _within(questions: Sequence[Question]) -> int:
    return sum(map(uses, questions)) if questions else 0


def quoted(label: str) -> str:
    """A class in quotes; a model that writes prose must not fill the message."""
    return repr(label if len(label) <= 80 else f"{label[:79]}…")
