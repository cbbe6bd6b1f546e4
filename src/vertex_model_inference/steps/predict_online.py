"""predict, online: a shard's rows in small requests to an endpoint or a container, many at once.

A request that fails as a whole is split until the instance that spoils it stands alone; that row fails, its neighbours
do not. What can succeed later is tried again, and the number of requests under way adapts to what the service takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import orjson

from vertex_model_inference.errors import VmiError
from vertex_model_inference.models import Predictor
from vertex_model_inference.outcomes import Outcome
from vertex_model_inference.rows import DataRow
from vertex_model_inference.spec import Answer, Staged
from vertex_model_inference.steps import gemini_online
from vertex_model_inference.steps.context import Context, failed, left_out, read_rows, read_structs, write_structs
from vertex_model_inference.steps.halting import unless_halted
from vertex_model_inference.steps.instances import Template, template_of
from vertex_model_inference.steps.predict_batch import read_asset
from vertex_model_inference.steps.pressure import Budget, Limiter
from vertex_model_inference.vertex.online import MAX_REQUEST_BYTES, Session
from vertex_model_inference.waiting import FAULT, RATE_LIMIT, note

__all__ = ["OnlineDone", "predict_shard"]

_TRIES = 6
_TRIES_BROKEN = 4
_TRIES_BROKEN_TOGETHER = 2
"""Of requests that the model broke on: several instances are soon parted, to find the one that it breaks on."""
_USUAL_BATCH = 8
_IN_FLIGHT = Budget(48 << 20)
"""Bytes of all requests of the process: an asset is there as it is, as base64 in an instance, and in the request."""
_TIMES = 4
"""How often its own size an asset takes up: 1 + 4/3 + 4/3, and a bit."""


class OnlineDone(NamedTuple):
    """Rows with an answer, and rows that failed here."""

    answered: int
    ended: int


class _Item(NamedTuple):
    row: DataRow
    instance: orjson.Fragment
    size: int


class _Reported(msgspec.Struct):
    """A prediction that is no prediction: containers may answer an error in one instance's place."""

    error: msgspec.Raw


_REPORTED = msgspec.json.Decoder(_Reported)


def predict_shard(context: Context, shard: int) -> OnlineDone:
    """Predict one staged shard; writes ``answers/`` and ``ended/predict-``.

    Raises:
        StorageError: The run's own files cannot be read or written.
        VertexError: The option has nowhere to send requests.
    """
    if context.spec.option.gemini is not None:
        return OnlineDone(*gemini_online.predict_shard(context, shard))
    return asyncio.run(_predict(context, shard))


async def _predict(context: Context, shard: int) -> OnlineDone:
    rows = {row.id: row for row in read_rows(context, shard)}
    staged = read_structs(context, context.files.shard("staged", shard), Staged)
    results: dict[str, Answer | Outcome] = {}
    if context.halt.stop is None:
        await unless_halted(context.halt, _all(context, rows, staged, results))
    in_order = [results.get(item.data_row_id) or left_out(context, rows[item.data_row_id]) for item in staged]
    ended = [result for result in in_order if isinstance(result, Outcome)]
    answers = [result for result in in_order if isinstance(result, Answer)]
    write_structs(context, context.files.ended("predict", shard), ended)
    write_structs(context, context.files.shard("answers", shard), answers)
    return OnlineDone(len(answers), len(ended))


async def _all(
    context: Context, rows: dict[str, DataRow], staged: Sequence[Staged], results: dict[str, Answer | Outcome]
) -> None:
    """Send every row, unless the run is halted meanwhile; ``results`` gets what came of each that was sent."""
    waiting: set[asyncio.Task[None]] = set()
    async with context.predictions.session(context.spec.option) as session:
        worker = _Worker(context, session, results)
        batch = context.spec.option.batch_size or _USUAL_BATCH
        try:
            for start in range(0, len(staged), batch):
                part = staged[start : start + batch]
                waiting.add(asyncio.create_task(worker.part([(rows[item.data_row_id], item) for item in part])))
                if len(waiting) >= 64:  # as many as the limiter's slots at the most
                    done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
            for task in waiting:
                await task
        finally:
            # Cancelled, or one of them failed: what is under way must not outlive the session.
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


class _Worker:
    def __init__(self, context: Context, session: Session, results: dict[str, Answer | Outcome]) -> None:
        self._context = context
        self._session = session
        self._results = results
        option = context.spec.option
        asked = option.endpoint or option.container or option.name
        self._limiter = Limiter(ceiling=64, pace=context.paces.of(asked, 8))
        self._templates: dict[str, Template] = {}
        online = context.spec.option.predictor is Predictor.ONLINE
        self._max_bytes = MAX_REQUEST_BYTES if online else 16 << 20

    async def part(self, items: Sequence[tuple[DataRow, Staged]]) -> None:
        """Build the instances of some rows and send them, in requests that fit."""
        for some in self._bounded(items):
            if self._context.halt.stop is not None:
                return
            held = await _IN_FLIGHT.take(_TIMES * sum(staged.size or 0 for _, staged in some))
            try:
                await self._some(some)
            finally:
                _IN_FLIGHT.give(held)
        self._context.tell("predict", len(items))

    def _bounded(self, items: Sequence[tuple[DataRow, Staged]]) -> Iterator[list[tuple[DataRow, Staged]]]:
        """The rows in lots whose assets come to one request's bytes, or to one asset."""
        lot: list[tuple[DataRow, Staged]] = []
        size = 0
        for row, staged in items:
            bytes_ = staged.size or 0
            if lot and size + bytes_ > self._max_bytes:
                yield lot
                lot, size = [], 0
            lot.append((row, staged))
            size += bytes_
        if lot:
            yield lot

    async def _some(self, items: Sequence[tuple[DataRow, Staged]]) -> None:
        ready: list[_Item] = []
        size = 0
        for row, staged in items:
            item = await self._build(row, staged)
            if item is None:
                continue
            if ready and size + item.size > self._max_bytes:
                await self._send(ready)
                ready, size = [], 0
            ready.append(item)
            size += item.size
        if ready:
            await self._send(ready)

    async def _build(self, row: DataRow, staged: Staged) -> _Item | None:
        template = self._templates.get(row.media_type)
        if template is None:
            template = self._templates[row.media_type] = template_of(self._context.spec.option, row.media_type)
        data: bytes | None = None
        if template.needs_bytes and (staged.size or 0) * 4 // 3 > self._max_bytes:
            self._too_large(row, (staged.size or 0) * 4 // 3)
            return None
        try:
            if template.needs_bytes:
                data = await read_asset(self._context, staged)
        except VmiError as error:
            self._fail(row, "asset", str(error), retryable=error.retryable)
            return None
        instance = template.fill(row, staged, data)
        raw = orjson.dumps(instance)
        size = len(raw)
        if size > self._max_bytes:
            self._too_large(row, size)
            return None
        return _Item(row, orjson.Fragment(raw), size)

    def _too_large(self, row: DataRow, size: int) -> None:
        limit = f"{self._max_bytes / 1e6:g} MB"
        text = f"The row needs a request of {size / 1e6:.1f} MB; the endpoint takes {limit}."
        self._fail(row, "request_too_large", text, retryable=False)

    async def _send(self, items: list[_Item]) -> None:
        reply = None
        for attempt in range(_TRIES):
            async with self._limiter.slot():
                if self._context.halt.stop is not None:
                    return  # whoever has no answer by now is left out
                reply = await self._session.predict([item.instance for item in items])
            if reply.predictions is not None:
                self._limiter.went_well()
                for item, prediction in zip(items, reply.predictions, strict=True):
                    self._take(item.row, prediction)
                return
            if reply.pushed_back:
                self._limiter.pushed_back(reply.retry_after)
            elif reply.transient:
                self._limiter.faltered()
            if not reply.transient:
                break
            tries = _TRIES
            if reply.broken:
                tries = _TRIES_BROKEN if len(items) == 1 else _TRIES_BROKEN_TOGETHER
            if attempt + 1 >= tries:
                break
            wait = reply.retry_after if reply.retry_after is not None else 0.2 * 2**attempt
            wait = min(wait, 60.0) * random.uniform(1.0, 1.3)  # noqa: S311  # jitter, never sooner than asked
            note("model", RATE_LIMIT if reply.pushed_back else FAULT, wait)
            if await self._context.halt.sleep(wait):
                return
        assert reply is not None
        if len(items) > 1 and (not reply.transient or reply.broken):
            # One bad instance can spoil a request for all: look for it in halves.
            half = len(items) // 2
            await self._send(items[:half])
            await self._send(items[half:])
            return
        said = f"HTTP {reply.status}: {reply.message}" if reply.status else reply.message
        for item in items:
            code = "model_error" if not reply.transient or reply.broken else "model_unavailable"
            self._fail(item.row, code, f"The model did not answer for the row ({said}).", retryable=reply.transient)

    def _take(self, row: DataRow, prediction: bytes) -> None:
        value: Any = None
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            value = msgspec.json.decode(_REPORTED.decode(prediction).error)
        if value is None:
            self._results[row.id] = Answer(data_row_id=row.id, prediction=msgspec.Raw(prediction))
            return
        message = value.get("message", value) if isinstance(value, dict) else value
        self._fail(row, "model_error", f"The model answered an error: {str(message)[:300]}", retryable=False)

    def _fail(self, row: DataRow, code: str, message: str, *, retryable: bool) -> None:
        self._results[row.id] = failed(row.id, row.global_key, "predict", code, message, retryable=retryable)
