"""The features of an ontology that findings can become, flattened once for quick matching."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from vertex_model_inference.ontology import Classification, Ontology, Tool

__all__ = ["OptionFeature", "TextFeature", "ToolFeature", "options_of", "texts_of", "tools_of"]


@dataclass(frozen=True, slots=True)
class TextFeature:
    """A free-text question, of the ontology or of a tool."""

    name: str
    feature_schema_id: str
    by_id: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Name and schema id."""
        return (self.name, self.feature_schema_id)

    @property
    def path(self) -> tuple[str, ...]:
        """The name."""
        return (self.name,)


@dataclass(frozen=True, slots=True)
class ToolFeature:
    """A tool, with its free-text questions; ``kind`` is Labelbox's word for it."""

    kind: str
    name: str
    feature_schema_id: str
    by_id: bool
    texts: tuple[TextFeature, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Name and schema id."""
        return (self.name, self.feature_schema_id)

    @property
    def path(self) -> tuple[str, ...]:
        """The name."""
        return (self.name,)


@dataclass(frozen=True, slots=True)
class OptionFeature:
    """An option of a top-level radio or checklist."""

    name: str
    label: str
    feature_schema_id: str
    by_id: bool
    question: str
    question_id: str
    question_by_id: bool
    multiple: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Name, what people see, and schema id."""
        return (self.name, self.label, self.feature_schema_id)

    @property
    def path(self) -> tuple[str, ...]:
        """Question and option."""
        return (self.question, self.name)


def _twice(names: list[str]) -> set[str]:
    return {name for name, count in Counter(names).items() if count > 1}


def _top_level_twice(ontology: Ontology) -> set[str]:
    """Names that alone do not say which tool or question is meant."""
    return _twice([tool.name for tool in ontology.tools] + [question.name for question in ontology.classifications])


def _texts(questions: tuple[Classification, ...], twice: set[str]) -> tuple[TextFeature, ...]:
    return tuple(
        TextFeature(question.name, question.feature_schema_id, question.name in twice)
        for question in questions
        if question.kind == "text"
    )


def _nested_texts(tool: Tool) -> tuple[TextFeature, ...]:
    return _texts(tool.classifications, _twice([question.name for question in tool.classifications]))


def tools_of(ontology: Ontology, kind: str) -> tuple[ToolFeature, ...]:
    """The tools of one kind, e.g. ``rectangle``."""
    twice = _top_level_twice(ontology)
    return tuple(
        ToolFeature(tool.kind, tool.name, tool.feature_schema_id, tool.name in twice, _nested_texts(tool))
        for tool in ontology.tools
        if tool.kind == kind
    )


def options_of(ontology: Ontology) -> tuple[OptionFeature, ...]:
    """The options of all top-level radios and checklists."""
    twice = _top_level_twice(ontology)
    found = []
    for question in ontology.classifications:
        if question.kind not in {"radio", "checklist"}:
            continue
        options_twice = _twice([option.name for option in question.options])
        found += [
            OptionFeature(
                name=option.name,
                label=option.label,
                feature_schema_id=option.feature_schema_id,
                by_id=option.name in options_twice,
                question=question.name,
                question_id=question.feature_schema_id,
                question_by_id=question.name in twice,
                multiple=question.kind == "checklist",
            )
            for option in question.options
        ]
    return tuple(found)


def texts_of(ontology: Ontology) -> tuple[TextFeature, ...]:
    """The top-level free-text questions."""
    return _texts(ontology.classifications, _top_level_twice(ontology))
