"""What the sandbox's Gemini refuses, and how it can be made to misbehave."""

from __future__ import annotations

from typing import Any

import pytest

from vertex_model_inference.sandbox.vertex.evidence import digit_scores, evidence_of, names_in
from vertex_model_inference.sandbox.vertex.reading import Evidence, pixels_of
from vertex_model_inference.sandbox.vertex.schemas import check_schema
from vertex_model_inference.sandbox.vertex.structured import Filler
from vertex_model_inference.sandbox.vertex.tricks import How, Trick, Tricks, played
from vertex_model_inference.sandbox.vertex.wire import ApiError

GOOD: dict[str, Any] = {
    "type": "OBJECT",
    "properties": {
        "mood": {"type": "STRING", "enum": ["good", "bad"]},
        "notes": {"type": "ARRAY", "items": {"type": "STRING"}},
    },
    "required": ["mood"],
    "propertyOrdering": ["mood", "notes"],
}


def test_a_sound_schema_passes() -> None:
    check_schema(GOOD)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"properties": {}}, "response_schema.type"),
        ({"type": "OBJECT", "properties": {}}, "should be non-empty for OBJECT type"),
        ({**GOOD, "required": ["none"]}, "property is not defined: none"),
        ({**GOOD, "propertyOrdering": ["none"]}, "property is not defined: none"),
        ({"type": "ARRAY"}, "response_schema.items: missing field"),
        ({"type": "STRING", "enum": ["a", ""]}, "enum[1]: cannot be empty"),
        ({"type": "STRING", "enum": ["a", "a"]}, "duplicate"),
        ({"type": "INTEGER", "enum": ["1"]}, "only allowed for STRING type"),
        ({"type": "STRING", "items": {"type": "STRING"}}, "only allowed for ARRAY type"),
        ({"type": "STRING", "enum": [str(n) for n in range(2000)]}, "too many"),
        (
            {"type": "OBJECT", "properties": {f"p{n}": {"type": "STRING"} for n in range(2001)}},
            "too many states for serving",
        ),
    ],
)
def test_bad_schemas_are_refused(schema: dict[str, Any], said: str) -> None:
    with pytest.raises(ApiError) as caught:
        check_schema(schema)
    assert said in caught.value.message


def _response(text: str) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP"}
    return {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2}}


def _text(response: dict[str, Any]) -> str:
    return str(response["candidates"][0]["content"]["parts"][0]["text"])


def test_tricks_hit_what_they_name_and_no_more() -> None:
    tricks = Tricks()
    tricks.all = [Trick(how="fenced", contains="one", times=2), Trick(how="busy", contains="two")]
    assert tricks.take({"a": "three"}) is None
    assert [tricks.take({"a": "one"}) for _ in range(3)] == ["fenced", "fenced", None]
    with pytest.raises(ApiError) as caught:
        tricks.take({"a": "two"})
    assert caught.value.http == 429
    assert tricks.take({"a": "two"}) is None


def test_what_is_played() -> None:
    whole = _response('{"mood": "good"}')
    hows: list[How] = ["fenced", "truncated", "blocked", "off_schema"]
    fenced, truncated, blocked, off = (played(how, whole) for how in hows)
    assert _text(fenced) == '```json\n{"mood": "good"}\n```'
    assert (_text(truncated), truncated["candidates"][0]["finishReason"]) == ('{"mood":', "MAX_TOKENS")
    assert blocked["candidates"][0]["finishReason"] == "SAFETY"
    assert "mood" not in _text(off)
    assert "candidates" not in played("prompt_blocked", whole)
    assert _text(whole) == '{"mood": "good"}', "the response itself is left alone"


def test_names_know_their_place() -> None:
    text = "Angela Merkel met Barack Obama. Then Angela Merkel left for Paris."
    found = [(name.text, name.kind, name.occurrence) for name in names_in(text)]
    assert found == [
        ("Angela Merkel", "PERSON", 1),
        ("Barack Obama", "PERSON", 1),
        ("Angela Merkel", "PERSON", 2),
        ("Paris", "GPE", 1),
    ]


def test_digits_are_seen() -> None:
    from vertex_model_inference.sandbox.datasets.digits import Digits

    rows = Digits().rows()[:20]
    right = 0
    for row in rows:
        scores = digit_scores(pixels_of(row.data or b""))
        assert sum(scores.values()) == pytest.approx(1)
        right += max(scores, key=lambda digit: scores[digit]) == row.answer
    assert right >= 18


def test_a_conversation_is_told_by_message() -> None:
    evidence = evidence_of(
        [
            (
                '{"message_id":"m1","author":"A","text":"I met Barack Obama."}\n'
                '{"message_id":"m2","author":"","text":"Where?"}'
            )
        ],
        [],
    )
    assert evidence.messages == (("m1", "I met Barack Obama."), ("m2", "Where?"))
    item = {
        "type": "OBJECT",
        "properties": {
            "message_id": {"type": "STRING"},
            "text": {"type": "STRING"},
            "occurrence": {"type": "INTEGER"},
            "label": {"type": "STRING", "enum": ["Person"]},
        },
    }
    schema = {"type": "OBJECT", "properties": {"entities": {"type": "ARRAY", "items": item}}}
    assert Filler(evidence).fill(schema) == {
        "entities": [{"message_id": "m1", "text": "Barack Obama", "occurrence": 1, "label": "Person"}]
    }


def test_the_questions_of_the_chosen_option_are_answered() -> None:
    then = {
        "type": "OBJECT",
        "properties": {
            name: {"type": "OBJECT", "properties": {"why": {"type": "STRING"}}} for name in ("football", "cooking")
        },
    }
    answer = {"answer": {"type": "STRING", "enum": ["football", "cooking"]}, "then": then}
    schema = {"type": "OBJECT", "properties": {"topic": {"type": "OBJECT", "properties": answer}}}
    assert Filler(Evidence("A football match.")).fill(schema) == {
        "topic": {"answer": "football", "then": {"football": {"why": "A football match."}}}
    }
