"""Findings of a model become annotations of an ontology. Pure and total: each finding is used, counted or an error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import msgspec

from vertex_model_inference.annotations import Annotation, Answer, Box, Checklist, FreeText, Radio
from vertex_model_inference.errors import MatchError, SettingsError
from vertex_model_inference.findings import Finding, FoundBox, FoundLabel
from vertex_model_inference.models import MatchRules
from vertex_model_inference.ontology import Ontology
from vertex_model_inference.rows import DataRow
from vertex_model_inference.steps.features import (
    BoxFeature,
    OptionFeature,
    TextFeature,
    boxes_of,
    options_of,
    texts_of,
)
from vertex_model_inference.steps.names import NameIndex, fold

__all__ = ["Matched", "Matcher"]

CHECKLIST_THRESHOLD = 0.5
"""Of checklists, where the rules set none: a class more likely than not is an answer."""

_CACHED = 50_000
"""Class names remembered at most: a model that makes names up must not fill the memory."""

_KINDS = {"box": "rectangle tool", "label": "radio or checklist option", "text": "free-text question"}

_INVISIBLE = 0.01
"""Pixels: a box narrower than this has no area once it is written down."""


class Matched(msgspec.Struct, frozen=True):
    """What became of one row's findings; ``findings == used in annotations + sum(dropped) + outscored``.

    Attributes:
        annotations: To upload; none means that the row is empty.
        dropped: Model class name -> findings left out (unmapped, below the threshold, without area).
        notes: What a reader of the row's outcome should know, one sentence each.
        outscored: Labels that lost to a better answer to the same question.
    """

    annotations: tuple[Annotation, ...]
    dropped: dict[str, int]
    notes: tuple[str, ...] = ()
    outscored: int = 0


@dataclass(frozen=True, slots=True)
class _Unmapped:
    """A class that no feature of the wanted kind fits."""

    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class _Ambiguous:
    """A class that several features fit."""

    message: str
    hint: str


@dataclass(slots=True)
class _Row:
    """The row being matched."""

    annotations: list[Annotation] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    outscored: int = 0

    def drop(self, label: str) -> None:
        self.dropped[label] = self.dropped.get(label, 0) + 1


class Matcher:
    """Matches the findings of any number of rows; all names are resolved once.

    Args:
        ontology: Of the model run.
        rules: Of the model's option.
        names: The model's classes where they are known, to find ambiguities before the first row.

    Raises:
        SettingsError: The rules name a feature that does not exist, or a name could mean several features.
    """

    def __init__(self, ontology: Ontology, rules: MatchRules, *, names: Sequence[str] = ()) -> None:
        self._ontology = ontology
        self._rules = rules
        if rules.unmapped not in {"fail", "drop", "report"}:
            raise SettingsError(f"unmapped is {rules.unmapped!r}.", hint='Set it to "fail", "drop" or "report".')
        if rules.threshold is not None and not 0.0 <= rules.threshold <= 1.0:
            raise SettingsError(f"threshold is {rules.threshold!r}.", hint="Set it to a number from 0 to 1.")
        boxes = boxes_of(ontology)
        self._index: dict[str, NameIndex[Any]] = {
            "box": NameIndex(boxes),
            "label": NameIndex(options_of(ontology)),
            "text": NameIndex(texts_of(ontology)),
        }
        self._known: dict[str, dict[str, Any]] = {kind: {} for kind in self._index}
        self._texts = {box.feature_schema_id: self._text_of(box) for box in boxes}
        if rules.text_feature and not any(isinstance(text, TextFeature) for text in self._texts.values()):
            raise SettingsError(
                f"text_feature is {rules.text_feature!r}, but no rectangle tool of the ontology {ontology.name!r} has "
                "a free-text question of that name.",
                hint="Name one of: " + (", ".join(sorted({t.name for box in boxes for t in box.texts})) or "(none)"),
            )
        self._check_rules()
        for name in names:
            self._check_name(rules.classes.get(name, name), f"The model's class {name!r}")

    def match(self, findings: Sequence[Finding], row: DataRow) -> Matched:
        """Turn the findings of one row into annotations.

        Raises:
            MatchError: A class fits no feature (and unmapped is "fail") or several; or answers contradict each other.
        """
        state = _Row()
        answers: dict[str, list[tuple[FoundLabel, OptionFeature]]] = {}
        threshold = self._rules.threshold
        boxes = self._known["box"]
        for finding in findings:
            label, confidence = finding.label, finding.confidence
            if threshold is not None and confidence is not None and confidence < threshold:
                state.drop(label)
                continue
            if type(finding) is FoundBox:
                tool = boxes.get(label)
                if type(tool) is not BoxFeature:
                    tool = self._feature("box", label, row, state)
                if tool is not None:
                    self._box(finding, tool, row, state)
            elif type(finding) is FoundLabel:
                option = self._feature("label", label, row, state)
                if option is not None:
                    answers.setdefault(option.question_id, []).append((finding, option))
            else:
                self._text(finding, row, state)
        for given in answers.values():
            (self._checklist if given[0][1].multiple else self._radio)(given, row, state)
        return Matched(tuple(state.annotations), state.dropped, tuple(state.notes), state.outscored)

    def _box(self, found: FoundBox, tool: BoxFeature, row: DataRow, state: _Row) -> None:
        if found.width < _INVISIBLE or found.height < _INVISIBLE:
            state.drop(found.label)
            state.notes[f"A box of class {_short(found.label)} has no area and was left out."] = None
            return
        nested: tuple[FreeText, ...] = ()
        if found.text:
            text = self._texts[tool.feature_schema_id]
            if isinstance(text, _Ambiguous):
                _fail(text, row)
            if text is None:
                state.notes[f"The texts of {tool.name!r} were left out: that tool has no free-text question."] = None
            else:
                # The model gives one figure for the box and what it reads there; without it Labelbox assumes 1.
                nested = (FreeText(text.name, text.feature_schema_id, found.text, found.confidence, text.by_id),)
        state.annotations.append(
            Box(
                tool.name,
                tool.feature_schema_id,
                found.left,
                found.top,
                found.width,
                found.height,
                found.confidence,
                nested,
                tool.by_id,
            )
        )

    def _text(self, found: Finding, row: DataRow, state: _Row) -> None:
        feature = self._feature("text", found.label, row, state)
        if feature is None:
            return
        text = getattr(found, "text", "")
        if not text:
            state.drop(found.label)
            state.notes[f"The text for {_short(found.label)} is empty and was left out."] = None
            return
        name, schema_id = feature.name, feature.feature_schema_id
        state.annotations.append(FreeText(name, schema_id, text, found.confidence, feature.by_id))

    def _radio(self, given: list[tuple[FoundLabel, OptionFeature]], row: DataRow, state: _Row) -> None:
        best, option = given[0]
        for found, other in given[1:]:
            if other.feature_schema_id != option.feature_schema_id and (
                found.confidence is None or best.confidence is None
            ):
                raise MatchError(
                    f"The model gives data row {row.id} both {_short(best.label)} and {_short(found.label)} without "
                    f"scores, but the radio {option.question!r} takes one answer.",
                    hint="Let the model answer scores, or make the question a checklist.",
                    data_row_id=row.id,
                )
            if (found.confidence or 0.0) > (best.confidence or 0.0):
                best, option = found, other
        state.outscored += len(given) - 1
        answer = Answer(option.name, option.feature_schema_id, best.confidence, option.by_id)
        state.annotations.append(Radio(option.question, option.question_id, answer, option.question_by_id))

    def _checklist(self, given: list[tuple[FoundLabel, OptionFeature]], _row: DataRow, state: _Row) -> None:
        chosen: dict[str, Answer] = {}
        for found, option in given:
            confidence = found.confidence
            if self._rules.threshold is None and confidence is not None and confidence < CHECKLIST_THRESHOLD:
                state.drop(found.label)
                continue
            before = chosen.get(option.feature_schema_id)
            if before is not None:
                state.outscored += 1
                if confidence is None or (before.confidence is not None and before.confidence >= confidence):
                    continue
            chosen[option.feature_schema_id] = Answer(option.name, option.feature_schema_id, confidence, option.by_id)
        if chosen:
            first = given[0][1]
            answers = tuple(chosen.values())
            state.annotations.append(Checklist(first.question, first.question_id, answers, first.question_by_id))

    def _feature(self, kind: str, label: str, row: DataRow, state: _Row) -> Any:
        """The feature of a class; None: it has none, which is counted."""
        known = self._known[kind]
        found = known.get(label)
        if found is None:
            if len(known) >= _CACHED:
                known.clear()
            found = known[label] = self._resolve(kind, label)
        if isinstance(found, _Ambiguous):
            _fail(found, row)
        if isinstance(found, _Unmapped):
            if self._rules.unmapped == "fail":
                _fail(found, row)
            state.drop(label)
            if self._rules.unmapped == "report":
                state.notes[found.message] = None
            return None
        return found

    def _resolve(self, kind: str, label: str) -> Any:
        name = self._rules.classes.get(label, label)
        found = self._index[kind].find(name)
        if len(found) == 1:
            return found[0]
        if found:
            return self._ambiguous(f"The model's class {_short(label)}", found)
        message = f"The model's class {_short(label)} fits no {_KINDS[kind]} of the ontology {self._ontology.name!r}."
        for other, index in self._index.items():
            if other != kind and index.find(name):
                what = f"{_short(name)} is a {_KINDS[other]} there, and the model does not give what that takes."
                message = f"{message[:-1]}; {what}"
                break
        near = self._index[kind].nearest(name)
        hint = f"Did you mean {near!r}? " if near else ""
        return _Unmapped(message, f'{hint}Add the class to classes of the model in vmi.toml, or set unmapped = "drop".')

    def _ambiguous(self, who: str, found: Sequence[Any]) -> _Ambiguous:
        paths = ", ".join(f"{'/'.join(feature.path)} ({feature.feature_schema_id})" for feature in found)
        return _Ambiguous(
            f"{who} could mean {len(found)} features of the ontology {self._ontology.name!r}: {paths}.",
            "Say which in classes of the model in vmi.toml, by Question/Option or by the schema id.",
        )

    def _text_of(self, box: BoxFeature) -> TextFeature | _Ambiguous | None:
        """The question that takes the text in a tool's boxes."""
        wanted = self._rules.text_feature
        fitting = [text for text in box.texts if wanted in text.names] if wanted else list(box.texts)
        if wanted and not fitting:
            fitting = [text for text in box.texts if fold(text.name) == fold(wanted)]
        if len(fitting) > 1:
            names = ", ".join(repr(text.name) for text in fitting)
            return _Ambiguous(
                f"The tool {box.name!r} has several free-text questions ({names}) for the text in its boxes.",
                "Set text_feature of the model in vmi.toml to one of them.",
            )
        return fitting[0] if fitting else None

    def _check_rules(self) -> None:
        for label, name in self._rules.classes.items():
            if not any(index.find(name) for index in self._index.values()):
                near = next(filter(None, (index.nearest(name) for index in self._index.values())), None)
                raise SettingsError(
                    f"classes maps the model's class {label!r} to {name!r}, which the ontology "
                    f"{self._ontology.name!r} does not have.",
                    hint=f"Did you mean {near!r}?" if near else None,
                )
            self._check_name(name, f"classes maps the model's class {label!r} to {name!r}, which")

    def _check_name(self, name: str, who: str) -> None:
        """Refuse a name that is ambiguous for some kind of finding and clear for none."""
        found = [index.find(name) for index in self._index.values()]
        if any(len(several) > 1 for several in found) and not any(len(several) == 1 for several in found):
            problem = self._ambiguous(who, next(several for several in found if len(several) > 1))
            raise SettingsError(problem.message, hint=problem.hint)


def _short(label: str) -> str:
    """A class in quotes; a model that writes prose must not fill the message."""
    return repr(label if len(label) <= 80 else f"{label[:79]}…")


def _fail(problem: _Unmapped | _Ambiguous, row: DataRow) -> NoReturn:
    code = "ambiguous" if isinstance(problem, _Ambiguous) else "unmapped"
    raise MatchError(f"{problem.message} (data row {row.id})", code=code, hint=problem.hint, data_row_id=row.id)
