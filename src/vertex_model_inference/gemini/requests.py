"""What is sent to Gemini for a row: the same ``GenerateContentRequest`` online and as a line of a batch job.

Format: ``google/cloud/aiplatform_v1/types/{prediction_service,content}.py``, JSON names in camel case.
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from vertex_model_inference.gemini.asked import asked_of
from vertex_model_inference.gemini.prompt import prompt_of
from vertex_model_inference.gemini.schema import schema_of
from vertex_model_inference.models import GeminiRules
from vertex_model_inference.ontology import Ontology
from vertex_model_inference.rows import DataRow, MediaType
from vertex_model_inference.spec import Staged

__all__ = ["INLINE_BYTES", "KEY", "Requests", "key_of", "text_of"]

KEY = "vmi_key"
"""The label of a request that joins its line of a batch job's output to its row."""

INLINE_BYTES = 2000
"""Longer texts are sent as a file in the bucket: a batch job's whole input may have 1 GB."""

_URI_BYTES = 1500
_ROW_BYTES = 2 * INLINE_BYTES + _URI_BYTES


def key_of(row_id: str) -> str:
    """The value of the label for a row: 40 hexadecimal digits, since labels take only ``[a-z0-9_-]{0,63}``."""
    return hashlib.sha256(row_id.encode()).hexdigest()[:40]


def text_of(staged: Staged) -> str | None:
    """The text that is sent for a row; None: its asset is sent as a file.

    A conversation is one JSON object a line, so that no message can pass itself off as another.
    """
    if not staged.messages:
        return staged.text
    lines = ({"message_id": each.id, "author": each.author, "text": each.text} for each in staged.messages)
    return "\n".join(orjson.dumps(line).decode() for line in lines)


class Requests:
    """Makes the requests of one run. Safe for threads.

    Args:
        ontology: Of the model run.
        rules: Of the model's option.
    """

    def __init__(self, ontology: Ontology, rules: GeminiRules) -> None:
        self._ontology = ontology
        self._rules = rules
        self._commons: dict[MediaType, dict[str, Any] | None] = {}

    def of(self, row: DataRow, staged: Staged) -> dict[str, Any] | None:
        """The request for a row; None: the ontology has no question for rows of its media type.

        Args:
            row: The data row. ``staged``: its asset, a text or the URI of a file.
        """
        common = self.common(row.media_type)
        if common is None:
            return None
        text = text_of(staged)
        part: dict[str, Any] = {"text": text}
        if text is None:
            part = {"fileData": {"fileUri": staged.uri, "mimeType": staged.mime_type}}
        return {
            "contents": [{"role": "user", "parts": [part]}],
            **common,
            "labels": {"vmi": "run", KEY: key_of(row.id)},
        }

    def common(self, media: MediaType) -> dict[str, Any] | None:
        """What the requests of all rows of a media type share: system instruction and generation configuration."""
        if media not in self._commons:
            self._commons[media] = self._common(media)
        return self._commons[media]

    def row_bytes(self) -> int:
        """No line of a batch job's input is longer than this, but for texts full of control characters."""
        longest = max(len(orjson.dumps(self.common(media))) for media in MediaType)
        return longest + _ROW_BYTES

    def _common(self, media: MediaType) -> dict[str, Any] | None:
        asked = asked_of(self._ontology, media)
        if asked.nothing:
            return None
        rules = self._rules
        in_answer = rules.confidence == "asked"
        config: dict[str, Any] = {
            "temperature": rules.temperature,
            "responseMimeType": "application/json",
            "responseSchema": schema_of(asked, confidence=in_answer),
        }
        if rules.max_output_tokens is not None:
            config["maxOutputTokens"] = rules.max_output_tokens
        if rules.thinking_budget is not None:
            config["thinkingConfig"] = {"thinkingBudget": rules.thinking_budget}
        if rules.confidence == "logprobs":
            config["responseLogprobs"] = True
        prompt = prompt_of(asked, confidence=in_answer, instructions=rules.instructions)
        return {"systemInstruction": {"parts": [{"text": prompt}]}, "generationConfig": config}
