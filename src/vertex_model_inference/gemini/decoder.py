"""A reply of Gemini becomes findings, or one of the named failures."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from vertex_model_inference.findings import Finding
from vertex_model_inference.gemini.answers import Read, read_answer
from vertex_model_inference.gemini.asked import Asked, asked_of
from vertex_model_inference.gemini.checks import OffSchemaError
from vertex_model_inference.gemini.reply import off_schema, read_reply
from vertex_model_inference.gemini.words import Path, spans
from vertex_model_inference.models import GeminiRules
from vertex_model_inference.ontology import Ontology
from vertex_model_inference.rows import DataRow, MediaType

__all__ = ["FENCED", "GeminiDecoder"]

FENCED = "Gemini put its answer into a ``` fence, which was taken off."
_WHOLE = "Confidences are of the whole answer: Gemini gave no log-probabilities of single tokens."
_JSON = msgspec.json.Decoder()


class GeminiDecoder:
    """Reads ``GenerateContentResponse`` by the ontology that the question was made from; for one thread.

    Args:
        ontology: Of the model run.
        rules: Of the model's option.

    Attributes:
        notes: On the answer that was last decoded: what a reader of its row's outcome should know.
    """

    name = "gemini"

    def __init__(self, ontology: Ontology, rules: GeminiRules) -> None:
        self._ontology = ontology
        self._rules = rules
        self._asked: dict[MediaType, Asked] = {}
        self.notes: tuple[str, ...] = ()

    def decode(self, prediction: bytes, row: DataRow) -> tuple[Finding, ...]:
        """The findings, and the notes in ``notes``; see ``read``."""
        self.notes = ()
        findings, self.notes = self.read(prediction, row)
        return findings

    def read(self, prediction: bytes, row: DataRow) -> Read:
        """Read one reply.

        Args:
            prediction: A ``GenerateContentResponse`` as JSON.
            row: The data row: media type, size in pixels, frame rate, page sizes.

        Raises:
            DecodeError: ``gemini_truncated``, ``gemini_blocked`` or ``gemini_off_schema`` with the beginning of the
                text; ``size_unknown`` or ``frame_rate_unknown``. Nothing else.
        """
        asked = self._asked.get(row.media_type)
        if asked is None:
            asked = self._asked[row.media_type] = asked_of(self._ontology, row.media_type)
        reply = read_reply(prediction, row)
        try:
            value = _JSON.decode(reply.text)
        except RecursionError:
            off_schema("it is nested too deeply", reply.text, row)
        except ValueError as error:
            off_schema(f"it is not JSON ({error})", reply.text, row)
        if self._rules.confidence == "logprobs":
            reply.sure.spans = {
                path: (start + reply.offset, end + reply.offset) for path, (start, end) in _words(reply.text)
            }
        try:
            read = read_answer(value, asked, row, confidence=self._rules.confidence, sure=reply.sure)
        except OffSchemaError as error:
            off_schema(str(error), reply.text, row)
        notes = [FENCED] if reply.fenced else []
        if self._rules.confidence == "logprobs" and read.findings and not reply.sure.by_words:
            notes.append(_WHOLE)
        return Read(read.findings, (*notes, *read.notes))


def _words(text: str) -> Iterator[tuple[Path, tuple[int, int]]]:
    """Spans of the values; of a text without its quotation marks, which tell nothing."""
    for path, (start, end) in spans(text).items():
        within = text[start] == '"' and end - start > 2
        yield path, (start + 1, end - 1) if within else (start, end)
