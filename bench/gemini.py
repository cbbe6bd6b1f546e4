"""Gemini's replies to findings on one core, against google-genai: its response type, then pydantic on the answer.

Ours also scales boxes to the picture, checks every value against what was asked, and, with log-probabilities, finds the
tokens of each value.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, Literal

import orjson
from pydantic import BaseModel, Field

from bench.figure import Figure
from vertex_model_inference.findings import FoundBox, FoundLabel
from vertex_model_inference.gemini.decoder import GeminiDecoder
from vertex_model_inference.models import GeminiRules
from vertex_model_inference.ontology import Classification, Ontology, Option, Tool
from vertex_model_inference.rows import DataRow, MediaType

__all__ = ["run"]

REPLIES, BOXES, ROUNDS = 2_000, 5, 3
ROW = DataRow(id="r" * 25, row_data="gs://bench/a.jpg", media_type=MediaType.IMAGE, width=1000, height=1000)


class _Box(BaseModel):
    label: Literal["car", "bus"]
    confidence: float = Field(ge=0, le=1)
    box_2d: tuple[int, int, int, int]


class _Answer(BaseModel):
    answer: Literal["day", "night"]
    confidence: float = Field(ge=0, le=1)


class _Reply(BaseModel):
    light: _Answer
    boxes: list[_Box]


def _ontology() -> Ontology:
    options = tuple(Option(name=name, label=name, feature_schema_id=name.ljust(25, "0")) for name in ("day", "night"))
    light = Classification(kind="radio", name="light", feature_schema_id="q" * 25, options=options)
    tools = tuple(Tool(kind="rectangle", name=name, feature_schema_id=name.ljust(25, "0")) for name in ("car", "bus"))
    return Ontology(id="o" * 25, name="bench", tools=tools, classifications=(light,))


def _replies(*, tokens: bool) -> list[bytes]:
    """As ``generateContent`` answers; the same each time."""
    dice = random.Random(3)
    made = []
    for _ in range(REPLIES):
        boxes = []
        for _ in range(BOXES):
            top, left = dice.randrange(900), dice.randrange(900)
            box: dict[str, Any] = {"label": dice.choice(("car", "bus"))}
            if not tokens:
                box["confidence"] = round(dice.random(), 2)
            boxes.append({**box, "box_2d": [top, left, top + 50, left + 80]})
        light = dice.choice(("day", "night"))
        answer = {"light": light if tokens else {"answer": light, "confidence": 0.9}, "boxes": boxes}
        text = orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode()
        candidate: dict[str, Any] = {
            "content": {"role": "model", "parts": [{"text": text}]},
            "finishReason": "STOP",
            "avgLogprobs": -0.1,
        }
        if tokens:
            pieces = [text[at : at + 3] for at in range(0, len(text), 3)]
            chosen = [{"token": piece, "tokenId": 7, "logProbability": -0.01} for piece in pieces]
            candidate["logprobsResult"] = {"chosenCandidates": chosen}
        made.append(orjson.dumps({"candidates": [candidate], "modelVersion": "gemini-2.5-flash"}))
    return made


def _quickest(work: Callable[[], object]) -> float:
    """CPU seconds of the quickest round: others share the machine."""
    taken = []
    for _ in range(ROUNDS):
        before = time.process_time()
        work()
        taken.append(time.process_time() - before)
    return min(taken)


def run() -> list[Figure]:
    """All figures.

    Raises:
        AssertionError: The two do not read the same.
    """
    from google.genai import types

    replies = _replies(tokens=False)
    decoder = GeminiDecoder(_ontology(), GeminiRules(model="gemini-2.5-flash", confidence="asked"))

    def theirs(reply: bytes) -> _Reply:
        parsed = types.GenerateContentResponse.model_validate_json(reply)
        return _Reply.model_validate_json(parsed.text or "")

    for reply in replies[:50]:
        light, *boxes = decoder.decode(reply, ROW)
        wanted = theirs(reply)
        assert isinstance(light, FoundLabel)
        assert (light.label, light.confidence) == (wanted.light.answer, wanted.light.confidence)
        for found, box in zip(boxes, wanted.boxes, strict=True):
            assert isinstance(found, FoundBox)
            assert (found.label, found.confidence) == (box.label, box.confidence)
            assert (found.top, found.left) == box.box_2d[:2]
    ours = REPLIES / _quickest(lambda: [decoder.decode(reply, ROW) for reply in replies])
    other = REPLIES / _quickest(lambda: [theirs(reply) for reply in replies])
    spoken = _replies(tokens=True)
    by_tokens = GeminiDecoder(_ontology(), GeminiRules(model="gemini-2.5-flash", confidence="logprobs"))
    assert all(one.confidence is not None for one in by_tokens.decode(spoken[0], ROW))
    with_tokens = REPLIES / _quickest(lambda: [by_tokens.decode(reply, ROW) for reply in spoken])
    return [
        Figure.compared(
            f"Gemini: replies of {BOXES} boxes and a radio", "replies/s", ours, other, "google-genai and pydantic",
            more_is_better=True,
        ),
        Figure.alone("Gemini: the same, confidence by tokens", "replies/s", with_tokens),
    ]  # fmt: skip


if __name__ == "__main__":
    for figure in run():
        print(figure)
