"""An ontology, indexed for looking up what an annotation names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = ["Feature", "FeatureIndex", "Option"]

_SLUG = re.compile(r"[^0-9a-z]+")


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of a radio or checklist.

    Attributes:
        schema_id: 25 characters.
        name: The option's label, as exports name it.
        value: The option's value; annotations may name either.
        questions: What is asked once the option is chosen.
    """

    schema_id: str
    name: str
    value: str
    questions: FeatureIndex


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """A tool or a classification.

    Attributes:
        kind: ``rectangle``, ``polygon``, ... or ``radio``, ``checklist``, ``text``, ...
        schema_id: 25 characters.
        name: What annotations name.
        value: The name as exports write it under ``value``: lower case, underscores.
        scope: ``index`` for questions about single frames or messages, else ``global``.
        questions: Of a tool.
        options: Of a radio or checklist, by value and by label.
        options_by_id: Likewise, by schema id.
    """

    kind: str
    schema_id: str
    name: str
    value: str
    scope: str
    questions: FeatureIndex
    options: Mapping[str, Option]
    options_by_id: Mapping[str, Option]


class FeatureIndex(msgspec.Struct, frozen=True):
    """Features of one level of an ontology.

    Attributes:
        tools: By name.
        questions: Classifications by name.
        by_id: Both, by schema id.
    """

    tools: Mapping[str, Feature]
    questions: Mapping[str, Feature]
    by_id: Mapping[str, Feature]

    @classmethod
    def of(cls, normalized: Mapping[str, Any]) -> FeatureIndex:
        """Index a normalized ontology whose ids are complete."""
        tools = [_tool(tool) for tool in normalized.get("tools") or ()]
        questions = [_question(question) for question in normalized.get("classifications") or ()]
        return cls(
            {tool.name: tool for tool in tools},
            {question.name: question for question in questions},
            {feature.schema_id: feature for feature in (*tools, *questions)},
        )


def _slug(name: str) -> str:
    return _SLUG.sub("_", name.lower())


def _tool(form: Mapping[str, Any]) -> Feature:
    return Feature(
        kind=form["tool"],
        schema_id=form["featureSchemaId"],
        name=form["name"],
        value=_slug(form["name"]),
        scope="global",
        questions=FeatureIndex.of({"classifications": form.get("classifications")}),
        options={},
        options_by_id={},
    )


def _question(form: Mapping[str, Any]) -> Feature:
    options = [
        Option(
            schema_id=option["featureSchemaId"],
            name=option["label"],
            value=option["value"],
            questions=FeatureIndex.of({"classifications": option.get("options")}),
        )
        for option in form.get("options") or ()
    ]
    return Feature(
        kind=form["type"].removeprefix("response-"),
        schema_id=form["featureSchemaId"],
        name=form["instructions"],
        value=_slug(form["instructions"]),
        scope=form.get("scope") or "global",
        questions=FeatureIndex({}, {}, {}),
        options={**{option.name: option for option in options}, **{option.value: option for option in options}},
        options_by_id={option.schema_id: option for option in options},
    )
