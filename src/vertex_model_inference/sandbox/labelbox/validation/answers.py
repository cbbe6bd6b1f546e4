"""Answers to radio, checklist and text questions, at any depth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vertex_model_inference.sandbox.labelbox.validation.features import Feature, FeatureIndex, Option
from vertex_model_inference.sandbox.labelbox.validation.problems import (
    Problem,
    confidence,
    custom_metrics,
    frames,
    unknown_fields,
)

__all__ = ["check_answer", "check_questions", "find_feature", "find_option", "is_framed"]

_QUESTION = frozenset({"name", "schemaId", "answer", "answers", "confidence", "customMetrics", "frames", "uuid"})
_OPTION = frozenset({"name", "schemaId", "confidence", "customMetrics", "classifications", "frames"})
_TEXT_PIECE = frozenset({"value", "frames", "confidence", "classifications"})
MAX_TEXT = 100_000  # characters of a free-text answer; ours, to keep a row from filling the disk


def find_feature(form: Mapping[str, Any], index: FeatureIndex, *, tool: bool, both_allowed: bool) -> Feature | Problem:
    """The tool or classification that a form names by exactly one of ``name`` and ``schemaId``.

    Args:
        form: A row, or a nested classification.
        index: The level of the ontology to look in.
        tool: Look among tools, else among classifications.
        both_allowed: Take both when they mean the same feature (Labelbox's label imports do, says the SDK's own test).
    """
    name, schema_id = form.get("name"), form.get("schemaId")
    if name is not None and schema_id is None:
        if type(name) is str:
            found = (index.tools if tool else index.questions).get(name)
            if found is not None:
                return found
            other = (index.questions if tool else index.tools).get(name)
            if other is not None:
                return other  # the caller says that the kind does not fit
        return Problem(
            "FeatureNotFound", f"The ontology has no {'tool' if tool else 'classification'} {name!r:.80} here."
        )
    if schema_id is not None and (name is None or both_allowed):
        by_id = index.by_id.get(schema_id) if type(schema_id) is str else None
        if by_id is None:
            return Problem("FeatureNotFound", f"The ontology has no feature with schemaId {schema_id!r:.40} here.")
        if name is not None and name != by_id.name:
            return Problem(
                "InvalidFeatureReference",
                f"schemaId {schema_id} is {by_id.name!r}, but the name given is {name!r:.80}.",
            )
        return by_id
    both = "both name and schemaId" if name is not None else "neither name nor schemaId"
    return Problem("InvalidFeatureReference", f"The annotation has {both}; exactly one is needed.")


def find_option(form: Mapping[str, Any], question: Feature, *, both_allowed: bool) -> Option | Problem:
    """The option that an answer names by exactly one of ``name`` and ``schemaId``."""
    name, schema_id = form.get("name"), form.get("schemaId")
    if name is not None and schema_id is None:
        found = question.options.get(name) if type(name) is str else None
        if found is None:
            return Problem("OptionNotFound", f"Classification {question.name!r} has no option {name!r:.80}.")
        return found
    if schema_id is not None and (name is None or both_allowed):
        by_id = question.options_by_id.get(schema_id) if type(schema_id) is str else None
        if by_id is None:
            return Problem("OptionNotFound", f"Classification {question.name!r} has no option {schema_id!r:.40}.")
        if name is not None and name not in (by_id.name, by_id.value):
            return Problem("InvalidFeatureReference", f"Option {schema_id} is {by_id.value!r}, not {name!r:.80}.")
        return by_id
    both = "both name and schemaId" if name is not None else "neither name nor schemaId"
    return Problem("InvalidFeatureReference", f"An answer of {question.name!r} has {both}; exactly one is needed.")


def is_framed(form: Mapping[str, Any]) -> bool:
    """Whether an answer holds for some frames only: as a whole, or part by part (the temporal form)."""
    answer = form.get("answers", form.get("answer"))
    parts = answer if type(answer) is list else [answer]
    return form.get("frames") is not None or any(type(p) is dict and p.get("frames") is not None for p in parts)


def check_answer(form: Mapping[str, Any], question: Feature, *, both_allowed: bool) -> Iterable[Problem]:
    """The value of a classification: ``answer`` (or ``answers`` for checklists), and what hangs on it."""
    kind = question.kind
    where = f"classification {question.name!r}"
    if "answers" in form and "answer" in form:
        yield Problem("InvalidValue", f"{where} has both `answer` and `answers`.")
        return
    answer = form.get("answers", form.get("answer"))
    if answer is None:
        yield Problem("MissingValue", f"{where} has no answer.")
        return
    if form.get("frames") is not None:
        yield from frames(form["frames"], where)
    if kind == "radio":
        if type(answer) is list and len(answer) == 1 and isinstance(answer[0], dict) and "frames" in answer[0]:
            answer = answer[0]  # the temporal form lists its one answer
        if type(answer) is not dict:
            yield Problem(
                "AnnotationKindMismatch", f"{where} is a radio; its answer is one object, not {_kind(answer)}."
            )
            return
        yield from _check_option(answer, question, both_allowed=both_allowed)
    elif kind == "checklist":
        if type(answer) is not list:
            yield Problem(
                "AnnotationKindMismatch", f"{where} is a checklist; its answer is a list, not {_kind(answer)}."
            )
            return
        if not answer:
            yield Problem("MissingValue", f"{where} has an empty list of answers.")
        seen: set[str] = set()
        for item in answer:
            if type(item) is not dict:
                yield Problem("InvalidValue", f"An answer of {where} must be an object, not {_kind(item)}.")
                continue
            found = yield from _check_option(item, question, both_allowed=both_allowed)
            if found is not None and "frames" not in item:
                if found.schema_id in seen:
                    yield Problem("InvalidValue", f"{where} has the answer {found.value!r} twice.")
                seen.add(found.schema_id)
        yield from confidence(form, where, allowed=False)
        yield from custom_metrics(form, where, allowed=False)
        return
    elif kind in ("text", "prompt"):
        yield from _check_text(answer, where)
        yield from confidence(form, where)
        yield from custom_metrics(form, where)
        return
    else:
        yield Problem("AnnotationKindMismatch", f"{where} is a {kind}; imports cannot answer it.")
        return
    yield from confidence(form, where, allowed=False)
    yield from custom_metrics(form, where, allowed=False)


def _check_text(answer: Any, where: str) -> Iterable[Problem]:
    if type(answer) is str:
        if len(answer) > MAX_TEXT:
            yield Problem("InvalidValue", f"The text of {where} has {len(answer)} characters; at most {MAX_TEXT}.")
    elif type(answer) is list and answer and all(isinstance(item, dict) and "value" in item for item in answer):
        for item in answer:
            yield from unknown_fields(item, _TEXT_PIECE, f"A text of {where}")
            if type(item["value"]) is not str:
                yield Problem("InvalidValue", f"A text of {where} must be a string, not {_kind(item['value'])}.")
            yield from frames(item.get("frames"), where)
    else:
        yield Problem("AnnotationKindMismatch", f"{where} is free text; its answer is a string, not {_kind(answer)}.")


def _check_option(
    answer: dict[str, Any], question: Feature, *, both_allowed: bool
) -> Any:  # a generator that returns the option
    found = find_option(answer, question, both_allowed=both_allowed)
    if type(found) is Problem:
        yield found
        return None
    assert isinstance(found, Option)
    if len(answer) > 1:
        where = f"answer {found.value!r} of {question.name!r}"
        yield from unknown_fields(answer, _OPTION, where)
        yield from confidence(answer, where)
        yield from custom_metrics(answer, where)
        if answer.get("frames") is not None:
            yield from frames(answer["frames"], where)
        yield from check_questions(answer.get("classifications"), found.questions, where, both_allowed=both_allowed)
    return found


def check_questions(value: Any, index: FeatureIndex, where: str, *, both_allowed: bool) -> Iterable[Problem]:
    """Nested ``classifications`` of an object or an answer."""
    if not value:
        if value is not None and value != []:
            yield Problem("InvalidValue", f"classifications of {where} must be a list.")
        return
    if type(value) is not list:
        yield Problem("InvalidValue", f"classifications of {where} must be a list, not {_kind(value)}.")
        return
    seen: set[str] = set()
    for form in value:
        if type(form) is not dict:
            yield Problem("InvalidValue", f"A classification of {where} must be an object, not {_kind(form)}.")
            continue
        found = find_feature(form, index, tool=False, both_allowed=both_allowed)
        if type(found) is Problem:
            yield found
            continue
        assert isinstance(found, Feature)
        if found.schema_id in seen:
            yield Problem("InvalidValue", f"{where} answers classification {found.name!r} twice.")
        seen.add(found.schema_id)
        yield from unknown_fields(form, _QUESTION, f"Classification {found.name!r} of {where}")
        yield from check_answer(form, found, both_allowed=both_allowed)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
