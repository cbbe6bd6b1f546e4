"""What Gemini replied: the text of a ``GenerateContentResponse``, or why there is none that can be read.

Format: ``google/cloud/aiplatform_v1/types/{prediction_service,content}.py``; the same online and in batch output.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import NoReturn

import msgspec

from vertex_model_inference.errors import DecodeError
from vertex_model_inference.gemini.words import Path
from vertex_model_inference.rows import DataRow

__all__ = ["KEPT", "Reply", "Sureness", "off_schema", "read_reply"]

KEPT = 500
"""Characters of the model's text that an outcome's message keeps."""

_BLOCKED = frozenset(("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR"))
_FINE = frozenset(("STOP", "FINISH_REASON_UNSPECIFIED", ""))
_FENCE = re.compile(r"```[A-Za-z0-9_+-]*[ \t]*\r?\n?(.*)```", re.DOTALL)


class _Part(msgspec.Struct):
    text: str = ""
    thought: bool = False


class _Content(msgspec.Struct):
    parts: list[_Part] = []


class _Token(msgspec.Struct, rename="camel"):
    token: str = ""
    log_probability: float = 0.0


class _Logprobs(msgspec.Struct, rename="camel"):
    chosen_candidates: list[_Token] = []


class _Candidate(msgspec.Struct, rename="camel"):
    content: _Content = msgspec.field(default_factory=_Content)
    finish_reason: str = ""
    finish_message: str = ""
    avg_logprobs: float | None = None
    logprobs_result: _Logprobs | None = None


class _Feedback(msgspec.Struct, rename="camel"):
    block_reason: str = ""
    block_reason_message: str = ""


class _Response(msgspec.Struct, rename="camel"):
    candidates: list[_Candidate] = []
    prompt_feedback: _Feedback | None = None


_RESPONSE = msgspec.json.Decoder(_Response)


class Sureness:
    """How sure the model was, by the log-probabilities of the tokens it chose.

    Args:
        tokens: (text, log-probability) of each token, in order; together the whole text. Empty: only the average.
        average: ``avgLogprobs``, the mean over the whole answer.
    """

    def __init__(self, tokens: list[tuple[str, float]], average: float | None) -> None:
        ends = list(accumulate(len(text) for text, _ in tokens))
        self._ends = ends
        self._starts = [0, *ends[:-1]] if ends else []
        self._logprobs = [logprob for _, logprob in tokens]
        self._average = average
        self.spans: dict[Path, tuple[int, int]] = {}

    @property
    def by_words(self) -> bool:
        """Whether each value has a figure of its own; else there is one for the whole answer."""
        return bool(self._logprobs)

    def of(self, path: Path) -> float | None:
        """The geometric mean of the probabilities of the tokens that a value is written with, 0..1.

        A token that also holds a bit of what stands beside the value counts. Without tokens, that of the whole answer;
        None: the service gave neither.
        """
        span = self.spans.get(path)
        if span is not None and self._logprobs:
            found = self._logprobs[bisect_right(self._ends, span[0]) : bisect_left(self._starts, span[1])]
            if found:
                return _probability(sum(found) / len(found))
        return None if self._average is None else _probability(self._average)


def _probability(logprob: float) -> float:
    return min(1.0, math.exp(min(logprob, 0.0)))


class Reply(msgspec.Struct, frozen=True):
    """A reply that ended by itself.

    Attributes:
        text: JSON, perhaps; without the fence.
        offset: Where it begins in what the model wrote.
        fenced: The model put it into a fence.
        sure: How sure it was.
    """

    text: str
    offset: int
    fenced: bool
    sure: Sureness


def read_reply(prediction: bytes, row: DataRow) -> Reply:
    """The text of a response.

    Args:
        prediction: A ``GenerateContentResponse`` as JSON.
        row: The data row, for messages.

    Raises:
        DecodeError: ``gemini_blocked``, ``gemini_truncated``, ``gemini_off_schema`` (no text), or ``decode`` (not a
            response at all); each with the beginning of the text.
    """
    try:
        response = _RESPONSE.decode(prediction)
    except (ValueError, RecursionError) as error:
        raise DecodeError(
            f"What came back for data row {row.id} is not a response of Gemini: {str(error)[:200]}", data_row_id=row.id
        ) from None
    feedback = response.prompt_feedback
    if feedback is not None and feedback.block_reason not in ("", "BLOCKED_REASON_UNSPECIFIED"):
        why = f"{feedback.block_reason} {feedback.block_reason_message}".strip()
        _blocked(f"Gemini took no request for data row {row.id}: it blocked the prompt ({why}).", "", row)
    if not response.candidates:
        off_schema("no candidate came back", "", row)
    candidate = response.candidates[0]
    text = "".join(part.text for part in candidate.content.parts if not part.thought)
    reason = candidate.finish_reason.removeprefix("FINISH_REASON_") or ""
    said = f"{reason} {candidate.finish_message}".strip()
    if reason in _BLOCKED:
        _blocked(f"Gemini stopped its answer for data row {row.id} ({said}).", text, row)
    if reason == "MAX_TOKENS":
        raise DecodeError(
            f"Gemini's answer for data row {row.id} was cut off at the most tokens it may have. Raise "
            "max_output_tokens of the model in vmi.toml, or lower thinking_budget, which counts too."
            f"{_kept(text)}",
            code="gemini_truncated",
            data_row_id=row.id,
        )
    if not text.strip():
        off_schema(f"it has no text ({said or 'no finish reason'})", "", row)
    if reason not in _FINE and reason != "UNSPECIFIED":
        off_schema(f"it ended with {said}", text, row)
    chosen = candidate.logprobs_result.chosen_candidates if candidate.logprobs_result else []
    tokens = [(token.token, token.log_probability) for token in chosen]
    if "".join(token for token, _ in tokens) != text:
        tokens = []  # thoughts among them, or characters cut within: no telling which token stands where
    sure = Sureness(tokens, candidate.avg_logprobs)
    fence = None if _is_json(text) else _FENCE.search(text)
    if fence is None:
        return Reply(text, 0, False, sure)
    return Reply(fence[1], fence.start(1), True, sure)


def _is_json(text: str) -> bool:
    return text.lstrip()[:1] in ("{", "[", '"')


def off_schema(what: str, text: str, row: DataRow) -> NoReturn:
    """Raise the error of an answer that is not what the schema asks for.

    Raises:
        DecodeError: ``gemini_off_schema``, always. Worth another try, since answers differ from time to time.
    """
    raise DecodeError(
        f"Gemini's answer for data row {row.id} is not of the schema: {what}.{_kept(text)}",
        code="gemini_off_schema",
        retryable=True,
        data_row_id=row.id,
    )


def _blocked(message: str, text: str, row: DataRow) -> NoReturn:
    raise DecodeError(
        f"{message} The same request will be blocked again: look at the asset and at the instructions.{_kept(text)}",
        code="gemini_blocked",
        data_row_id=row.id,
    )


def _kept(text: str) -> str:
    """The beginning of the text, at the end of a message: what follows it could be taken for a part of it."""
    text = " ".join(text.split())
    if not text:
        return ""
    return f" It begins: {text[:KEPT]}{'…' if len(text) > KEPT else ''}"
