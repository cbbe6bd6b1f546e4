"""predict, by Vertex batch prediction: one job for a group of shards.

Vertex gives no order and says so; answers are joined by the row's id (``instanceConfig.keyField``) where the model
takes a key, by a label of the request (Gemini), and by the asset's ``gs://`` URI where it takes neither (AutoML). Never
by position.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, NamedTuple

import msgspec
import orjson

from vertex_model_inference.errors import DecodeError, NotFoundError, StorageError, VertexError, VmiError
from vertex_model_inference.gemini.requests import key_of
from vertex_model_inference.outcomes import Outcome
from vertex_model_inference.rows import DataRow
from vertex_model_inference.spec import Answer, Staged
from vertex_model_inference.steps import gemini_batch
from vertex_model_inference.steps.context import Context, failed, left_out, read_rows, read_structs, write_structs
from vertex_model_inference.steps.gemini_requests import nothing_to_ask, requests_of
from vertex_model_inference.steps.instances import KEY_FIELD, Template, template_of
from vertex_model_inference.steps.output_lines import SAID, Said, read_gemini_line, read_line
from vertex_model_inference.storage.store import Entry, Store
from vertex_model_inference.vertex.jobs import BatchJob, display_name_of

__all__ = ["CANCELLING", "NO_JOB", "Collected", "collect", "poll", "submit", "write_instances"]

CANCELLING = "CANCELLING"
NO_JOB = BatchJob(name="", state="SUCCEEDED")
"""Stands for the job of a group that has no instance to predict."""

_LISTINGS = 4
_ENCODER = msgspec.json.Encoder()
_PART_BYTES = 32 << 20


class Collected(NamedTuple):
    """What a job's output came to.

    Attributes:
        answered: Rows with an answer; ``ended``: rows that failed here.
        unknown: Output lines whose key or URI is none of ours; ``unreadable``: lines that are not JSON.
    """

    answered: int
    ended: int
    unknown: int
    unreadable: int


def _keyed(context: Context) -> bool:
    model = context.spec.option.model
    return model is not None and not model.automl


def write_instances(context: Context, group: int, shards: Sequence[int]) -> int:
    """Write the job's input file; returns the number of instances.

    Rows that share an asset share an instance where the join is by URI.

    Raises:
        StorageError: The file cannot be written.
        HaltedError: The run is halted.
    """
    context.halt.check()
    if context.spec.option.gemini is not None:
        return gemini_batch.write_requests(context, group, shards)
    keyed = _keyed(context)
    written: set[str] = set()
    with context.store.line_writer(context.files.job(group, "instances.jsonl")) as out:
        for shard in shards:
            context.halt.check()
            rows = {row.id: row for row in read_rows(context, shard)}
            staged = read_structs(context, context.files.shard("staged", shard), Staged)
            templates: dict[str, Template] = {}
            for part in _parts(staged):
                for item, data in zip(part, _bytes_of(context, rows, part, templates), strict=True):
                    row = rows[item.data_row_id]
                    if not keyed:
                        if item.uri is None or item.uri in written:
                            continue
                        written.add(item.uri)
                    instance = templates[row.media_type].fill(row, item, data)
                    if keyed:
                        instance[KEY_FIELD] = row.id
                    out.write(orjson.dumps(instance))
        return out.count


def _parts(staged: Sequence[Staged]) -> Iterator[list[Staged]]:
    """Up to 64 at a time, fewer where their assets are large: those of a part are in memory together."""
    part: list[Staged] = []
    size = 0
    for item in staged:
        bytes_ = item.size or 0
        if part and (len(part) >= 64 or size + bytes_ > _PART_BYTES):
            yield part
            part, size = [], 0
        part.append(item)
        size += bytes_
    if part:
        yield part


def _bytes_of(
    context: Context, rows: dict[str, DataRow], part: Sequence[Staged], templates: dict[str, Template]
) -> list[bytes | None]:
    """The assets' bytes where the template wants them; fills ``templates`` for the media types met."""
    for item in part:
        media = rows[item.data_row_id].media_type
        if media not in templates:
            templates[media] = template_of(context.spec.option, media)
    wanting = [templates[rows[item.data_row_id].media_type].needs_bytes for item in part]
    if not any(wanting):
        return [None] * len(part)

    async def read() -> list[bytes | None]:
        async def one(item: Staged, wanted: bool) -> bytes | None:
            return await read_asset(context, item) if wanted else None

        return await asyncio.gather(*(one(item, wanted) for item, wanted in zip(part, wanting, strict=True)))

    return asyncio.run(read())


async def read_asset(context: Context, staged: Staged) -> bytes:
    """The bytes of a staged asset.

    Raises:
        NotFoundError: It was removed since it was staged.
        StorageError: It cannot be read.
    """
    uri = staged.uri or ""
    store, path = context.store, uri.removeprefix(context.store.root + "/")
    if uri.startswith("gs://") and not uri.startswith(context.store.root + "/"):
        store, path = context.buckets.of(uri)
    data = await store.aget(path)
    if staged.size not in (None, len(data)):
        data = await store.aget(path)
    if staged.size not in (None, len(data)):
        raise StorageError(f"{uri} had {staged.size} bytes when it was staged, and now {len(data)} came.")
    return data


def submit(context: Context, group: int) -> BatchJob:
    """Submit the group's job, or attach to the one that an earlier attempt submitted.

    Raises:
        VertexError: Vertex refused it.
        HaltedError: The run is halted, and no earlier attempt submitted a job.
    """
    files = context.files
    if context.halt.stop is not None:
        found = context.jobs.find(display_name_of(context.spec.run_id, group))
        if found is None:
            context.halt.check()
        else:
            return found  # ``poll`` stops it
    return context.jobs.submit(
        display_name_of(context.spec.run_id, group),
        context.spec.option,
        input_uri=context.store.uri(files.job(group, "instances.jsonl")),
        output_prefix=context.store.uri(files.job(group, "output")),
        key_field=KEY_FIELD if _keyed(context) else None,
    )


def poll(context: Context, name: str, seconds: float) -> BatchJob:
    """The job, once it has ended or ``seconds`` have passed; looks after 0.2 s at first, then ever more seldom to 10 s.

    When the run is halted, Vertex is asked at once to cancel the job, and what is waited for is the end of that.

    Raises:
        VertexError: Vertex did not answer for minutes; ``not_cancelled``: it would not cancel the job.
    """
    end = time.monotonic() + seconds
    pause = 0.2
    asked = False
    while True:
        if context.halt.stop is not None and not asked:
            _cancel(context, name)
            asked, pause = True, 0.2
        job = context.jobs.get(name)
        if job.ended or time.monotonic() + pause > end:
            return job
        if asked:
            time.sleep(pause)
        else:
            context.halt.wait(pause)
        pause = min(10.0, pause * 1.3)


def _cancel(context: Context, name: str) -> None:
    """Ask Vertex to stop the job, unless it has ended or was asked before."""
    job = context.jobs.get(name)
    if job.ended or job.state == CANCELLING:
        return
    try:
        context.jobs.cancel(name)
    except VmiError as error:
        if context.jobs.get(name).ended:
            return  # it was faster
        raise VertexError(
            f"The run is stopped, but Vertex would not cancel its job {name}: {error.message}",
            code="not_cancelled",
            hint="Cancel the job in the Cloud console, or give our service account roles/aiplatform.user; it costs "
            "until then.",
        ) from None


def collect(context: Context, group: int, shards: Sequence[int], job: BatchJob) -> Collected:
    """Read the job's output and give each row its answer; writes ``answers/`` and ``ended/predict-``.

    A row fails here when the model reported an error for it, when nothing came back, or when two different answers did.

    Raises:
        StorageError: The output cannot be read.
        VertexError: There is no output although there are predictions.
    """
    gemini = context.spec.option.gemini is not None
    if not gemini and not _keyed(context):
        owners = _owners_by_uri(context, shards)
    else:
        owners = {}
        for shard in shards:
            for item in read_structs(context, context.files.shard("staged", shard), Staged):
                owners[key_of(item.data_row_id) if gemini else item.data_row_id] = [(item.data_row_id, shard)]
    unknown = unreadable = answered = ended = 0
    nameless: dict[str, list[tuple[str, int]]] | None = None
    with tempfile.TemporaryDirectory(prefix="vmi-") as folder, ExitStack() as stack:
        spools: dict[int, IO[bytes]] = {
            shard: stack.enter_context(Path(folder, str(shard)).open("w+b")) for shard in shards
        }
        for line in _output_lines(context, job):
            try:
                name, said = read_gemini_line(line) if gemini else read_line(line, keyed=_keyed(context))
            except DecodeError:
                unreadable += 1
                continue
            found = owners.get(name)
            if found is None and gemini and name.startswith("contents "):
                if nameless is None:
                    nameless = gemini_batch.owners_by_contents(context, shards)
                # The same asset was asked about once for each of its rows, and each of the answers is one of theirs.
                found = [nameless[name].pop(0)] if nameless.get(name) else None
            if found is None:
                unknown += 1
                continue
            for row_id, shard in found:
                spools[shard].write(_ENCODER.encode(msgspec.structs.replace(said, data_row_id=row_id)) + b"\n")
        for shard in shards:
            spools[shard].seek(0)
            good, bad = _settle(context, shard, spools[shard], job, unreadable)
            answered += good
            ended += bad
    context.store.put(
        context.files.job(group, "json"),
        msgspec.json.encode({"job": job, "unknown_lines": unknown, "unreadable_lines": unreadable}),
    )
    return Collected(answered, ended, unknown, unreadable)


def _owners_by_uri(context: Context, shards: Sequence[int]) -> dict[str, list[tuple[str, int]]]:
    owners: dict[str, list[tuple[str, int]]] = {}
    for shard in shards:
        for item in read_structs(context, context.files.shard("staged", shard), Staged):
            owners.setdefault(item.uri or "", []).append((item.data_row_id, shard))
    return owners


def _output_lines(context: Context, job: BatchJob) -> Iterator[bytes]:
    """Lines of every file that the job wrote; names differ by kind of model, so the folder is listed, never guessed."""
    if not job.output:
        return
    try:
        store, folder = context.buckets.of(job.output.rstrip("/") + "/x")
        for entry in _listed(store, folder.rsplit("/", 1)[0], job):
            yield from store.lines(entry.path)
    except NotFoundError as error:
        raise StorageError(f"The output of {job.name} vanished: {error.message}", retryable=True) from None


def _listed(store: Store, folder: str, job: BatchJob) -> list[Entry]:
    """The files in the job's folder; what reads as none is made sure of where Vertex has told of predictions.

    Raises:
        VertexError: Vertex tells of predictions and there is no file.
    """
    for attempt in range(_LISTINGS):
        if attempt:
            time.sleep(0.5 * attempt)
        found = list(store.entries(folder))
        if found or job.succeeded <= 0:
            return found
    raise VertexError(
        f"The batch prediction job {job.name} tells of {job.succeeded} predictions, and Storage lists no file in its "
        f"output folder {job.output}.",
        code="output_missing",
        hint="Look at the folder in the Cloud console; if there are files, is there a proxy that answers for Storage?",
        retryable=True,
    )


def _settle(context: Context, shard: int, spool: IO[bytes], job: BatchJob, unreadable: int) -> tuple[int, int]:
    said: dict[str, list[Said]] = {}
    for line in spool:
        item = SAID.decode(line)
        said.setdefault(item.data_row_id, []).append(item)
    rows = {row.id: row for row in read_rows(context, shard)}
    answers: list[Answer] = []
    ended: list[Outcome] = []
    requests = None if context.spec.option.gemini is None else requests_of(context)
    for staged in read_structs(context, context.files.shard("staged", shard), Staged):
        row = rows[staged.data_row_id]
        if requests is not None and requests.common(row.media_type) is None:
            ended.append(nothing_to_ask(row))
            continue
        lines = said.get(row.id, [])
        predictions = {bytes(item.prediction) for item in lines if item.error is None}
        if len(predictions) == 1:
            answers.append(Answer(data_row_id=row.id, prediction=msgspec.Raw(predictions.pop())))
        elif predictions:
            text = f"The job gave {len(predictions)} different predictions for the row; none is taken."
            ended.append(failed(row.id, row.global_key, "predict", "duplicate_answer", text, retryable=True))
        elif lines:
            text = f"The model answered an error: {lines[0].error}"
            ended.append(failed(row.id, row.global_key, "predict", "model_error", text, retryable=lines[0].retryable))
        elif context.halt.stop is not None and job.state in (CANCELLING, "CANCELLED"):
            ended.append(left_out(context, row))
        else:
            code, text = _nothing(job, unreadable)
            ended.append(failed(row.id, row.global_key, "predict", code, text, retryable=True))
    write_structs(context, context.files.ended("predict", shard), ended)
    write_structs(context, context.files.shard("answers", shard), answers)
    return len(answers), len(ended)


def _nothing(job: BatchJob, unreadable: int) -> tuple[str, str]:
    if job.state == "SUCCEEDED":
        more = f" ({unreadable} lines of its output could not be read)" if unreadable else ""
        return "missing_answer", f"The job ended well but its output has no line for the row{more}."
    reason = f": {job.error}" if job.error else "."
    return "job_failed", f"The batch prediction job ended as {job.state} before it answered for the row{reason}"
