"""Reviews as conversations: real ratings, message by message, and a model that is sent messages."""

from __future__ import annotations

import json

import pytest

from vertex_model_inference.models import ModelOption, Predictor
from vertex_model_inference.rows import MediaType, Split
from vertex_model_inference.sandbox.containers.text_classifier import predictor
from vertex_model_inference.sandbox.containers.text_model import TextModel
from vertex_model_inference.sandbox.datasets.conversations import Conversations
from vertex_model_inference.sandbox.labelbox.layouts import of_conversation
from vertex_model_inference.steps.instances import template_of


@pytest.fixture(scope="module")
def data() -> Conversations:
    return Conversations()


def test_each_message_has_its_rating(data: Conversations) -> None:
    rows = data.rows()
    assert len(rows) > 250
    for row in rows:
        layout, attributes = of_conversation(json.loads(row.data or b""))
        truth = data.truth(row)
        assert 3 <= len(truth) <= 30
        assert [one["messageId"] for one in truth] == list(layout.messages) == attributes["labelable_ids"]
    said = {one["answer"]["name"] for row in rows for one in data.truth(row)}
    assert said == {"positive", "neutral", "negative"}
    assert {row.split for row in rows} == {Split.TRAINING, Split.VALIDATION, Split.TEST}


def test_the_model_answers_by_message(data: Conversations) -> None:
    plan = data.model()
    assert plan.measured["test_accuracy"] > 0.55  # the most frequent answer is right in about half
    forms = predictor(TextModel.from_bytes(plan.artifact or b""))
    predict = forms.others["conversation"]
    right = total = 0
    for row in data.rows():
        if row.split is not Split.TEST:
            continue
        said = [{"id": m["messageId"], "text": m["content"]} for m in json.loads(row.data or b"")["messages"]]
        found, strange = predict([{"messages": said}, {"text": "Excellent."}], {})
        assert "messages" in strange["error"]["message"]
        best = {key: answers[0]["label"] for key, answers in found["messages"].items()}
        assert list(best) == [message["id"] for message in said]
        right += sum(best[one["messageId"]] == one["answer"]["name"] for one in data.truth(row))
        total += len(best)
    assert total == plan.measured["test_rows"]
    assert right / total == pytest.approx(plan.measured["test_accuracy"], abs=5e-3)


def test_who_answers_by_message_is_asked_by_message() -> None:
    option = ModelOption(name="m", predictor=Predictor.ONLINE, decoder="conversation")
    assert template_of(option, MediaType.CONVERSATION).fields == {"messages": "{messages}"}
    assert template_of(option, MediaType.TEXT).fields == {"text": "{text}"}
    plain = ModelOption(name="m", predictor=Predictor.ONLINE, decoder="hf-classification")
    assert template_of(plain, MediaType.CONVERSATION).fields == {"text": "{text}"}
