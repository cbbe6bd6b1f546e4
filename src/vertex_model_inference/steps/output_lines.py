"""Lines of a batch prediction job's output: whose they are, and what they say."""

from __future__ import annotations

import msgspec

from vertex_model_inference.errors import DecodeError
from vertex_model_inference.steps import gemini_batch

__all__ = ["SAID", "Said", "read_gemini_line", "read_line"]


class _Instance(msgspec.Struct):
    """The part of an echoed instance that joins it to its row."""

    content: str | None = None
    vmi_key: str | None = None


_INSTANCE = msgspec.json.Decoder(_Instance)


class _Line(msgspec.Struct):
    """A line of a predictions or errors file (BatchPredictionJob's documentation of outputs)."""

    key: str | int | None = None
    instance: msgspec.Raw = msgspec.Raw(b"null")
    prediction: msgspec.Raw = msgspec.Raw(b"")
    error: msgspec.Raw = msgspec.Raw(b"")
    status: msgspec.Raw = msgspec.Raw(b"")


_LINE = msgspec.json.Decoder(_Line)


class Said(msgspec.Struct):
    """A line as spooled for its shard: a prediction, or a message."""

    data_row_id: str
    prediction: msgspec.Raw = msgspec.Raw(b"null")
    error: str | None = None
    retryable: bool = False


SAID = msgspec.json.Decoder(Said)


def read_line(line: bytes, *, keyed: bool) -> tuple[str, Said]:
    """Join name (row id or URI) and what was said.

    Args:
        line: Of a predictions or errors file, without its end.
        keyed: The join name is the key that the instance was sent with; else its URI.

    Raises:
        DecodeError: The line is not of any form that Vertex writes.
    """
    try:
        read = _LINE.decode(line)
        name: str | None = None if read.key is None else str(read.key)
        if name is None:
            instance = _INSTANCE.decode(read.instance)
            name = instance.vmi_key if keyed else instance.content
        if bytes(read.prediction) and bytes(read.prediction) != b"null":
            return name or "", Said("", prediction=msgspec.Raw(bytes(read.prediction)))
        return name or "", Said("", error=_message(read))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"An output line is not of Vertex's form: {error}") from None


def read_gemini_line(line: bytes) -> tuple[str, Said]:
    """As ``read_line``, of Gemini's batch jobs; the join name is ``gemini_batch.Line.key``."""
    key, response, error, retryable = gemini_batch.read_line(line)
    if response is None:
        return key, Said("", error=error, retryable=retryable)
    return key, Said("", prediction=msgspec.Raw(response))


def _message(line: _Line) -> str:
    for raw in (line.error, line.status):
        if bytes(raw):
            value = msgspec.json.decode(raw)
            if isinstance(value, dict):
                value = value.get("message") or value.get("code") or value
            if value:
                return str(value)[:300]
    return "The output line has neither a prediction nor an error."
