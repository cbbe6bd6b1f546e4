"""predict, online, by Gemini: a request for each row of a shard, many at once.

What can succeed later is tried again, bounded; how many requests are under way adapts to what the service takes.
"""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import Sequence
from typing import Any

import msgspec

from vertex_model_inference.errors import VertexError, VmiError
from vertex_model_inference.outcomes import Outcome
from vertex_model_inference.rows import DataRow
from vertex_model_inference.spec import Answer, Staged
from vertex_model_inference.steps.context import Context, failed, left_out, read_rows, read_structs, write_structs
from vertex_model_inference.steps.gemini_requests import nothing_to_ask, requests_of, rules_of
from vertex_model_inference.steps.halting import unless_halted
from vertex_model_inference.steps.predict_batch import read_asset
from vertex_model_inference.steps.pressure import Limiter
from vertex_model_inference.vertex.gemini import Gemini, GeminiSession
from vertex_model_inference.waiting import FAULT, RATE_LIMIT, note

__all__ = ["predict_shard"]

_TRIES = 6
_AT_ONCE = 64
_INLINE_BYTES = 14_000_000
"""A request takes 20 MB, and base64 makes four bytes of three."""


def predict_shard(context: Context, shard: int) -> tuple[int, int]:
    """Predict one staged shard; writes ``answers/`` and ``ended/predict-``.

    Returns:
        Rows with an answer, and rows that ended here.

    Raises:
        StorageError: The run's own files cannot be read or written.
        VertexError: There is no project to ask in.
        SettingsError: There are no credentials.
    """
    return asyncio.run(_predict(context, shard))


async def _predict(context: Context, shard: int) -> tuple[int, int]:
    if context.gemini is None or not context.settings.project:
        raise VertexError("Gemini is asked in a project, and none is set.", hint="Set GOOGLE_CLOUD_PROJECT.")
    rows = {row.id: row for row in read_rows(context, shard)}
    staged = read_structs(context, context.files.shard("staged", shard), Staged)
    results: dict[str, Answer | Outcome] = {}
    if context.halt.stop is None:
        await unless_halted(context.halt, _all(context, context.gemini, rows, staged, results))
    in_order = [results.get(item.data_row_id) or left_out(context, rows[item.data_row_id]) for item in staged]
    ended = [result for result in in_order if isinstance(result, Outcome)]
    answers = [result for result in in_order if isinstance(result, Answer)]
    write_structs(context, context.files.ended("predict", shard), ended)
    write_structs(context, context.files.shard("answers", shard), answers)
    return len(answers), len(ended)


async def _all(
    context: Context,
    gemini: Gemini,
    rows: dict[str, DataRow],
    staged: Sequence[Staged],
    results: dict[str, Answer | Outcome],
) -> None:
    """Ask for every row, unless the run is halted meanwhile; ``results`` gets what came of each that was asked for."""
    requests = requests_of(context)
    left = iter(staged)
    async with gemini.session(rules_of(context).model) as session:
        worker = _Worker(context, session)

        async def work() -> None:
            for item in left:
                if context.halt.stop is not None:
                    return
                row = rows[item.data_row_id]
                request = requests.of(row, item)
                result = nothing_to_ask(row) if request is None else await worker.row(row, item, request)
                if result is not None:
                    results[row.id] = result
                context.tell("predict", 1)

        async with asyncio.TaskGroup() as workers:
            for _ in range(min(_AT_ONCE, len(staged))):
                workers.create_task(work())


class _Worker:
    def __init__(self, context: Context, session: GeminiSession) -> None:
        self._context = context
        self._session = session
        model = rules_of(context).model
        self._limiter = Limiter(ceiling=_AT_ONCE, pace=context.paces.of(model, 8))
        self._room = asyncio.Semaphore(8)

    async def row(self, row: DataRow, staged: Staged, request: dict[str, Any]) -> Answer | Outcome | None:
        """The answer for a row, or how it failed; None: the run was halted before it had either."""
        part = request["contents"][0]["parts"][0]
        if "fileData" not in part or (staged.uri or "").startswith("gs://"):
            return await self._ask(row, request)
        # No bucket, so Gemini cannot read the run's files: the asset goes along.
        if (staged.size or 0) > _INLINE_BYTES:
            text = f"The asset is {(staged.size or 0) / 1e6:.1f} MB; without a bucket (VMI_BUCKET) 14 MB can be sent."
            return failed(row.id, row.global_key, "predict", "request_too_large", text, retryable=False)
        async with self._room:
            try:
                data = await read_asset(self._context, staged)
            except VmiError as error:
                return failed(row.id, row.global_key, "predict", "asset", str(error), retryable=error.retryable)
            part["inlineData"] = {"data": base64.b64encode(data).decode(), "mimeType": part.pop("fileData")["mimeType"]}
            return await self._ask(row, request)

    async def _ask(self, row: DataRow, request: dict[str, Any]) -> Answer | Outcome | None:
        reply = None
        for attempt in range(_TRIES):
            async with self._limiter.slot():
                if self._context.halt.stop is not None:
                    return None
                reply = await self._session.generate(request)
            if reply.predictions is not None:
                self._limiter.went_well()
                return Answer(data_row_id=row.id, prediction=msgspec.Raw(reply.predictions[0]))
            if reply.pushed_back:
                self._limiter.pushed_back(reply.retry_after)
            elif reply.transient:
                self._limiter.faltered()
            if not reply.transient or attempt + 1 == _TRIES:
                break
            wait = reply.retry_after if reply.retry_after is not None else 0.2 * 2**attempt
            wait = min(wait, 60.0) * random.uniform(1.0, 1.3)  # noqa: S311  # jitter, never sooner than asked
            note("model", RATE_LIMIT if reply.pushed_back else FAULT, wait)
            if await self._context.halt.sleep(wait):
                return None
        assert reply is not None
        said = f"HTTP {reply.status}: {reply.message}" if reply.status else reply.message
        code = "model_unavailable" if reply.transient else "model_error"
        text = f"Gemini did not answer for the row ({said})."
        return failed(row.id, row.global_key, "predict", code, text, retryable=reply.transient)
