"""Answered questions of a row, an object or an answer: label and prediction side by side, to any depth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from vertex_model_inference.annotations import Answer, Checklist, FreeText, Question, Radio
from vertex_model_inference.evaluation.agreement import LabelVerdict, Meant, Said, SaidVerdict
from vertex_model_inference.evaluation.choices import ChecklistTally, RadioTally
from vertex_model_inference.evaluation.frames import through_time
from vertex_model_inference.evaluation.scores import ChoiceScore, TextScore
from vertex_model_inference.evaluation.texts import TextTally

__all__ = ["Place", "Questions", "RowNotes"]

T = TypeVar("T", RadioTally, ChecklistTally, TextTally)

Place = tuple[int, int]
"""Number of the data row, and of its split."""

Indexed = Sequence[tuple[int, Question]]
"""Questions with the index of the annotation that each is, or belongs to."""


class RowNotes:
    """What is written down about one row while it is judged."""

    __slots__ = ("meant", "said", "texts")

    def __init__(self) -> None:
        self.said: list[Said] = []
        self.meant: list[Meant] = []
        self.texts: dict[int, float] = {}

    def clear(self) -> None:
        """As new, for the next row."""
        self.said.clear()
        self.meant.clear()
        self.texts.clear()


class Questions:
    """Tallies of all questions, by name or path.

    Args:
        keep_rows: Remember which row each answer is of, for comparing runs.
    """

    def __init__(self, *, keep_rows: bool = False) -> None:
        self._keep_rows = keep_rows
        self._tallies: dict[tuple[str, str], RadioTally | ChecklistTally | TextTally] = {}

    @property
    def tallies(self) -> Iterable[RadioTally | ChecklistTally | TextTally]:
        """Each, in the order in which they came."""
        return self._tallies.values()

    def scores(self, split: int | None) -> tuple[tuple[ChoiceScore, ...], tuple[TextScore, ...]]:
        """Figures of the radios and checklists, and of the texts, that a label answers or a prediction touches."""
        choices: list[ChoiceScore] = []
        texts: list[TextScore] = []
        for tally in self.tallies:
            if isinstance(tally, TextTally):
                text = tally.score(split)
                if text.answered or text.unlabelled:
                    texts.append(text)
            else:
                choice = tally.score(split)
                if choice.answered or choice.unlabelled:
                    choices.append(choice)
        return tuple(choices), tuple(texts)

    def judge(
        self,
        prefix: str,
        labels: Indexed,
        said: Indexed,
        place: Place,
        notes: RowNotes,
        scores: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        """Judge the predicted answers by the labelled ones.

        Args:
            prefix: Path of what the questions are about, with a ``/`` at its end; empty: the asset.
            labels: Labelled answers. ``said``: predicted ones.
            place: The row.
            notes: Of the row.
            scores: Question -> the model's score of each option, where known.
        """
        meant_by, said_by = _grouped(labels), _grouped(said)
        for key, given in said_by.items():
            if key not in meant_by:
                self._leave_open(prefix, given, place, notes)
        for key, meant in meant_by.items():
            answers = said_by.get(key, [])
            path, first = f"{prefix}{key[0]}", meant[0][1]
            if isinstance(first, FreeText):
                self._texts(path, meant, answers, place, notes)
            elif isinstance(first, Radio):
                self._radio(path, meant, answers, place, notes, (scores or {}).get(key[0]))
            else:
                self._checklist(path, meant, answers, place, notes)

    def single(
        self,
        label: Radio,
        said: Radio | None,
        place: Place,
        notes: RowNotes,
        scores: Mapping[str, Mapping[str, float]] | None,
    ) -> None:
        """A row's only label, and its only prediction, if any, to the same question of the whole asset: as ``judge``
        does it, without the search for what belongs together.
        """
        name = label.name
        mine = scores.get(name) if scores else None
        self._answer(name, (0, label), None if said is None else (0, said), place, notes, mine)

    def _of(self, kind: type[T], path: str) -> T:
        key = (kind.__name__, path)
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = kind(path, keep_rows=self._keep_rows)
        assert isinstance(tally, kind)
        return tally

    def _leave_open(self, prefix: str, given: Indexed, place: Place, notes: RowNotes) -> None:
        path, first = f"{prefix}{given[0][1].name}", given[0][1]
        if isinstance(first, FreeText):
            self._of(TextTally, path).leave_open(place[1])
        elif isinstance(first, Radio):
            self._of(RadioTally, path).leave_open(place[1])
        else:
            self._of(ChecklistTally, path).leave_open(place[1])
        for index, question in given:
            for name, confidence in _classes(question):
                notes.said.append(
                    Said(index=index, feature=path, name=name, verdict=SaidVerdict.OPEN, confidence=confidence)
                )

    def _texts(self, path: str, meant: Indexed, said: Indexed, place: Place, notes: RowNotes) -> None:
        """The label's text; of a video each of its texts, by the frames in which it stands."""
        texts = [(index, text) for index, text in meant if isinstance(text, FreeText)]
        framed = [(index, text) for index, text in texts if text.frames]
        for index, text in framed or texts[:1]:
            frames = sum(last - first + 1 for first, last in text.frames) or 1
            self._text(path, index, text, said, place, notes, frames)

    def _text(
        self, path: str, index: int, label: FreeText, said: Indexed, place: Place, notes: RowNotes, weight: int
    ) -> None:
        tally = self._of(TextTally, path)
        given = next(((i, text) for i, text in said if isinstance(text, FreeText)), None)
        error = tally.add(*place, label.text, None if given is None else given[1].text, weight)
        if given is None:
            notes.meant.append(Meant(index=index, feature=path, name=label.name, verdict=LabelVerdict.MISSED))
            return
        exact = label.text == given[1].text
        notes.texts[len(notes.said)] = error
        notes.said.append(
            Said(
                index=given[0],
                feature=path,
                name=label.name,
                verdict=SaidVerdict.RIGHT if exact else SaidVerdict.CONFUSED,
                confidence=given[1].confidence,
                label=index,
                overlap=round(1 - error, 6),
            )
        )
        verdict = LabelVerdict.FOUND if exact else LabelVerdict.CONFUSED
        notes.meant.append(Meant(index=index, feature=path, name=label.name, verdict=verdict, prediction=given[0]))

    def _radio(
        self,
        path: str,
        meant: Indexed,
        said: Indexed,
        place: Place,
        notes: RowNotes,
        scores: Mapping[str, float] | None,
    ) -> None:
        labels = [(index, one) for index, one in meant if isinstance(one, Radio)]
        given = [(index, one) for index, one in said if isinstance(one, Radio)]
        if any(one.answer.frames for _, one in labels):
            tally = self._of(RadioTally, path)
            for timed, told, frames in through_time([one for _, one in labels], [one for _, one in given]):
                tally.add(*place, timed, told, None, frames)
            self._timed(path, labels, given, notes)
            return
        self._answer(path, labels[0], given[0] if given else None, place, notes, scores)

    def _answer(
        self,
        path: str,
        meant: tuple[int, Radio],
        said: tuple[int, Radio] | None,
        place: Place,
        notes: RowNotes,
        scores: Mapping[str, float] | None,
    ) -> None:
        index, label = meant
        chosen = label.answer
        tally = self._of(RadioTally, path)
        if said is None:
            tally.add(*place, label, None, scores)
            notes.meant.append(Meant(index=index, feature=path, name=chosen.name, verdict=_MISSED))
            return
        told_index, told = said
        tally.add(*place, label, told, scores)
        answer = told.answer
        right = answer.name == chosen.name
        notes.said.append(
            Said(
                index=told_index,
                feature=path,
                name=answer.name,
                verdict=_RIGHT if right else _CONFUSED,
                confidence=answer.confidence,
                label=index,
            )
        )
        verdict = _FOUND if right else _TAKEN
        notes.meant.append(Meant(index=index, feature=path, name=chosen.name, verdict=verdict, prediction=told_index))
        if right and (chosen.classifications or answer.classifications):
            self._nested(path, (index, chosen), (told_index, answer), place, notes)

    def _checklist(self, path: str, meant: Indexed, said: Indexed, place: Place, notes: RowNotes) -> None:
        tally = self._of(ChecklistTally, path)
        labels = [(index, one) for index, one in meant if isinstance(one, Checklist)]
        given = [(index, one) for index, one in said if isinstance(one, Checklist)]
        if any(answer.frames for _, one in labels for answer in one.answers):
            for timed, told, frames in through_time([one for _, one in labels], [one for _, one in given]):
                tally.add(*place, timed, told, frames)
            self._timed(path, labels, given, notes)
            return
        index, label = labels[0]
        told_index, answer = given[0] if given else (None, None)
        tally.add(*place, label, answer)
        wanted = {one.name: one for one in label.answers}
        chosen = {} if answer is None else {one.name: one for one in answer.answers}
        for name, one in chosen.items():
            assert told_index is not None
            right = name in wanted
            notes.said.append(
                Said(
                    index=told_index,
                    feature=path,
                    name=name,
                    verdict=SaidVerdict.RIGHT if right else SaidVerdict.FALSE_ALARM,
                    confidence=one.confidence,
                    label=index if right else None,
                )
            )
            if right:
                self._nested(path, (index, wanted[name]), (told_index, one), place, notes)
        for name in wanted:
            found = name in chosen
            notes.meant.append(
                Meant(
                    index=index,
                    feature=path,
                    name=name,
                    verdict=LabelVerdict.FOUND if found else LabelVerdict.MISSED,
                    prediction=told_index if found else None,
                )
            )

    def _timed(self, path: str, labels: Indexed, said: Indexed, notes: RowNotes) -> None:
        """Answers through time, as one: right where an answer meets a label of the same in any frame."""
        wanted = [(index, name, _frames(one, name)) for index, one in labels for name, _ in _classes(one)]
        used: set[int] = set()
        for told, one in said:
            for name, confidence in _classes(one):
                frames = _frames(one, name)
                hit = next(
                    (k for k, (_, other, spans) in enumerate(wanted) if other == name and _meet(frames, spans)), None
                )
                if hit is not None:
                    used.add(hit)
                notes.said.append(
                    Said(
                        index=told,
                        feature=path,
                        name=name,
                        verdict=SaidVerdict.FALSE_ALARM if hit is None else SaidVerdict.RIGHT,
                        confidence=confidence,
                        label=None if hit is None else wanted[hit][0],
                    )
                )
        for k, (index, name, _) in enumerate(wanted):
            verdict = LabelVerdict.FOUND if k in used else LabelVerdict.MISSED
            notes.meant.append(Meant(index=index, feature=path, name=name, verdict=verdict))

    def _nested(
        self, path: str, label: tuple[int, Answer], said: tuple[int, Answer], place: Place, notes: RowNotes
    ) -> None:
        meant_questions, said_questions = label[1].classifications, said[1].classifications
        if meant_questions or said_questions:
            self.judge(
                f"{path}/{label[1].name}/",
                [(label[0], question) for question in meant_questions],
                [(said[0], question) for question in said_questions],
                place,
                notes,
            )


def _grouped(questions: Indexed) -> dict[tuple[str, str | None, str], list[tuple[int, Question]]]:
    found: dict[tuple[str, str | None, str], list[tuple[int, Question]]] = {}
    for index, question in questions:
        key = (question.name, question.message_id, type(question).__name__)
        found.setdefault(key, []).append((index, question))
    return found


def _classes(question: Question) -> list[tuple[str, float | None]]:
    if isinstance(question, FreeText):
        return [(question.name, question.confidence)]
    answers = (question.answer,) if isinstance(question, Radio) else question.answers
    return [(answer.name, answer.confidence) for answer in answers]


def _frames(question: Question, name: str) -> tuple[tuple[int, int], ...]:
    if isinstance(question, FreeText):
        return ()
    answers = (question.answer,) if isinstance(question, Radio) else question.answers
    return next(answer.frames for answer in answers if answer.name == name)


def _meet(one: tuple[tuple[int, int], ...], other: tuple[tuple[int, int], ...]) -> bool:
    if not one or not other:  # everywhere
        return True
    return any(a <= d and c <= b for a, b in one for c, d in other)


# Looking a member of an enum up by its class takes as long as writing the verdict down.
_RIGHT, _CONFUSED = SaidVerdict.RIGHT, SaidVerdict.CONFUSED
_FOUND, _TAKEN, _MISSED = LabelVerdict.FOUND, LabelVerdict.CONFUSED, LabelVerdict.MISSED
