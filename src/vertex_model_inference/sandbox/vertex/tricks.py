"""How Gemini can be made to misbehave, online and in batch: rules that hit single requests."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import orjson

from vertex_model_inference.sandbox.vertex.wire import ApiError

__all__ = ["Trick", "Tricks", "played"]

How = Literal["fenced", "truncated", "blocked", "prompt_blocked", "off_schema", "busy", "broken"]


class Trick(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A rule.

    Attributes:
        how: ``fenced``: the answer is wrapped in a ``` fence. ``truncated``: it ends in the middle, MAX_TOKENS.
            ``blocked``: it ends after its first words, SAFETY. ``prompt_blocked``: there is no candidate, only
            promptFeedback. ``off_schema``: JSON of another form. ``busy``: 429 RESOURCE_EXHAUSTED. ``broken``: 500.
        contains: Only requests whose JSON contains this text.
        times: How many requests; 0: all.
    """

    how: How
    contains: str = ""
    times: int = 1
    fired: int = 0


class Tricks:
    """The rules in force; the first that hits a request is played on it."""

    def __init__(self) -> None:
        self.all: list[Trick] = []

    def take(self, request: dict[str, Any]) -> How | None:
        """What is played on this request; counts it.

        Raises:
            ApiError: ``busy`` and ``broken``.
        """
        if not self.all:
            return None
        text = orjson.dumps(request).decode()
        for trick in self.all:
            if trick.contains in text and not (trick.times and trick.fired >= trick.times):
                trick.fired += 1
                if trick.how == "busy":
                    raise ApiError("RESOURCE_EXHAUSTED", "Resource exhausted. Please try again later.")
                if trick.how == "broken":
                    raise ApiError("INTERNAL", "Internal error encountered.")
                return trick.how
        return None


def played(how: How, response: dict[str, Any]) -> dict[str, Any]:
    """The response, changed."""
    if how == "prompt_blocked":
        feedback = {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": "The prompt could not be submitted."}
        usage = {key: value for key, value in response["usageMetadata"].items() if key != "candidatesTokenCount"}
        rest = {key: value for key, value in response.items() if key != "candidates"}
        return {**rest, "promptFeedback": feedback, "usageMetadata": usage}
    candidate = dict(response["candidates"][0])
    text = candidate["content"]["parts"][0]["text"]
    match how:
        case "fenced":
            text = f"```json\n{text}\n```"
        case "truncated":
            text = text[: max(1, len(text) // 2)]
            candidate["finishReason"] = "MAX_TOKENS"
        case "blocked":
            text = text[:12]
            candidate |= {"finishReason": "SAFETY", "finishMessage": "The answer was stopped."}
        case _:
            text = orjson.dumps({"answer": "I would rather talk about the weather."}).decode()
    candidate["content"] = {"role": "model", "parts": [{"text": text}]}
    candidate.pop("logprobsResult", None)
    return {**response, "candidates": [candidate]}
