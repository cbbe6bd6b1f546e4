"""Answered questions of an export: radio, checklist and text, nested to any depth, of assets, objects and messages.

Format: "export v2" of labelbox 7.17.0, as its own tests expect it (``tests/data/annotation_import/conftest.py``).
"""

from __future__ import annotations

import msgspec

from vertex_model_inference.annotations import Answer, Checklist, FreeText, Question, Radio
from vertex_model_inference.labelbox.vocabulary import Vocabulary

__all__ = ["ExportQuestion", "answered"]


class ExportAnswer(msgspec.Struct, gc=False):
    """A chosen option."""

    name: str | None = None
    value: str | None = None
    feature_schema_id: str | None = None
    confidence: float | None = None
    classifications: list[ExportQuestion] | None = None


class ExportText(msgspec.Struct, gc=False):
    """A text; in videos a list of texts, which is another form."""

    content: str | list[msgspec.Raw] = ""
    confidence: float | None = None


class ExportQuestion(msgspec.Struct, gc=False):
    """A question with its answer, which is one of six."""

    feature_id: str = ""
    name: str | None = None
    value: str | None = None
    feature_schema_id: str | None = None
    message_id: str | None = None
    radio_answer: ExportAnswer | None = None
    checklist_answers: list[ExportAnswer] | None = None
    text_answer: ExportText | None = None
    conversational_radio_answer: ExportAnswer | None = None
    conversational_checklist_answers: list[ExportAnswer] | None = None
    conversational_text_answer: ExportText | None = None


def answered(question: ExportQuestion, names: Vocabulary) -> Question | None:
    """The answered question; None: it is of another kind, or has no answer."""
    schema_id = question.feature_schema_id or ""
    name = names.name(question.name or question.value, schema_id)
    radio = question.radio_answer or question.conversational_radio_answer
    if radio is not None:
        return Radio(name, schema_id, _answer(radio, names), message_id=question.message_id)
    several = question.checklist_answers or question.conversational_checklist_answers
    if several:
        answers = tuple(_answer(one, names) for one in several)
        return Checklist(name, schema_id, answers, message_id=question.message_id)
    text = question.text_answer or question.conversational_text_answer
    if text is not None and isinstance(text.content, str):
        return FreeText(name, schema_id, text.content, text.confidence, message_id=question.message_id)
    return None


def _answer(answer: ExportAnswer, names: Vocabulary) -> Answer:
    schema_id = answer.feature_schema_id or ""
    nested = (answered(question, names) for question in answer.classifications or ())
    return Answer(
        # Predictions name an option by its value, people read its name.
        names.name(answer.value or answer.name, schema_id),
        schema_id,
        answer.confidence,
        classifications=tuple(question for question in nested if question is not None),
    )
