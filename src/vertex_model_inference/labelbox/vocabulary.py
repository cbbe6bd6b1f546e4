"""One name for each feature of an ontology, however a file refers to it: by name, by value or by schema id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from vertex_model_inference.ontology import Classification, Ontology

__all__ = ["Vocabulary"]


class Vocabulary:
    """Names to compare predictions and labels by: a feature's own, with its schema id where two have the same.

    Args:
        ontology: None: every feature is called as the file calls it.
    """

    def __init__(self, ontology: Ontology | None) -> None:
        self._by_id: dict[str, str] = {}
        if ontology is None:
            return
        top = [(tool.name, tool.feature_schema_id) for tool in ontology.tools]
        top += [(question.name, question.feature_schema_id) for question in ontology.classifications]
        self._learn(top)
        for questions in (ontology.classifications, *(tool.classifications for tool in ontology.tools)):
            for group in _groups(questions):
                self._learn(group)

    def _learn(self, features: list[tuple[str, str]]) -> None:
        counts = Counter(name for name, _ in features)
        for name, schema_id in features:
            self._by_id[schema_id] = name if counts[name] == 1 else f"{name} ({schema_id})"

    def name(self, name: str | None, schema_id: str | None) -> str:
        """The feature's name.

        Args:
            name: As the file has it, if it does. ``schema_id``: likewise.
        """
        known = self._by_id.get(schema_id) if schema_id else None
        return known or name or schema_id or ""


def _groups(questions: tuple[Classification, ...]) -> Iterator[list[tuple[str, str]]]:
    """Features that stand side by side, at every depth: questions, and the options of each."""
    yield [(question.name, question.feature_schema_id) for question in questions]
    for question in questions:
        yield [(option.name, option.feature_schema_id) for option in question.options]
        for option in question.options:
            yield from _groups(option.classifications)
