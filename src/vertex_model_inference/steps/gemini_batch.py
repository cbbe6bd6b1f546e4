"""predict, by Gemini's batch jobs: one JSON Lines file of requests in, one of responses out, in any order.

Lines are joined to rows by the label ``vmi_key`` of the echoed request; where labels are not echoed, by what the
request asks about; never by position. Limits of one job: 200,000 requests and a file of 1 GB (https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/batch-prediction-gemini).
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
from vertex_model_inference.gemini.requests import INLINE_BYTES, KEY, text_of
from vertex_model_inference.spec import Staged
from vertex_model_inference.steps.context import Context, read_rows, read_structs
from vertex_model_inference.steps.gemini_requests import requests_of

__all__ = ["JOB_BYTES", "JOB_REQUESTS", "Line", "owners_by_contents", "read_line", "rows_per_job", "write_requests"]

JOB_REQUESTS = 200_000
JOB_BYTES = 1_000_000_000
_TOGETHER = 64

_RETRYABLE = re.compile(
    r"\b(429|499|500|502|503|504|resource.?exhausted|quota|unavailable|deadline.?exceeded|internal|cancelled|overloaded)\b",
    re.IGNORECASE,
)
"""In the status of a failed line, which is a text without a code of its own."""


class _FileData(msgspec.Struct, rename="camel"):
    file_uri: str = ""


class _Part(msgspec.Struct, rename="camel"):
    text: str | None = None
    file_data: _FileData | None = None


class _Content(msgspec.Struct):
    parts: list[_Part] = []


class _Request(msgspec.Struct):
    labels: dict[str, str] | None = None
    contents: list[_Content] | None = None


class _Line(msgspec.Struct):
    """A line of the output, as far as it is read."""

    request: _Request = msgspec.field(default_factory=_Request)
    status: msgspec.Raw = msgspec.Raw(b'""')
    response: msgspec.Raw = msgspec.Raw(b"{}")


_LINE = msgspec.json.Decoder(_Line)


class Line(NamedTuple):
    """What one output line says.

    Attributes:
        key: Label of the request; where that is missing ``contents_key`` of what it asks about, or nothing.
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
        path, data = _file_of(item)
        if path is None:
            return item
        await context.store.aput_new(path, data)
        return _as_file(context, item, path)

    return list(await asyncio.gather(*(one(item) for item in staged)))


def _file_of(item: Staged) -> tuple[str | None, bytes]:
    """Where a long text is put, and the text; None: it is not long, or no text."""
    data = (text_of(item) or "").encode()
    if len(data) <= INLINE_BYTES:
        return None, data
    digest = hashlib.sha256(data).hexdigest()
    return f"assets/{digest[:2]}/{digest}.txt", data


def _as_file(context: Context, item: Staged, path: str) -> Staged:
    return msgspec.structs.replace(item, text=None, messages=(), uri=context.store.uri(path), mime_type="text/plain")


def owners_by_contents(context: Context, shards: Sequence[int]) -> dict[str, list[tuple[str, int]]]:
    """Rows, with their shards, by what their requests ask about; several where rows have the same asset.

    Raises:
        StorageError: The run's files cannot be read.
    """
    owners: dict[str, list[tuple[str, int]]] = {}
    for shard in shards:
        for item in read_structs(context, context.files.shard("staged", shard), Staged):
            path, _ = _file_of(item)
            sent = item if path is None else _as_file(context, item, path)
            text = text_of(sent)
            part = _Part(text) if text is not None else _Part(file_data=_FileData(sent.uri or ""))
            owners.setdefault(_contents_key([_Content([part])]), []).append((item.data_row_id, shard))
    return owners


def _contents_key(contents: Sequence[_Content]) -> str:
    """Tells requests apart by their texts and files; empty where there is none."""
    parts = [part for content in contents for part in content.parts]
    said = [
        f"text {part.text}" if part.text is not None else f"file {(part.file_data or _FileData()).file_uri}"
        for part in parts
        if part.text is not None or part.file_data is not None
    ]
    return f"contents {hashlib.sha256(orjson.dumps(said)).hexdigest()}" if said else ""


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
    key = (read.request.labels or {}).get(KEY) or _contents_key(read.request.contents or [])
    if isinstance(status, dict):
        status = f"{status.get('code', '')} {status.get('message', '')}".strip()
    said = " ".join(str(status or "").split())
    response = bytes(read.response)
    if said:
        return Line(key, None, said[:500], bool(_RETRYABLE.search(said)))
    if response in (b"{}", b"null"):
        return Line(key, None, "the line has neither a response nor a status", retryable=True)
    return Line(key, response)
