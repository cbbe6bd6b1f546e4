"""The features of an ontology that findings can become, flattened once for quick matching.

Features know what they stand below, up to the ontology or the tool, and are told apart by identity: Labelbox lets one
schema id stand in several places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from vertex_model_inference.ontology import Classification, Ontology, Tool

__all__ = ["OptionFeature", "QuestionFeature", "ToolFeature", "chain", "questions_of", "tools_of"]

_ANSWERED = frozenset({"radio", "checklist", "text"})
"""Kinds of questions that an import can answer."""


@dataclass(frozen=True, slots=True, eq=False)
class QuestionFeature:
    """A question, of the ontology, of a tool or below an option.

    Attributes:
        kind: ``radio``, ``checklist`` or ``text``.
        name: Its name. ``feature_schema_id``: its schema id.
        by_id: Its name is not unique where it stands.
        path: Names from the tool, or else the top-level question, down to it.
        parent: The option that asks it; None: it stands at the top of the ontology or the tool.
        scope: ``global`` or ``index`` (of videos: frame by frame), of questions at the top of the ontology.
    """

    kind: str
    name: str
    feature_schema_id: str
    by_id: bool
    path: tuple[str, ...]
    parent: OptionFeature | None
    scope: str = "global"

    @property
    def names(self) -> tuple[str, ...]:
        """Name and schema id."""
        return (self.name, self.feature_schema_id)


@dataclass(frozen=True, slots=True, eq=False)
class OptionFeature:
    """An option of a radio or checklist; attributes as of ``QuestionFeature``, ``label`` is what people see."""

    name: str
    label: str
    feature_schema_id: str
    by_id: bool
    path: tuple[str, ...]
    question: QuestionFeature

    @property
    def names(self) -> tuple[str, ...]:
        """Name, what people see, and schema id."""
        return (self.name, self.label, self.feature_schema_id)


@dataclass(frozen=True, slots=True, eq=False)
class ToolFeature:
    """A tool; ``kind`` is Labelbox's word for it.

    Attributes:
        texts: Its free-text questions, those below options not among them.
        questions: All its questions and their options, at any depth.
    """

    kind: str
    name: str
    feature_schema_id: str
    by_id: bool
    texts: tuple[QuestionFeature, ...] = ()
    questions: tuple[QuestionFeature | OptionFeature, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Name and schema id."""
        return (self.name, self.feature_schema_id)

    @property
    def path(self) -> tuple[str, ...]:
        """The name."""
        return (self.name,)


def chain(feature: QuestionFeature | OptionFeature) -> tuple[QuestionFeature | OptionFeature, ...]:
    """The feature and all that it stands below, from the top: question, option, question, ..."""
    found: list[QuestionFeature | OptionFeature] = []
    here: QuestionFeature | OptionFeature | None = feature
    while here is not None:
        found.append(here)
        here = here.question if isinstance(here, OptionFeature) else here.parent
    return tuple(reversed(found))


def _twice(names: list[str]) -> set[str]:
    return {name for name, count in Counter(names).items() if count > 1}


def _top_level_twice(ontology: Ontology) -> set[str]:
    """Names that alone do not say which tool or question is meant."""
    return _twice([tool.name for tool in ontology.tools] + [question.name for question in ontology.classifications])


def _below(
    questions: tuple[Classification, ...], twice: set[str], path: tuple[str, ...], parent: OptionFeature | None
) -> Iterator[QuestionFeature | OptionFeature]:
    for question in questions:
        if question.kind not in _ANSWERED:
            continue
        where = (*path, question.name)
        asked = QuestionFeature(
            question.kind,
            question.name,
            question.feature_schema_id,
            question.name in twice,
            where,
            parent,
            question.scope,
        )
        yield asked
        options_twice = _twice([option.name for option in question.options])
        for option in question.options:
            name, schema_id = option.name, option.feature_schema_id
            chosen = OptionFeature(name, option.label, schema_id, name in options_twice, (*where, name), asked)
            yield chosen
            nested = option.classifications
            yield from _below(nested, _twice([each.name for each in nested]), chosen.path, chosen)


def _tool(tool: Tool, twice: set[str]) -> ToolFeature:
    asked = tool.classifications
    questions = tuple(_below(asked, _twice([question.name for question in asked]), (tool.name,), None))
    texts = tuple(
        question
        for question in questions
        if isinstance(question, QuestionFeature) and question.kind == "text" and question.parent is None
    )
    return ToolFeature(tool.kind, tool.name, tool.feature_schema_id, tool.name in twice, texts, questions)


def tools_of(ontology: Ontology) -> tuple[ToolFeature, ...]:
    """All tools, of any kind."""
    twice = _top_level_twice(ontology)
    return tuple(_tool(tool, twice) for tool in ontology.tools)


def questions_of(ontology: Ontology) -> tuple[QuestionFeature | OptionFeature, ...]:
    """All questions about the asset and their options, at any depth; what stands above comes first."""
    return tuple(_below(ontology.classifications, _top_level_twice(ontology), (), None))
