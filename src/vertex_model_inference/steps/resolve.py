"""Which features of the ontology a model's names mean: never by guess, each name looked up once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vertex_model_inference.errors import MatchError, SettingsError
from vertex_model_inference.findings import FoundLabel, FoundText
from vertex_model_inference.models import MatchRules
from vertex_model_inference.ontology import Ontology
from vertex_model_inference.rows import DataRow
from vertex_model_inference.steps.features import (
    OptionFeature,
    QuestionFeature,
    ToolFeature,
    chain,
    questions_of,
    tools_of,
)
from vertex_model_inference.steps.kinds import KINDS, Kind
from vertex_model_inference.steps.names import NameIndex
from vertex_model_inference.steps.tally import Tally, quoted

__all__ = ["Ambiguous", "Resolver", "Scope", "Unmapped", "settle"]

_CACHED = 50_000
"""Class names remembered at most: a model that makes names up must not fill the memory."""

TOOL_NAMES = {
    "raster-segmentation": "mask tool",
    "superpixel": "mask tool",
    "line": "polyline tool",
    "named-entity": "entity tool",
    "edge": "relationship tool",
}
"""What people call a tool, where it is not Labelbox's own word."""


@dataclass(frozen=True, slots=True)
class Unmapped:
    """A class that no feature of the wanted kind fits."""

    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """A class that several features fit."""

    message: str
    hint: str


Asked = QuestionFeature | OptionFeature


class Scope:
    """The questions about one thing, at any depth: about the asset, a tool's objects, or a chosen option.

    Args:
        where: What they are about, for messages.
        features: The questions and options.
    """

    def __init__(self, where: str, features: Sequence[Asked]) -> None:
        self.where = where
        self.features = features
        self.options = NameIndex(each for each in features if isinstance(each, OptionFeature))
        asked = [each for each in features if isinstance(each, QuestionFeature)]
        self.texts = NameIndex(each for each in asked if each.kind == "text")
        self.questions = NameIndex(each for each in asked if each.kind != "text")
        self.known: dict[tuple[str, str | None], tuple[Any, ...] | Unmapped | Ambiguous] = {}
        self._of_question: dict[str, NameIndex[OptionFeature]] = {}
        self._below: dict[OptionFeature, Scope] = {}

    def below(self, option: OptionFeature) -> Scope:
        """The questions that choosing an option asks."""
        found = self._below.get(option)
        if found is None:
            within = [each for each in self.features if each is not option and option in chain(each)]
            found = self._below[option] = Scope(f"the option {'/'.join(option.path)!r}", within)
        return found

    def options_of(self, question: str) -> NameIndex[OptionFeature]:
        """The options of all questions that a name fits."""
        found = self._of_question.get(question)
        if found is None:
            if len(self._of_question) >= _CACHED:
                self._of_question.clear()
            asked = self.questions.find(question)
            mine = [each for each in self.features if isinstance(each, OptionFeature) and each.question in asked]
            found = self._of_question[question] = NameIndex(mine)
        return found


class Resolver:
    """Looks names up in an ontology, by the rules of a model.

    Args:
        ontology: Of the model run.
        rules: For ``classes``: a model's class (``class``, or ``question/class`` of answers) -> features.
    """

    def __init__(self, ontology: Ontology, rules: MatchRules) -> None:
        self._ontology = ontology
        self._rules = rules
        self.tools = tools_of(ontology)
        self.asset = Scope("the asset", questions_of(ontology))
        self._about: dict[ToolFeature, Scope] = {}
        self._index: dict[tuple[str, ...], NameIndex[ToolFeature]] = {}
        for words in {words for kind in KINDS for words in (kind.tools, kind.also)}:
            self._index[words] = NameIndex(tool for tool in self.tools if tool.kind in words)
        self._known: dict[str, dict[str, tuple[ToolFeature, ...] | Unmapped | Ambiguous]] = {}

    def about(self, tool: ToolFeature) -> Scope:
        """The questions about a tool's objects."""
        found = self._about.get(tool)
        if found is None:
            found = self._about[tool] = Scope(f"the tool {tool.name!r}", tool.questions)
        return found

    def known(self, kind: Kind) -> dict[str, tuple[ToolFeature, ...] | Unmapped | Ambiguous]:
        """What ``tool`` has found so far: class -> tools."""
        return self._known.setdefault(kind.name, {})

    def tool(self, kind: Kind, label: str) -> tuple[ToolFeature, ...] | Unmapped | Ambiguous:
        """The tools that a class of found things means."""
        known = self.known(kind)
        found = known.get(label)
        if found is None:
            if len(known) >= _CACHED:
                known.clear()
            found = known[label] = self._tool(kind, label)
        return found

    def answer(self, scope: Scope, given: FoundLabel | FoundText) -> tuple[Asked, ...] | Unmapped | Ambiguous:
        """The options that a label means, or the free-text questions that a text answers."""
        question = given.question if isinstance(given, FoundLabel) else ""
        key = (given.label, question)
        found = scope.known.get(key)
        if found is None:
            if len(scope.known) >= _CACHED:
                scope.known.clear()
            found = scope.known[key] = self._answer(scope, given)
        return found

    def wanted(self, label: str) -> tuple[str, ...]:
        """The names of features that a class is to feed."""
        wanted = self._rules.classes.get(label, label)
        return (wanted,) if isinstance(wanted, str) else wanted

    def check(self, names: Iterable[str]) -> None:
        """Refuse rules, and known classes of the model, that could mean nothing or several features.

        Raises:
            SettingsError: Naming the class and the feature.
        """
        for label, name in [(known, name) for known in self._rules.classes for name in self.wanted(known)]:
            if not any(index.find(name) for index in self._everything()):
                near = next(filter(None, (index.nearest(name) for index in self._everything())), None)
                raise SettingsError(
                    f"classes maps the model's class {label!r} to {name!r}, which the ontology "
                    f"{self._ontology.name!r} does not have.",
                    hint=f"Did you mean {near!r}?" if near else None,
                )
            self._check_name(name, f"classes maps the model's class {label!r} to {name!r}, which")
        empty = [label for label in self._rules.classes if not self.wanted(label)]
        if empty:
            raise SettingsError(f"classes maps the model's class {empty[0]!r} to nothing.", hint="Name a feature.")
        for label in names:
            for name in self.wanted(label):
                self._check_name(name, f"The model's class {label!r}")

    def _everything(self) -> list[NameIndex[Any]]:
        scopes = [self.asset, *map(self.about, self.tools)]
        of_scopes = [index for scope in scopes for index in (scope.options, scope.texts, scope.questions)]
        return [*self._index.values(), *of_scopes]

    def _check_name(self, name: str, who: str) -> None:
        """Refuse a name that is ambiguous for some kind of finding and clear for none."""
        found: list[tuple[Any, ...]] = [index.find(name) for index in self._everything()]
        if any(len(several) > 1 for several in found) and not any(len(several) == 1 for several in found):
            problem = self._ambiguous(who, next(several for several in found if len(several) > 1))
            raise SettingsError(problem.message, hint=problem.hint)

    def _tool(self, kind: Kind, label: str) -> tuple[ToolFeature, ...] | Unmapped | Ambiguous:
        wanted = self.wanted(label)
        features: dict[ToolFeature, None] = {}
        for name in wanted:
            found = self._index[kind.tools].find(name) or self._index[kind.also].find(name)
            if len(found) > 1:
                return self._ambiguous(f"The model's class {quoted(label)}", found)
            features.update(dict.fromkeys(found))
        if features:
            return tuple(features)
        taker = TOOL_NAMES.get(kind.tools[0], f"{kind.tools[0]} tool")
        near = (self._index[kind.tools].nearest(name) for name in wanted)
        return self._unmapped(f"The model's class {quoted(label)} fits no {taker}", wanted, near)

    def _answer(self, scope: Scope, given: FoundLabel | FoundText) -> tuple[Asked, ...] | Unmapped | Ambiguous:
        label, question = given.label, given.question if isinstance(given, FoundLabel) else None
        classes = self._rules.classes
        if question is not None and not scope.questions.find(question) and question in classes:
            question = next((name for name in self.wanted(question) if scope.questions.find(name)), question)
        mapped = classes.get(f"{given.question}/{label}") if isinstance(given, FoundLabel) else None
        mapped = classes.get(label) if mapped is None else mapped
        names = (mapped,) if isinstance(mapped, str) else mapped or (label,)
        index: NameIndex[Any] = scope.options
        what = "radio or checklist option"
        if isinstance(given, FoundText):
            index, what = scope.texts, "free-text question"
        elif question is not None:
            index = scope.options_of(question)
        wide = scope.options if mapped is not None and question is not None else index
        if mapped is not None and scope is not self.asset and not any(wide.find(name) for name in names):
            # The rule is for another place in which the model uses this word.
            mapped, names, wide = None, (label,), index
        features: dict[Asked, None] = {}
        for name in names:
            found = index.find(name) or wide.find(name)
            if len(found) > 1:
                return self._ambiguous(f"The model's {_said(given)}", found)
            features.update(dict.fromkeys(found))
        if features:
            return tuple(features)
        if question is not None and mapped is None and not scope.questions.find(question):
            index, what, names = scope.questions, "radio or checklist question", (question,)
        place = "" if scope is self.asset else f" about {scope.where}"
        return self._unmapped(f"The model's {_said(given)} fits no {what}{place}", names, map(index.nearest, names))

    def _unmapped(self, message: str, wanted: Sequence[str], nearest: Iterable[str | None]) -> Unmapped:
        message = f"{message} of the ontology {self._ontology.name!r}."
        there = next(filter(None, map(self._elsewhere, wanted)), None)
        if there:
            message = f"{message[:-1]}; {there}, and the model does not give what that takes."
        near = next(filter(None, nearest), None)
        hint = f"Did you mean {near!r}? " if near else ""
        return Unmapped(message, f'{hint}Add the class to classes of the model in vmi.toml, or set unmapped = "drop".')

    def _elsewhere(self, name: str) -> str | None:
        """What a name is in the ontology, whatever it was looked up as."""
        found = next(filter(None, (index.find(name) for index in self._everything())), None)
        if not found:
            return None
        feature = found[0]
        if isinstance(feature, ToolFeature):
            what = TOOL_NAMES.get(feature.kind, f"{feature.kind} tool")
        elif isinstance(feature, OptionFeature):
            what = "radio or checklist option"
        else:
            what = "free-text question" if feature.kind == "text" else f"{feature.kind} question"
        tool = next((tool for tool in self.tools if feature in tool.questions), None)
        about = f" about the tool {tool.name!r}" if tool else ""
        return f"{quoted(name)} is a {what}{about} there"

    def _ambiguous(self, who: str, found: Sequence[Any]) -> Ambiguous:
        paths = ", ".join(f"{'/'.join(feature.path)} ({feature.feature_schema_id})" for feature in found)
        return Ambiguous(
            f"{who} could mean {len(found)} features of the ontology {self._ontology.name!r}: {paths}.",
            "Say which in classes of the model in vmi.toml, by Question/Option or by the schema id.",
        )


def _said(given: FoundLabel | FoundText) -> str:
    if isinstance(given, FoundText):
        return f"text {quoted(given.label)}"
    if given.question is None:
        return f"class {quoted(given.label)}"
    return f"answer {quoted(given.label)} to {quoted(given.question)}"


def settle(
    found: tuple[Any, ...] | Unmapped | Ambiguous, label: str, unmapped: str, row: DataRow, tally: Tally
) -> tuple[Any, ...]:
    """The features of a class; empty: it has none, which is counted.

    Args:
        found: What was looked up.
        label: The class.
        unmapped: ``fail``, ``drop`` or ``report``, see ``MatchRules``.
        row: For messages.
        tally: Where it is counted.

    Raises:
        MatchError: ``ambiguous``; or ``unmapped``, where such classes are to fail the row.
    """
    if isinstance(found, tuple):
        return found
    if isinstance(found, Ambiguous) or unmapped == "fail":
        code = "ambiguous" if isinstance(found, Ambiguous) else "unmapped"
        raise MatchError(f"{found.message} (data row {row.id})", code=code, hint=found.hint, data_row_id=row.id)
    tally.drop(label)
    if unmapped == "report":
        tally.note(found.message)
    return ()
