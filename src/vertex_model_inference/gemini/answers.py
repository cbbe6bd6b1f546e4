"""An answer that follows the response schema becomes findings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from vertex_model_inference.findings import Finding, FoundLabel, FoundObject, FoundRelation, FoundText
from vertex_model_inference.gemini.asked import Asked, AskedObjects, AskedQuestion, Place
from vertex_model_inference.gemini.checks import fields_of, list_of, number, off, string, time, timeline
from vertex_model_inference.gemini.objects import Said, names_of, place
from vertex_model_inference.gemini.reply import Sureness
from vertex_model_inference.gemini.words import Path
from vertex_model_inference.rows import DataRow

__all__ = ["Read", "read_answer"]

_PLACES: dict[Place, tuple[str, ...]] = {
    Place.WHOLE: (),
    Place.MESSAGE: ("message_id",),
    Place.FRAMES: ("start", "end"),
}


class Read(NamedTuple):
    """What an answer says, and what a reader of the row's outcome should know, one sentence each."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()


def read_answer(
    value: Any, asked: Asked, row: DataRow, *, confidence: str = "none", sure: Sureness | None = None
) -> Read:
    """The findings of one answer; it must be of the schema to the letter, so that nothing is lost unsaid.

    Args:
        value: The answer's JSON, parsed.
        asked: What was asked.
        row: The data row: size in pixels, frame rate, page sizes.
        confidence: ``asked`` (it stands in the answer), ``logprobs`` (by ``sure``) or ``none``.
        sure: How sure the model was of each value.

    Raises:
        OffSchemaError: The answer is of another form.
        DecodeError: The row lacks what coordinates or times need (size, frame rate, page sizes).
    """
    reader = _Reader(asked, row, confidence, sure)
    findings = tuple(reader.all(value))
    return Read(findings, tuple(reader.notes))


class _Reader:
    def __init__(self, asked: Asked, row: DataRow, confidence: str, sure: Sureness | None) -> None:
        self._asked = asked
        self._row = row
        self._in_answer = confidence == "asked"
        self._sure = sure if confidence == "logprobs" else None
        self._ids: set[str] = set()
        self.notes: dict[str, None] = {}

    def all(self, value: Any) -> Iterator[Finding]:
        asked = self._asked
        names = [*(each.key for each in asked.questions), *(each.key for each in asked.objects)]
        if asked.relations:
            names.append("relations")
        fields = fields_of(value, names, ())
        for question in asked.questions:
            yield from self._question(question, fields[question.key], (question.key,))
        for objects in asked.objects:
            for index, item in enumerate(list_of(fields[objects.key], (objects.key,))):
                yield self._object(objects, item, (objects.key, index))
        if asked.relations:
            for index, item in enumerate(list_of(fields["relations"], ("relations",))):
                yield self._relation(item, ("relations", index))

    # -- questions ------------------------------------------------------------------------------------------------

    def _question(self, question: AskedQuestion, value: Any, path: Path) -> Iterator[FoundLabel | FoundText]:
        if question.kind == "checklist" or question.place is not Place.WHOLE:
            for index, item in enumerate(list_of(value, path)):
                yield self._answer(question, item, (*path, index))
        elif value is not None:
            yield self._answer(question, value, path)
        elif question.required:
            off(path, "it is null, but an answer is required")

    def _answer(self, question: AskedQuestion, value: Any, path: Path) -> FoundLabel | FoundText:
        word = "text" if question.kind == "text" else "answer"
        fields: dict[str, Any] = {}
        at = path
        if self._in_answer or question.deep or question.place is not Place.WHOLE:
            names = [word, *(["confidence"] if self._in_answer else []), *_PLACES[question.place]]
            fields = fields_of(value, names, path, ("then",) if question.deep else ())
            value, at = fields[word], (*path, word)
        said = string(value, at)
        confidence = self._confidence(fields, path, at)
        message_id = string(fields["message_id"], (*path, "message_id")) if "message_id" in fields else None
        if question.kind == "text":
            return FoundText(question.name, said, confidence, message_id)
        option = next((each for each in question.options if each.value == said), None)
        if option is None and question.listed:
            off(at, f"{said[:80]!r} is none of the {len(question.options)} options of {question.title!r}")
        answers: list[FoundLabel | FoundText] = []
        if fields.get("then") is not None:
            asking = {each.key: each for each in question.options if each.questions}
            given = fields_of(fields["then"], (), (*path, "then"), asking)
            for key, inner in given.items():
                if inner is None:
                    continue
                below = asking[key].questions
                where = (*path, "then", key)
                values = fields_of(inner, [each.key for each in below], where)
                found = [item for each in below for item in self._question(each, values[each.key], (*where, each.key))]
                if asking[key] is option:
                    answers += found
                elif found:
                    self.notes[
                        f"Gemini answered questions about {asking[key].value!r}, but chose {said[:80]!r} in "
                        f"{question.title!r}; those answers were left out."
                    ] = None
        frames = (self._frames(fields, path),) if "start" in fields else ()
        return FoundLabel(
            said if option is None else option.name, confidence, question.name, tuple(answers), frames, message_id
        )

    def _frames(self, fields: dict[str, Any], path: Path) -> tuple[int, int]:
        start, end = (time(fields[name], (*path, name)) for name in ("start", "end"))
        if end < start:
            off(path, f"it ends at {end:g} s, before it starts at {start:g} s")
        return timeline(self._row).frames_between(start, end)

    # -- objects --------------------------------------------------------------------------------------------------

    def _object(self, objects: AskedObjects, value: Any, path: Path) -> FoundObject:
        names = [question.key for question in objects.questions]
        names += ["label"] if objects.labelled else []
        names += ["confidence"] if self._in_answer else []
        names += ["id"] if self._asked.relations else []
        fields = fields_of(value, [*names, *names_of(objects.form, self._asked.media)], path)
        at: Path = path
        if objects.labelled:
            at = (*path, "label")
            said = string(fields["label"], at)
            label = objects.labels.get(said, said)
            if said not in objects.labels and objects.listed:
                off(at, f"{said[:80]!r} is none of the {len(objects.labels)} labels")
        else:
            label = next(iter(objects.labels.values()))
        answers: list[FoundLabel | FoundText] = []
        for question in objects.questions:
            answers += self._question(question, fields[question.key], (*path, question.key))
        id_ = self._id(fields["id"], (*path, "id")) if self._asked.relations else None
        beside = Said(label, self._confidence(fields, path, at), tuple(answers), id_)
        return place(objects.form, fields, beside, self._row, path)

    def _id(self, value: Any, path: Path) -> str:
        said = string(value, path)
        if said in self._ids:
            off(path, f"two objects have the id {said[:80]!r}")
        self._ids.add(said)
        return said

    def _relation(self, value: Any, path: Path) -> FoundRelation:
        known = self._asked.relations
        names = ["source", "target", *(["label"] if len(known) > 1 else []), *(["confidence"] * self._in_answer)]
        fields = fields_of(value, names, path)
        label = next(iter(known.values()))
        if len(known) > 1:
            said = string(fields["label"], (*path, "label"))
            if said not in known:
                off((*path, "label"), f"{said[:80]!r} is none of the {len(known)} relations")
            label = known[said]
        ends = {}
        for name in ("source", "target"):
            ends[name] = string(fields[name], (*path, name))
            if ends[name] not in self._ids:
                off((*path, name), f"no object has the id {ends[name][:80]!r}")
        return FoundRelation(label, ends["source"], ends["target"], self._confidence(fields, path, path))

    def _confidence(self, fields: dict[str, Any], path: Path, at: Path) -> float | None:
        if self._in_answer:
            return number(fields["confidence"], (*path, "confidence"), 0.0, 1.0)
        return self._sure.of(at) if self._sure is not None else None
