"""Findings of a model become annotations of an ontology. Pure and total: each finding is used, counted or an error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import msgspec

from vertex_model_inference.annotations import Annotation, Answer, Box, Checklist, FreeText, Radio
from vertex_model_inference.errors import MatchError, SettingsError
from vertex_model_inference.findings import Finding, FoundBox, FoundLabel, FoundText
from vertex_model_inference.geometry.boxes import kept_by_nms
from vertex_model_inference.models import MatchRules
from vertex_model_inference.ontology import Ontology
from vertex_model_inference.rows import DataRow
from vertex_model_inference.steps.features import (
    OptionFeature,
    TextFeature,
    ToolFeature,
    options_of,
    texts_of,
    tools_of,
)
from vertex_model_inference.steps.kinds import ALSO, KIND_OF, KINDS, TOOLS
from vertex_model_inference.steps.limits import check_rules, over_limit, rank
from vertex_model_inference.steps.names import NameIndex, fold
from vertex_model_inference.steps.shapes import FoundShape, shapes

__all__ = ["Matched", "Matcher"]

CHECKLIST_THRESHOLD = 0.5
"""Of checklists, where the rules set none: a class more likely than not is an answer."""

_CACHED = 50_000
"""Class names remembered at most: a model that makes names up must not fill the memory."""

_INVISIBLE = 0.01
"""Pixels: a box narrower than this has no area once it is written down."""


class Matched(msgspec.Struct, frozen=True):
    """What became of one row's findings.

    ``findings + extra == used in annotations + sum(dropped) + outscored``, where a checklist uses one for each answer.

    Attributes:
        annotations: To upload; none means that the row is empty.
        dropped: Model class name -> findings left out (unmapped, below the threshold, too small, above the maximum).
        notes: What a reader of the row's outcome should know, one sentence each.
        outscored: Labels that lost to a better answer to the same question, and boxes to a better one in their place.
        extra: Uses beyond the first of a finding: of classes that feed several features, of masks in several parts.
    """

    annotations: tuple[Annotation, ...]
    dropped: dict[str, int]
    notes: tuple[str, ...] = ()
    outscored: int = 0
    extra: int = 0


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
    labels: list[tuple[str, ...]] = field(default_factory=list)  # classes that each annotation came from
    dropped: dict[str, int] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    outscored: int = 0
    extra: int = 0

    def add(self, annotation: Annotation, *labels: str) -> None:
        self.annotations.append(annotation)
        self.labels.append(labels)

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
        check_rules(rules)
        boxes = tools_of(ontology, "rectangle")
        self._index: dict[str, NameIndex[Any]] = {
            **{kind: NameIndex(tools_of(ontology, word)) for kind, word in TOOLS.items()},
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
            for wanted in self._wanted(name):
                self._check_name(wanted, f"The model's class {name!r}")

    def match(self, findings: Sequence[Finding], row: DataRow) -> Matched:
        """Turn the findings of one row into annotations.

        Raises:
            MatchError: A class fits no feature (and unmapped is "fail") or several; or answers contradict each other.
        """
        state = _Row()
        answers: dict[str, list[tuple[FoundLabel, OptionFeature]]] = {}
        doubles = self._doubles(findings) if self._rules.nms_iou is not None else ()
        for index, finding in enumerate(findings):
            label = finding.label
            if self._is_below(finding):
                state.drop(label)
                continue
            if index in doubles:
                state.outscored += 1
                continue
            kind = KIND_OF[type(finding)]
            features = self._known[kind].get(label)
            if type(features) is not tuple:
                features = self._features(kind, label, row, state)
            state.extra += max(0, len(features) - 1)
            for feature in features:
                if isinstance(finding, FoundBox):
                    self._box(finding, feature, row, state)
                elif isinstance(finding, FoundLabel):
                    answers.setdefault(feature.question_id, []).append((finding, feature))
                elif isinstance(finding, FoundText):
                    self._text(finding, feature, state)
                else:
                    self._shape(finding, feature, row, state)
        for given in answers.values():
            (self._checklist if given[0][1].multiple else self._radio)(given, row, state)
        self._limit(state)
        return Matched(tuple(state.annotations), state.dropped, tuple(state.notes), state.outscored, state.extra)

    def _is_below(self, finding: Finding) -> bool:
        if finding.confidence is None:
            return False
        threshold = self._rules.thresholds.get(finding.label, self._rules.threshold)
        return threshold is not None and finding.confidence < threshold

    def _doubles(self, findings: Sequence[Finding]) -> set[int]:
        """Indices of the boxes that a better one takes away; only of boxes that would be used."""
        places, boxes, scores, classes = [], [], [], []
        least = max(_INVISIBLE, self._rules.min_size_px)
        for index, found in enumerate(findings):
            if type(found) is not FoundBox or self._is_below(found) or min(found.width, found.height) < least:
                continue
            features = self._lookup("box", found.label)
            if isinstance(features, tuple):
                places.append(index)
                boxes.append((found.left, found.top, found.left + found.width, found.top + found.height))
                scores.append(rank(found.confidence))
                classes.append(" ".join(sorted(feature.feature_schema_id for feature in features)))
        limit = self._rules.nms_iou if self._rules.nms_iou is not None else 1.0
        kept = kept_by_nms(boxes, scores, limit, None if self._rules.nms_agnostic else classes)
        return set(places) - {places[index] for index in kept}

    def _limit(self, state: _Row) -> None:
        beyond = over_limit(state.annotations, self._rules.max_annotations)
        for index in sorted(beyond):
            name, most = state.annotations[index].name, self._rules.max_annotations
            for label in state.labels[index]:
                state.drop(label)
            state.notes[f"Only the best {most} annotations of {name!r} were kept."] = None
        if beyond:
            state.annotations = [each for index, each in enumerate(state.annotations) if index not in beyond]

    def _shape(self, found: FoundShape, tool: ToolFeature, row: DataRow, state: _Row) -> None:
        made = shapes(found, tool, row, self._rules)
        if not made:
            kind = KIND_OF[type(found)]
            state.drop(found.label)
            state.notes[f"A {kind} of class {_short(found.label)} is too small or outside and was left out."] = None
        state.extra += max(0, len(made) - 1)
        for shape in made:
            state.add(shape, found.label)

    def _box(self, found: FoundBox, tool: ToolFeature, row: DataRow, state: _Row) -> None:
        if found.width < _INVISIBLE or found.height < _INVISIBLE:
            state.drop(found.label)
            state.notes[f"A box of class {_short(found.label)} has no area and was left out."] = None
            return
        if min(found.width, found.height) < self._rules.min_size_px:
            state.drop(found.label)
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
        state.add(
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
            ),
            found.label,
        )

    def _text(self, found: FoundText, feature: TextFeature, state: _Row) -> None:
        if not found.text:
            state.drop(found.label)
            state.notes[f"The text for {_short(found.label)} is empty and was left out."] = None
            return
        name, schema_id = feature.name, feature.feature_schema_id
        state.add(FreeText(name, schema_id, found.text, found.confidence, feature.by_id), found.label)

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
        state.add(Radio(option.question, option.question_id, answer, option.question_by_id), best.label)

    def _checklist(self, given: list[tuple[FoundLabel, OptionFeature]], _row: DataRow, state: _Row) -> None:
        chosen: dict[str, tuple[Answer, str]] = {}
        for found, option in given:
            confidence = found.confidence
            ruled = self._rules.threshold is not None or found.label in self._rules.thresholds
            if not ruled and confidence is not None and confidence < CHECKLIST_THRESHOLD:
                state.drop(found.label)
                continue
            before = chosen.get(option.feature_schema_id)
            if before is not None:
                state.outscored += 1
                if confidence is None or (before[0].confidence is not None and before[0].confidence >= confidence):
                    continue
            answer = Answer(option.name, option.feature_schema_id, confidence, option.by_id)
            chosen[option.feature_schema_id] = (answer, found.label)
        if self._rules.top_k is not None and len(chosen) > self._rules.top_k:
            best = sorted(chosen, key=lambda key: -rank(chosen[key][0].confidence))[: self._rules.top_k]
            state.outscored += len(chosen) - len(best)
            chosen = {key: value for key, value in chosen.items() if key in best}
        if chosen:
            first = given[0][1]
            answers = tuple(answer for answer, _ in chosen.values())
            labels = (label for _, label in chosen.values())
            state.add(Checklist(first.question, first.question_id, answers, first.question_by_id), *labels)

    def _features(self, kind: str, label: str, row: DataRow, state: _Row) -> tuple[Any, ...]:
        """The features of a class; empty: it has none, which is counted."""
        found = self._lookup(kind, label)
        if isinstance(found, _Ambiguous):
            _fail(found, row)
        if isinstance(found, _Unmapped):
            if self._rules.unmapped == "fail":
                _fail(found, row)
            state.drop(label)
            if self._rules.unmapped == "report":
                state.notes[found.message] = None
            return ()
        return found

    def _lookup(self, kind: str, label: str) -> tuple[Any, ...] | _Unmapped | _Ambiguous:
        known = self._known[kind]
        found: tuple[Any, ...] | _Unmapped | _Ambiguous | None = known.get(label)
        if found is None:
            if len(known) >= _CACHED:
                known.clear()
            found = known[label] = self._resolve(kind, label)
        return found

    def _wanted(self, label: str) -> tuple[str, ...]:
        """The names of features that a class is to feed."""
        wanted = self._rules.classes.get(label, label)
        return (wanted,) if isinstance(wanted, str) else wanted

    def _resolve(self, kind: str, label: str) -> tuple[Any, ...] | _Unmapped | _Ambiguous:
        wanted = self._wanted(label)
        features: dict[str, Any] = {}
        for name in wanted:
            found = self._index[kind].find(name)
            if not found and kind in ALSO:
                found = self._index[ALSO[kind]].find(name)
            if len(found) > 1:
                return self._ambiguous(f"The model's class {_short(label)}", found)
            features.update((feature.feature_schema_id, feature) for feature in found)
        if features:
            return tuple(features.values())
        message = f"The model's class {_short(label)} fits no {KINDS[kind]} of the ontology {self._ontology.name!r}."
        for name, (other, index) in ((name, item) for name in wanted for item in self._index.items()):
            if other != kind and index.find(name):
                what = f"{_short(name)} is a {KINDS[other]} there, and the model does not give what that takes."
                message = f"{message[:-1]}; {what}"
                break
        near = next(filter(None, (self._index[kind].nearest(name) for name in wanted)), None)
        hint = f"Did you mean {near!r}? " if near else ""
        return _Unmapped(message, f'{hint}Add the class to classes of the model in vmi.toml, or set unmapped = "drop".')

    def _ambiguous(self, who: str, found: Sequence[Any]) -> _Ambiguous:
        paths = ", ".join(f"{'/'.join(feature.path)} ({feature.feature_schema_id})" for feature in found)
        return _Ambiguous(
            f"{who} could mean {len(found)} features of the ontology {self._ontology.name!r}: {paths}.",
            "Say which in classes of the model in vmi.toml, by Question/Option or by the schema id.",
        )

    def _text_of(self, box: ToolFeature) -> TextFeature | _Ambiguous | None:
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
        for label, name in [(known, name) for known in self._rules.classes for name in self._wanted(known)]:
            if not any(index.find(name) for index in self._index.values()):
                near = next(filter(None, (index.nearest(name) for index in self._index.values())), None)
                raise SettingsError(
                    f"classes maps the model's class {label!r} to {name!r}, which the ontology "
                    f"{self._ontology.name!r} does not have.",
                    hint=f"Did you mean {near!r}?" if near else None,
                )
            self._check_name(name, f"classes maps the model's class {label!r} to {name!r}, which")
        empty = [label for label in self._rules.classes if not self._wanted(label)]
        if empty:
            raise SettingsError(f"classes maps the model's class {empty[0]!r} to nothing.", hint="Name a feature.")

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
