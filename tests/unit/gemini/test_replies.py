"""What Gemini's replies come to: the text of a sound one, or a failure with a name and what the model said."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from vertex_model_inference.errors import DecodeError
from vertex_model_inference.findings import FoundBox, FoundLabel, FoundText, FoundTrack
from vertex_model_inference.gemini.decoder import FENCED, GeminiDecoder
from vertex_model_inference.gemini.times import seconds_of
from vertex_model_inference.models import GeminiRules
from vertex_model_inference.ontology import Classification, Ontology, Option, Tool
from vertex_model_inference.rows import DataRow, MediaType


def question(name: str, *options: str, kind: str = "radio", scope: str = "global", id_: str = "") -> Classification:
    return Classification(
        kind=kind,
        name=name,
        feature_schema_id=(id_ or name).ljust(25, "0"),
        scope=scope,
        options=tuple(Option(name=each, label=each, feature_schema_id=each.ljust(25, "1")) for each in options),
    )


MOOD = Ontology(id="o", name="moods", classifications=(question("mood", "good", "bad"),))
ROW = DataRow(id="row1", row_data="x", media_type=MediaType.IMAGE, width=200, height=100)


def reply(text: str | None, **more: Any) -> bytes:
    candidate: dict[str, Any] = {"finishReason": "STOP", **more}
    if text is not None:
        candidate["content"] = {"role": "model", "parts": [{"text": text}]}
    return json.dumps({"candidates": [candidate]}).encode()


def decoder(ontology: Ontology = MOOD, confidence: str = "none") -> GeminiDecoder:
    return GeminiDecoder(ontology, GeminiRules(model="gemini-2.5-flash", confidence=confidence))


def test_a_plain_answer() -> None:
    read = decoder().read(reply('{"mood": "good"}'), ROW)
    assert read == ((FoundLabel("good", None, "mood"),), ())
    assert decoder().decode(reply('{"mood": null}'), ROW) == ()


@pytest.mark.parametrize(
    "text",
    ['```json\n{"mood": "good"}\n```', '```\n{"mood": "good"}```', 'Here it is:\n```json\r\n{"mood":"good"}\n```\nBye'],
)
def test_a_fence_is_taken_off_and_told(text: str) -> None:
    read = decoder().read(reply(text), ROW)
    assert read.findings == (FoundLabel("good", None, "mood"),)
    assert read.notes == (FENCED,)


def test_a_fence_within_a_text_is_none() -> None:
    ontology = Ontology(id="o", name="o", classifications=(question("code", kind="text"),))
    read = decoder(ontology).read(reply(json.dumps({"code": "```json\n{}\n```"})), ROW)
    assert read == ((FoundText("code", "```json\n{}\n```"),), ())


def test_thoughts_are_no_part_of_the_answer() -> None:
    parts = [{"text": "Hm, {", "thought": True}, {"text": '{"mood":'}, {"text": '"bad"}'}]
    prediction = json.dumps({"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}).encode()
    assert decoder().decode(prediction, ROW) == (FoundLabel("bad", None, "mood"),)


LONG = "w" * 2000


@pytest.mark.parametrize(
    ("prediction", "code", "said"),
    [
        (reply('{"mood": "go', finishReason="MAX_TOKENS"), "gemini_truncated", 'It begins: {"mood": "go'),
        (reply(None, finishReason="MAX_TOKENS"), "gemini_truncated", "max_output_tokens"),
        (
            reply("I was", finishReason="SAFETY", finishMessage="unsafe"),
            "gemini_blocked",
            "It begins: I was",
        ),
        (reply(None, finishReason="RECITATION"), "gemini_blocked", "RECITATION"),
        (b'{"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}', "gemini_blocked", "PROHIBITED_CONTENT"),
        (reply("It is good."), "gemini_off_schema", "It begins: It is good."),
        (reply("```json\n{'mood'}\n```"), "gemini_off_schema", "It begins: {'mood'}"),
        (reply('{"mood": "splendid"}'), "gemini_off_schema", "at mood, 'splendid' is none of the 2 options of 'mood'"),
        (reply('{"mood": ["good"]}'), "gemini_off_schema", "at mood, a text is expected, not a list"),
        (reply('{"mood": "good", "more": 1}'), "gemini_off_schema", "'more' was not asked for"),
        (reply("{}"), "gemini_off_schema", "'mood' is missing"),
        (reply("[" * 100_000), "gemini_off_schema", "nested too deeply"),
        (reply('"' + LONG + '"'), "gemini_off_schema", f'It begins: "{LONG[:499]}…'),
        (reply(None, finishReason="OTHER"), "gemini_off_schema", "no text (OTHER)"),
        (reply('{"mood": "good"}', finishReason="MALFORMED_FUNCTION_CALL"), "gemini_off_schema", "MALFORMED"),
        (b"{}", "gemini_off_schema", "no candidate"),
        (b"[]", "decode", "not a response of Gemini"),
        (b'{"candidates": 3}', "decode", "not a response of Gemini"),
    ],
)
def test_failures_have_names_and_keep_the_text(prediction: bytes, code: str, said: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decoder().decode(prediction, ROW)
    assert caught.value.error_code == code
    assert said in str(caught.value)
    assert "row1" in str(caught.value)
    assert caught.value.retryable is (code == "gemini_off_schema")


def test_confidence_of_the_words_of_each_answer() -> None:
    ontology = Ontology(id="o", name="o", classifications=(question("mood", "good", "bad"), question("size", "big")))
    tokens = [('{"mood": "', -3.0), ("go", -0.1), ("od", -0.3), ('", "size": "', -3.0), ("big", -0.01), ('"}', -3.0)]
    chosen = [{"token": token, "logProbability": logprob} for token, logprob in tokens]
    text = "".join(token for token, _ in tokens)
    prediction = reply(text, avgLogprobs=-1.0, logprobsResult={"chosenCandidates": chosen})
    read = decoder(ontology, "logprobs").read(prediction, ROW)
    assert read.notes == ()
    assert [item.confidence for item in read.findings if isinstance(item, FoundLabel)] == pytest.approx(
        [math.exp(-0.2), math.exp(-0.01)]
    )
    whole = decoder(ontology, "logprobs").read(reply(text, avgLogprobs=-1.0), ROW)
    assert [item.confidence for item in whole.findings if isinstance(item, FoundLabel)] == [math.exp(-1)] * 2
    assert "whole answer" in whole.notes[0]


def test_names_that_stand_twice_are_told_apart() -> None:
    tools = tuple(
        Tool(
            kind="rectangle",
            name=name,
            feature_schema_id=name.ljust(25, str(number)),
            classifications=(question("state", "new", id_=f"s{number}"),),
        )
        for number, name in enumerate(["car", "car"])
    )
    both = (question("state", "new", "used", id_="q1"), question("state", "new", id_="q2"))
    ontology = Ontology(id="o", name="o", tools=tools, classifications=both)
    box = {"box_2d": [100, 200, 300, 400]}
    answer = {"car": [{**box, "state": None}], "car_2": [{**box, "state": "new"}], "state": "used", "state_2": "new"}
    one, other, *boxes = decoder(ontology).decode(reply(json.dumps(answer)), ROW)
    assert (one, other) == (FoundLabel("used", None, "q1".ljust(25, "0")), FoundLabel("new", None, "q2".ljust(25, "0")))
    assert boxes == [
        FoundBox("car".ljust(25, "0"), 40, 10, 40, 20),
        FoundBox("car".ljust(25, "1"), 40, 10, 40, 20, answers=(FoundLabel("new", None, "state"),)),
    ]


def test_a_video_is_told_in_frames() -> None:
    ontology = Ontology(
        id="o",
        name="o",
        tools=(Tool(kind="rectangle", name="dog", feature_schema_id="d" * 25),),
        classifications=(question("action", "runs", "sits", scope="index"),),
    )
    row = DataRow(
        id="row1", row_data="x", media_type=MediaType.VIDEO, width=200, height=100, frame_rate=25.0, frame_count=100
    )
    answer = {
        "action": [
            {"start": "00:00", "end": "00:01", "answer": "runs"},
            {"start": "0:01", "end": "9:00", "answer": "sits"},
        ],
        "tracks": [
            {
                "label": "dog",
                "track": [{"time": "0:01", "box_2d": [0, 0, 500, 500]}, {"time": "0", "box_2d": [0, 0, 1000, 1000]}],
            }
        ],
    }
    runs, sits, dog = decoder(ontology).decode(reply(json.dumps(answer)), row)
    assert isinstance(runs, FoundLabel)
    assert isinstance(sits, FoundLabel)
    assert (runs.frames, sits.frames) == (((1, 25),), ((26, 100),))
    assert isinstance(dog, FoundTrack)
    assert [(each.frame, each.width) for each in dog.segments[0]] == [(1, 200), (26, 100)]
    with pytest.raises(DecodeError, match="frame rate is not known") as caught:
        decoder(ontology).decode(reply(json.dumps(answer)), DataRow(id="r", row_data="x", media_type=MediaType.VIDEO))
    assert caught.value.error_code == "frame_rate_unknown"


def test_times() -> None:
    assert [seconds_of(text) for text in ("1:02", "01:00:00.5", "4.5s", " 7 ", "abc", "1:2:3:4", "-1")] == [
        62, 3600.5, 4.5, 7, None, None, None,
    ]  # fmt: skip
    assert (seconds_of(3), seconds_of(float("inf")), seconds_of(-0.5)) == (3, None, None)
