"""A model's classes against an ontology, before anything is spent. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from enum import StrEnum
from functools import partial
from typing import Any

import msgspec

from vertex_model_inference.errors import SettingsError
from vertex_model_inference.findings import FoundLabel, FoundText
from vertex_model_inference.models import MatchRules
from vertex_model_inference.ontology import Ontology
from vertex_model_inference.steps.features import OptionFeature, QuestionFeature, ToolFeature, chain
from vertex_model_inference.steps.kinds import KINDS
from vertex_model_inference.steps.match import Matcher
from vertex_model_inference.steps.names import fold
from vertex_model_inference.steps.resolve import TOOL_NAMES, Ambiguous, Resolver, Unmapped
from vertex_model_inference.steps.tally import quoted

__all__ = ["ClassCheck", "FeatureGiven", "Preflight", "Verdict", "preflight"]

_KIND = {kind.name: kind for kind in KINDS}
_ANY = ("label", "text", *(kind.name for kind in KINDS if kind.make is not None))
_Feature = ToolFeature | OptionFeature | QuestionFeature


class Verdict(StrEnum):
    """What is to become of a class."""

    MATCHED = "matched"
    UNMAPPED = "unmapped"
    WRONG_KIND = "wrong kind"  # a feature of that name takes something that the model does not give
    AMBIGUOUS = "ambiguous"


class FeatureGiven(msgspec.Struct, frozen=True):
    """A feature of the ontology: names from the top joined by ``/``, and what people call its kind."""

    path: str
    kind: str


class ClassCheck(msgspec.Struct, frozen=True, omit_defaults=True):
    """One class of the model.

    Attributes:
        name: As the model gives it.
        verdict: What is to become of it.
        features: What it feeds; of an ambiguous one what it could mean.
        why: Why it feeds nothing, one sentence.
        suggestion: A feature with a similar name; nobody takes it without asking.
        fails: Each row in which the model gives it will fail.
    """

    name: str
    verdict: Verdict
    features: tuple[FeatureGiven, ...] = ()
    why: str = ""
    suggestion: str | None = None
    fails: bool = False


class Preflight(msgspec.Struct, frozen=True):
    """What a run would meet.

    Attributes:
        classes: Of the model, in its order.
        unused: Features that no class feeds.
        problems: Settings with which no row can be matched; and anything else that is no class's.
        notes: What is odd but fails nothing.
        lines: Of ``vmi.toml``, ready to be pasted and thought over.
    """

    classes: tuple[ClassCheck, ...]
    unused: tuple[FeatureGiven, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    lines: tuple[str, ...]

    @property
    def fails(self) -> bool:
        """Whether rows, or the run, would fail."""
        return bool(self.problems) or any(each.fails for each in self.classes)


def preflight(
    ontology: Ontology,
    rules: MatchRules,
    classes: Sequence[str],
    *,
    option: str,
    finds: Sequence[str] | None = None,
) -> Preflight:
    """Look each class up as a run does.

    Args:
        ontology: Of the model run.
        rules: Of the model.
        classes: All that the model can give, by its own names.
        option: Name of the model's section in ``vmi.toml``, for the suggested lines.
        finds: Kinds of findings that it gives (``label``, ``text``, or a name of ``KINDS``); None: not known, any.
    """
    problems: list[str] = []
    try:
        Matcher(ontology, rules)
    except SettingsError as error:
        problems.append(str(error))
    resolver = Resolver(ontology, rules)
    used: dict[_Feature, None] = {}
    checks = [_check(name, resolver, rules, finds or _ANY, used) for name in dict.fromkeys(classes)]
    notes = [] if not classes else _strangers(rules, set(classes))
    unused = tuple(_unused(resolver, set(used)))
    return Preflight(tuple(checks), unused, tuple(problems), tuple(notes), tuple(_lines(option, rules, checks)))


def _check(
    name: str, resolver: Resolver, rules: MatchRules, finds: Sequence[str], used: dict[_Feature, None]
) -> ClassCheck:
    answers = [_found(kind, name, resolver) for kind in finds]
    features: list[_Feature] = [feature for found in answers if isinstance(found, tuple) for feature in found]
    if features:
        used.update(dict.fromkeys(features))
        return ClassCheck(name, Verdict.MATCHED, tuple(map(_given, dict.fromkeys(features))))
    ambiguous = next((found for found in answers if isinstance(found, Ambiguous)), None)
    if ambiguous is not None:
        could = tuple(FeatureGiven(path, "") for path in ambiguous.paths)
        return ClassCheck(name, Verdict.AMBIGUOUS, could, ambiguous.message, fails=True)
    unmapped = [found for found in answers if isinstance(found, Unmapped)]
    there = next((found for found in unmapped if found.there), None)
    near = max({found.near for found in unmapped if found.near}, key=partial(_likeness, name), default=None)
    verdict = Verdict.UNMAPPED if there is None else Verdict.WRONG_KIND
    why = (there or unmapped[0]).message
    if len(finds) > 1:  # each lookup speaks of its own kind only
        what = f"; {there.there}, and the model does not give what that takes" if there else ""
        why = f"The model's class {quoted(name)} fits no feature of the ontology {resolver.name!r}{what}."
    return ClassCheck(name, verdict, why=why, suggestion=near, fails=rules.unmapped == "fail")


def _likeness(name: str, other: str) -> float:
    return SequenceMatcher(None, fold(name), fold(other)).ratio()


def _found(kind: str, name: str, resolver: Resolver) -> tuple[Any, ...] | Unmapped | Ambiguous:
    if kind == "label":
        return resolver.answer(resolver.asset, FoundLabel(name))
    if kind == "text":
        return resolver.answer(resolver.asset, FoundText(name, ""))
    return resolver.tool(_KIND[kind], name)


def _given(feature: _Feature) -> FeatureGiven:
    if isinstance(feature, ToolFeature):
        what = TOOL_NAMES.get(feature.kind, f"{feature.kind} tool")
    elif isinstance(feature, OptionFeature):
        what = f"option of a {feature.question.kind}"
    else:
        what = "free-text question" if feature.kind == "text" else feature.kind
    return FeatureGiven("/".join(feature.path), what)


def _unused(resolver: Resolver, used: set[_Feature]) -> Iterable[FeatureGiven]:
    """Tools, then questions that get no answer as a whole, and the options of others that are never chosen."""
    chosen = {above for feature in used if not isinstance(feature, ToolFeature) for above in chain(feature)}
    for tool in resolver.tools:
        if tool not in used:
            yield _given(tool)
    silent: set[QuestionFeature | OptionFeature] = set()
    for feature in resolver.asset.features:
        if feature in chosen:
            continue
        if not silent.intersection(chain(feature)):  # what stands below something unused goes without saying
            yield _given(feature)
        silent.add(feature)


def _strangers(rules: MatchRules, classes: set[str]) -> list[str]:
    """Names in the rules that are none of the model's."""
    told: dict[str, Iterable[str]] = {"classes": rules.classes, "thresholds": rules.thresholds}
    return [
        f"{where} in vmi.toml names the class {name!r}, which the model does not list."
        for where, names in told.items()
        for name in names
        if name not in classes and "/" not in name  # those of answers have their question before them
    ]


def _lines(option: str, rules: MatchRules, checks: Sequence[ClassCheck]) -> Iterable[str]:
    lacking = [each for each in checks if each.verdict is not Verdict.MATCHED]
    if not lacking:
        return
    yield f"[models.{_quoted(option)}.classes]"
    for each in lacking:
        mapped = "  # instead of the line that is there" if each.name in rules.classes else ""
        if each.verdict is Verdict.AMBIGUOUS:
            first, *others = [_quoted(feature.path) for feature in each.features]
            yield f"{_quoted(each.name)} = {first}  # or {', '.join(others)}"
        elif each.suggestion is not None:
            yield f"{_quoted(each.name)} = {_quoted(each.suggestion)}{mapped}"
        else:
            yield f'# {_quoted(each.name)} = "..."  # name a feature, or set unmapped = "drop" for the model'


def _quoted(text: str) -> str:
    """A basic string of TOML, whose escapes are those of JSON but for the delete character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
