"""The life of batch prediction jobs over time: QUEUED, PENDING, RUNNING, and an end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from vertex_model_inference.sandbox.vertex.knobs import JobPlan, Settings
from vertex_model_inference.sandbox.vertex.objects import Objects
from vertex_model_inference.sandbox.vertex.output import Output, Style
from vertex_model_inference.sandbox.vertex.store import Store
from vertex_model_inference.sandbox.vertex.wire import ApiError, now
from vertex_model_inference.sandbox.vertex.work import Result, Work

__all__ = ["ENDED", "KIND", "Record", "Runner"]

_log = logging.getLogger(__name__)

KIND = "job"
_GEMINI_BATCH = 8  # requests hold whole pictures while they wait for the reader
ENDED = frozenset(
    f"JOB_STATE_{word}" for word in ("SUCCEEDED", "FAILED", "CANCELLED", "PARTIALLY_SUCCEEDED", "EXPIRED")
)


class Record(msgspec.Struct, kw_only=True):
    """A job as it is kept.

    Attributes:
        parent: ``projects/P/locations/L``.
        id: The job's id.
        job: What clients see.
        plan: Settings and mischief it was created under.
        style: Of its output files' names.
        container: Image of the model, for ``/_sandbox/jobs``.
        lines: Input lines read so far. ``sent``: instances sent to the container, tries again included.
        succeeded: Lines predicted. ``failed``: lines that failed.
        attempts: How often it was started; more than once after restarts of the server.
    """

    parent: str
    id: str
    job: dict[str, Any]
    plan: JobPlan
    style: Style
    container: str
    lines: int = 0
    sent: int = 0
    succeeded: int = 0
    failed: int = 0
    attempts: int = 0

    @property
    def state(self) -> str:
        """``JOB_STATE_...``."""
        return str(self.job["state"])


class Runner:
    """Runs jobs as tasks of the server's event loop; unfinished ones go on after a restart.

    Args:
        store: Where records are kept. ``settings``: gives the quota. ``objects``: Cloud Storage.
        folder: Local folder for output files in the making.
        work: Makes a job's work when it gets to run; ApiError fails the job.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        objects: Objects,
        folder: Path,
        work: Callable[[Record], Awaitable[Work]],
    ) -> None:
        self.store = store
        self.settings = settings
        self.objects = objects
        self.folder = folder
        self.work = work
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.records: dict[str, Record] = {}
        self.waiting: list[str] = []
        self.ending: set[str] = set()
        self.active = 0
        self.changed = asyncio.Condition()

    def save(self, record: Record) -> None:
        """Keep a record."""
        record.job["updateTime"] = now()
        self.store.put(KIND, record.parent, record.id, msgspec.to_builtins(record))

    def record(self, parent: str, id_: str) -> Record | None:
        """A job's record: the live one while it runs."""
        if id_ in self.records and self.records[id_].parent == parent:
            return self.records[id_]
        doc = self.store.get(KIND, parent, id_)
        return None if doc is None else msgspec.convert(doc, Record)

    def all_records(self) -> list[Record]:
        """Every job of every parent, the oldest first."""
        found = []
        for _, id_, doc in self.store.everywhere(KIND):
            found.append(self.records.get(id_) or msgspec.convert(doc, Record))
        return found

    def resume(self) -> None:
        """Go on with what a restart interrupted."""
        for record in self.all_records():
            if record.state not in ENDED:
                self.start(record)

    def start(self, record: Record) -> None:
        """Let a job live."""
        self.records[record.id] = record
        self.waiting.append(record.id)
        task = asyncio.create_task(self._life(record))
        self.tasks[record.id] = task
        task.add_done_callback(lambda _: self._forget(record.id))

    def _forget(self, id_: str) -> None:
        self.tasks.pop(id_, None)
        self.ending.discard(id_)
        self.records.pop(id_, None)

    def cancel(self, record: Record) -> None:
        """Begin to cancel; the job ends CANCELLED with the files written so far."""
        if record.id in self.ending:
            return  # too late: its files are being written; cancelling is best effort, as the service says
        record.job["state"] = "JOB_STATE_CANCELLING"
        self.save(record)
        self.tasks[record.id].cancel()

    async def close(self) -> None:
        """Stop all tasks; their jobs go on when the server starts again."""
        tasks = list(self.tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def wake(self) -> None:
        """The quota may have changed."""
        async with self.changed:
            self.changed.notify_all()

    # One job

    async def _life(self, record: Record) -> None:
        output: Output | None = None
        holds_slot = False
        try:
            if record.state == "JOB_STATE_CANCELLING":
                await self._end(record, None, "CANCELLED", None)
                return
            await self._slot(record)
            holds_slot = True
            if record.state == "JOB_STATE_QUEUED":
                await self._state(record, "PENDING")
            if record.state == "JOB_STATE_PENDING":
                await asyncio.sleep(record.plan.settings.pending_s)
                await self._stuck(record, "PENDING")
            record.attempts += 1
            record.lines = record.sent = record.succeeded = record.failed = 0
            record.job.setdefault("startTime", now())
            record.job["outputInfo"] = {"gcsOutputDirectory": _directory(record)}
            await self._state(record, "RUNNING")
            began = time.monotonic()
            await self._stuck(record, "RUNNING")
            output = Output(self.folder / record.id, record.style, record.plan)
            complete = await self._run(record, output)
            left = record.plan.settings.running_s - (time.monotonic() - began)
            await asyncio.sleep(max(left, 0))
            state, error = _outcome(record, complete)
            await self._end(record, output, state, error)
        except ApiError as error:
            await self._end(record, output, "FAILED", error.rpc())
        except Exception:  # noqa: BLE001  # a fault of ours must end the job, not leave it RUNNING for ever
            _log.exception("job %s failed", record.job["name"])
            await self._end(record, output, "FAILED", ApiError("INTERNAL", "Internal error occurred.").rpc())
        except asyncio.CancelledError:
            if record.state != "JOB_STATE_CANCELLING":  # the server stops; the job goes on when it starts again
                if output is not None:
                    output.close()
                raise
            await self._end(record, output, "CANCELLED", None)
        finally:
            if record.id in self.waiting:
                self.waiting.remove(record.id)
            self.active -= holds_slot
            await self.wake()

    async def _slot(self, record: Record) -> None:
        if record.state == "JOB_STATE_QUEUED":
            await asyncio.sleep(record.plan.settings.queued_s)
            await self._stuck(record, "QUEUED")
        async with self.changed:
            await self.changed.wait_for(
                lambda: self.waiting[0] == record.id and self.active < self.settings.quota_concurrent_jobs
            )
            self.waiting.remove(record.id)
            self.active += 1
            self.changed.notify_all()

    async def _stuck(self, record: Record, state: str) -> None:
        mischief = record.plan.mischief
        if mischief is not None and mischief.stuck == state:
            if record.id in self.waiting:
                self.waiting.remove(record.id)  # others may pass
            await asyncio.Event().wait()  # until it is cancelled

    async def _state(self, record: Record, word: str) -> None:
        record.job["state"] = f"JOB_STATE_{word}"
        self.save(record)

    async def _run(self, record: Record, output: Output) -> bool:
        """Answer all lines; whether all were tried."""
        work = await self.work(record)
        settings = record.plan.settings
        stop_after = record.plan.mischief.stop_after if record.plan.mischief else None
        given = record.job.get("manualBatchTuningParameters", {}).get("batchSize")
        size = _GEMINI_BATCH if record.style == "gemini" else int(given or settings.batch_size)
        flying: set[asyncio.Task[list[Result]]] = set()
        batch: list[Any] = []
        saved = time.monotonic()
        complete = True
        try:
            async for item in work.items():
                if stop_after is not None and record.lines >= stop_after:
                    complete = False
                    break
                record.lines += 1
                batch.append(item)
                if len(batch) < size:
                    continue
                flying.add(asyncio.create_task(work.answer(batch)))
                batch = []
                if len(flying) >= settings.batches_in_flight:
                    flying = await self._take(record, output, flying, asyncio.FIRST_COMPLETED)
                record.sent = work.sent
                if record.succeeded == 0 and record.failed >= settings.max_failed:
                    complete = False
                    break
                if time.monotonic() - saved > 0.5:
                    saved = time.monotonic()
                    record.job["completionStats"] = _stats(record, complete=False)
                    self.save(record)
            if batch:
                flying.add(asyncio.create_task(work.answer(batch)))
            if flying:
                flying = await self._take(record, output, flying, asyncio.ALL_COMPLETED)
            record.sent = work.sent
        finally:
            for task in flying:
                task.cancel()
            if flying:
                await asyncio.gather(*flying, return_exceptions=True)
        return complete

    async def _take(
        self, record: Record, output: Output, flying: set[asyncio.Task[list[Result]]], until: str
    ) -> set[asyncio.Task[list[Result]]]:
        done, left = await asyncio.wait(flying, return_when=until)
        for task in done:
            for result in task.result():
                if result.error is None:
                    record.succeeded += 1
                    output.add(result.index, result.line)
                else:
                    record.failed += 1
                    _note(record, result.error)
                    if result.apart:
                        output.add_error(result.line, result.error)
                    else:
                        output.add(result.index, result.line)
        return left

    async def _end(self, record: Record, output: Output | None, state: str, error: dict[str, Any] | None) -> None:
        self.ending.add(record.id)
        if output is not None:
            try:
                output.flush()
                await output.upload(_directory(record), self.objects)
            except ApiError as refused:
                state, error = "FAILED", refused.rpc()
        moment = now()
        job = record.job
        job["endTime"] = moment
        if "startTime" in job:
            job["completionStats"] = _stats(record, complete=state == "SUCCEEDED")
            hours = (_seconds(moment) - _seconds(job["startTime"])) / 3600
            job["resourcesConsumed"] = {"replicaHours": round(hours, 6)}
        if error is not None:
            job["error"] = error
        await self._state(record, state)


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _note(record: Record, message: str) -> None:
    failures: list[dict[str, Any]] = record.job.setdefault("partialFailures", [])
    text = message[:1000]
    if len(failures) < 20 and all(failure["message"] != text for failure in failures):  # the service's own limit
        failures.append({"code": 13, "message": text})


def _stats(record: Record, *, complete: bool) -> dict[str, str]:
    """``completionStats``; int64, so text. -1 is the service's word for an unknown number."""
    return {
        "successfulCount": str(record.succeeded),
        "failedCount": str(record.failed),
        **({} if complete else {"incompleteCount": "-1"}),
    }


def _outcome(record: Record, complete: bool) -> tuple[str, dict[str, Any] | None]:
    mischief = record.plan.mischief
    if mischief is not None and mischief.end_state is not None:
        error = {"code": 13, "message": mischief.message} if mischief.end_state != "SUCCEEDED" else None
        return mischief.end_state, error
    if record.lines and record.succeeded == 0:
        reason = record.job["partialFailures"][0]["message"]
        return "FAILED", {"code": 3, "message": f"Unable to prediction with provided model. {reason}"}
    if not complete:
        return "PARTIALLY_SUCCEEDED", {"code": 13, "message": "The job stopped before all instances were tried."}
    return "SUCCEEDED", None


def _directory(record: Record) -> str:
    """``<prefix>/prediction-<model display name>-<create time>``, as the service's proto tells."""
    prefix = record.job["outputConfig"]["gcsDestination"]["outputUriPrefix"].rstrip("/")
    if record.style == "gemini":
        return f"{prefix}/prediction-model-{record.job['createTime']}"
    moment = record.job["createTime"][:23].translate(str.maketrans("-:.", "___")) + "Z"
    name = record.job["modelDisplayName"].replace("/", "_")
    return f"{prefix}/prediction-{name}-{moment}"
