"""predict, by Gemini's batch jobs: one JSON Lines file of requests in, one of responses out, in any order.

Lines are joined to rows by the label ``vmi_key`` of the echoed request, never by position. Limits of one job: 200,000
requests and a file of 1 GB (https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/batch-prediction-gemini).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import orjson

from vertex_model_inference.errors import DecodeError, VertexError
from vertex_model_inference.gemini.requests import INLINE_BYTES, text_of
from vertex_model_inference.spec import Staged
from vertex_model_inference.steps.context import Context, read_rows, read_structs
from vertex_model_inference.steps.gemini_requests import requests_of

__all__ = ["JOB_BYTES", "JOB_REQUESTS", "Line", "read_line", "rows_per_job", "write_requests"]

JOB_REQUESTS = 200_000
JOB_BYTES = 1_000_000_000
_TOGETHER = 64

_RETRYABLE = re.compile(
    r"\b(429|499|500|502|503|504|resource.?exhausted|quota|unavailable|deadline.?exceeded|internal|cancelled|overloaded)\b",
    re.IGNORECASE,
)
"""In the status of a failed line, which is a text without a code of its own."""


class _Request(msgspec.Struct):
    labels: dict[str, str] = {}


class _Line(msgspec.Struct):
    """A line of the output, as far as it is read."""

    request: _Request = msgspec.field(default_factory=_Request)
    status: msgspec.Raw = msgspec.Raw(b'""')
    response: msgspec.Raw = msgspec.Raw(b"{}")


_LINE = msgspec.json.Decoder(_Line)


class Line(NamedTuple):
    """What one output line says.

    Attributes:
        key: Label of the request; empty where it was not echoed.
        response: The ``GenerateContentResponse``; None: the request failed.
        error: Why, in the service's words.
        retryable: Whether the same request can succeed later.
    """

    key: str
    response: bytes | None
    error: str = ""
    retryable: bool = False


def rows_per_job(context: Context) -> int:
    """So many rows fit into one job, whatever they are; the same at each call for the same run.

    Raises:
        StorageError: The run's ontology cannot be read.
    """
    return max(1, min(JOB_REQUESTS, JOB_BYTES // requests_of(context).row_bytes()))


def write_requests(context: Context, group: int, shards: Sequence[int]) -> int:
    """Write the job's input file; returns the number of requests.

    Rows for which the ontology has no question have none.

    Raises:
        StorageError: The file cannot be written.
        HaltedError: The run is halted.
        VertexError: ``job_too_large``, the file is larger than Vertex takes.
    """
    requests = requests_of(context)
    size = 0
    with context.store.line_writer(context.files.job(group, "instances.jsonl")) as out:
        for shard in shards:
            context.halt.check()
            rows = {row.id: row for row in read_rows(context, shard)}
            staged = read_structs(context, context.files.shard("staged", shard), Staged)
            for start in range(0, len(staged), _TOGETHER):
                part = asyncio.run(_as_files(context, staged[start : start + _TOGETHER]))
                for item in part:
                    request = requests.of(rows[item.data_row_id], item)
                    if request is None:
                        continue
                    line = orjson.dumps({"request": request})
                    size += len(line) + 1
                    if size > JOB_BYTES or out.count >= JOB_REQUESTS:
                        raise VertexError(
                            f"A job's requests come to more than Gemini takes ({JOB_REQUESTS:,} requests, "
                            f"{JOB_BYTES:,} bytes) after {out.count:,} rows.",
                            code="job_too_large",
                            hint="Set VMI_SHARD_ROWS and VMI_JOB_ROWS lower, or shorten the instructions.",
                        )
                    out.write(line)
        return out.count


async def _as_files(context: Context, staged: Sequence[Staged]) -> list[Staged]:
    """Long texts as files in the bucket: each row may take up only so much of a job's input file."""

    async def one(item: Staged) -> Staged:
        text = text_of(item)
        if text is None:
            return item
        data = text.encode()
        if len(data) <= INLINE_BYTES:
            return item
        digest = hashlib.sha256(data).hexdigest()
        path = f"assets/{digest[:2]}/{digest}.txt"
        await context.store.aput_new(path, data)
        return msgspec.structs.replace(
            item, text=None, messages=(), uri=context.store.uri(path), mime_type="text/plain"
        )

    return list(await asyncio.gather(*(one(item) for item in staged)))


def read_line(line: bytes) -> Line:
    """What an output line says.

    Raises:
        DecodeError: It is not of the form that Gemini's batch jobs write.
    """
    try:
        read = _LINE.decode(line)
        status = msgspec.json.decode(read.status)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"An output line is not of the form of Gemini's batch jobs: {error}") from None
    key = read.request.labels.get("vmi_key", "")
    if isinstance(status, dict):
        status = f"{status.get('code', '')} {status.get('message', '')}".strip()
    said = " ".join(str(status or "").split())
    response = bytes(read.response)
    if said:
        return Line(key, None, said[:500], bool(_RETRYABLE.search(said)))
    if response in (b"{}", b"null"):
        return Line(key, None, "the line has neither a response nor a status", retryable=True)
    return Line(key, response)
