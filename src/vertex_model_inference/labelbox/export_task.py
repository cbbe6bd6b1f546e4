"""Exports of a model run: start, wait, and stream the files without keeping them.

The SDK's own way writes the whole export to disk before the first row comes, fetches each file once without retry and
stops at an assertion when one is short; here rows come as the bytes come, and a failed download goes on where it was.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from vertex_model_inference.errors import LabelboxError
from vertex_model_inference.labelbox.connection import Connection
from vertex_model_inference.labelbox.gateway import ExportChunk, ExportSize, Sleep, undisturbed
from vertex_model_inference.labelbox.retry import Wait, rest

__all__ = ["Exports"]

_START = (
    "mutation exportDataRowsInModelRunPyApi($input: ExportDataRowsInModelRunInput!)"
    "{exportDataRowsInModelRun(input: $input){taskId isStreamable}}"
)
_START_ROWS = (
    "mutation exportDataRowsInCatalogPyApi($input: ExportDataRowsInCatalogInput!)"
    "{exportDataRowsInCatalog(input: $input){taskId isStreamable}}"
)
_USER = (
    "query GetUserPyApi{user{createdAt email isExternalUser isViewer lastLoginAt nickname name picture id updatedAt}}"
)
_TASK = (
    "query GetUserCreatedTasksPyApi($param_0: ID!, $param_1: ID!){user(where: {id: $param_1})"
    "{createdTasks(where: {id: $param_0} skip: 0 first: 100){completionPercentage createdAt errors metadata name "
    "result status status type id updatedAt}}}"
)
_HEADER = (
    "query GetExportMetadataHeaderPyApi($where: WhereUniqueIdInput, $streamType: TaskStreamType!)"
    "{task(where: $where){exportMetadataHeader(streamType: $streamType){totalSize totalLines}}}"
)
_FILE = (
    "query GetExportFileFromOffsetPyApi($where: WhereUniqueIdInput, $streamType: TaskStreamType!, $offset: UInt64!)"
    "{task(where: $where){exportFileFromOffset(streamType: $streamType, offset: $offset)"
    "{offsets {start end} lines {start end} file}}}"
)
_PARAMS = {
    "mediaTypeOverride": None,
    "includeAttachments": False,
    "includeEmbeddings": False,
    "includeMetadata": False,
    "includeDataRowDetails": True,
    "includePredictions": False,
    "includeModelRunDetails": True,
}
_ROWS_PARAMS = {
    "mediaTypeOverride": None,
    "includeAttachments": False,
    "includeEmbeddings": False,
    "includeMetadata": False,
    "includeDataRowDetails": False,
    "includeProjectDetails": False,
    "includePerformanceDetails": False,
    "includeLabelDetails": False,
    "includeInterpolatedFrames": False,
    "projectIds": None,
    "modelRunIds": None,
    "allProjects": False,
    "allModelRuns": False,
}
FIRST_POLL_S, LAST_POLL_S = 0.05, 2.0


class Exports:
    """What ``Labelbox`` promises about exports, on a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._user: str | None = None
        self._lock = threading.Lock()

    def start(self, model_run_id: str, name: str) -> str:
        """See ``Labelbox.start_export``. Sent again after a failure: an export too many costs nothing."""
        answer = self._connection.execute(
            _START,
            {
                "input": {
                    "taskName": name,
                    "filters": {"modelRunId": model_run_id},
                    "isStreamableReady": True,
                    "params": _PARAMS,
                    "streamable": True,
                }
            },
            model_run_id=model_run_id,
        )
        started = (answer or {}).get("exportDataRowsInModelRun")
        if not started or not started.get("taskId"):
            raise LabelboxError(
                f"Labelbox did not start an export of model run {model_run_id}.",
                code="export_failed",
                hint="Does the model run still exist?",
                model_run_id=model_run_id,
            )
        return str(started["taskId"])

    def start_rows(self, ids: Sequence[str], name: str) -> str:
        """See ``Labelbox.start_rows_export``. As ``DataRow.export`` of labelbox 7.17.0 asks for it."""
        search = [{"ids": list(ids), "operator": "is", "type": "data_row_id"}]
        answer = self._connection.execute(
            _START_ROWS,
            {
                "input": {
                    "taskName": name,
                    "filters": {"searchQuery": {"scope": None, "query": search}},
                    "isStreamableReady": True,
                    "params": _ROWS_PARAMS,
                    "streamable": True,
                }
            },
        )
        started = (answer or {}).get("exportDataRowsInCatalog")
        if not started or not started.get("taskId"):
            raise LabelboxError("Labelbox did not start an export of data rows.", code="export_failed")
        return str(started["taskId"])

    def wait(self, task_id: str, timeout_s: float, sleep: Sleep = undisturbed) -> ExportSize:
        """See ``Labelbox.wait_export``."""
        deadline = time.monotonic() + timeout_s
        pause = FIRST_POLL_S
        while True:
            status = self.status(task_id)
            if status == "COMPLETE":
                return self._size(task_id, "RESULT") or ExportSize(total_bytes=0, total_lines=0)
            if status in ("FAILED", "CANCELED", "CANCELLED"):
                raise LabelboxError(
                    f"Labelbox's export task {task_id} ended as {status}{self._said(task_id)}.",
                    code="export_failed",
                    hint="Start the run again; if it stays so, ask Labelbox with the task's id.",
                    retryable=True,
                    task_id=task_id,
                )
            left = deadline - time.monotonic()
            if left <= 0:
                raise LabelboxError(
                    f"Labelbox's export task {task_id} was not done after {timeout_s:.0f} s (it is {status}).",
                    code="export_timeout",
                    hint="Start the run again: it goes on with this export.",
                    retryable=True,
                    task_id=task_id,
                )
            if sleep(min(pause, left)):
                raise LabelboxError(
                    f"Labelbox's export task {task_id} is {status} and not waited for any longer.",
                    code="export_left",
                    retryable=True,
                    task_id=task_id,
                )
            pause = min(pause * 1.5, LAST_POLL_S)

    def chunks(self, task_id: str, offset: int) -> Iterator[ExportChunk]:
        """See ``Labelbox.export_chunks``."""
        size = self._size(task_id, "RESULT")
        if size is None:
            return
        while offset < size.total_bytes:
            chunk = self._chunk(task_id, "RESULT", offset)
            if not chunk.start <= offset <= chunk.end:
                raise _expired(task_id, f"asked for offset {offset}, it gave the file {chunk.start}-{chunk.end}")
            yield chunk
            offset = chunk.end + 1

    def lines(self, task_id: str, chunk: ExportChunk, stream_type: str = "RESULT") -> Iterator[bytes]:
        """See ``Labelbox.read_chunk``."""
        given = 0  # bytes of the lines given so far, line ends included
        failures = 0
        source = chunk
        while True:
            try:
                for line, end in self._download(task_id, source, given):
                    yield line
                    given, failures = end, 0
                return
            except Wait as failure:
                failures += 1
                rest(failure, failures)
            source = self._chunk(task_id, stream_type, chunk.start)  # with a fresh URL
            if (source.start, source.end) != (chunk.start, chunk.end):
                raise _expired(task_id, f"its file at offset {chunk.start} is not the same any more")

    def _download(self, task_id: str, chunk: ExportChunk, skip: int) -> Iterator[tuple[bytes, int]]:
        """Lines of the file from byte ``skip`` on, each with the offset (in the file) of what follows it."""
        received = 0
        position = skip
        tail = b""
        with self._connection.download(chunk.url, f"A file of export task {task_id}") as blocks:
            for block in blocks:
                before = received
                received += len(block)
                if received > chunk.size:
                    break
                parts = (tail + (block if before >= skip else block[skip - before :])).split(b"\n")
                tail = parts.pop()
                for line in parts:
                    position += len(line) + 1
                    if line:
                        yield line, position
        if received != chunk.size:
            got = "more" if received > chunk.size else str(received)
            raise Wait(
                LabelboxError(
                    f"A file of Labelbox's export task {task_id} should have {chunk.size} bytes and had {got}.",
                    code="export_length",
                    hint="Start the run again.",
                    retryable=True,
                    task_id=task_id,
                )
            )
        if tail:
            yield tail, chunk.size

    # -- queries ------------------------------------------------------------------------------------------------

    def _user_id(self) -> str:
        with self._lock:
            if self._user is None:
                answer = self._connection.execute(_USER, {})
                user = (answer or {}).get("user")
                if not user:
                    raise LabelboxError(
                        "Labelbox does not say whose the API key is.",
                        code="labelbox_auth",
                        hint="Set LABELBOX_API_KEY to a valid key.",
                    )
                self._user = str(user["id"])
            return self._user

    def status(self, task_id: str) -> str:
        """IN_PROGRESS, COMPLETE or FAILED: of any task of the key's user.

        Raises:
            LabelboxError: ``export_expired`` when Labelbox does not know the task (any more).
        """
        answer = self._connection.execute(_TASK, {"param_0": task_id, "param_1": self._user_id()}, task_id=task_id)
        tasks = ((answer or {}).get("user") or {}).get("createdTasks") or []
        if not tasks:
            raise _expired(task_id, "it does not know the task")
        return str(tasks[0]["status"])

    def _task(self, query: str, task_id: str, variables: dict[str, Any]) -> dict[str, Any]:
        answer = self._connection.execute(query, {"where": {"id": task_id}, **variables}, task_id=task_id)
        task = (answer or {}).get("task")
        if not task:
            raise _expired(task_id, "it does not know the task")
        return dict(task)

    def _size(self, task_id: str, stream_type: str) -> ExportSize | None:
        header = self._task(_HEADER, task_id, {"streamType": stream_type}).get("exportMetadataHeader")
        if not header:
            return None
        return ExportSize(total_bytes=int(header["totalSize"]), total_lines=int(header["totalLines"]))

    def _chunk(self, task_id: str, stream_type: str, offset: int) -> ExportChunk:
        found = self._task(_FILE, task_id, {"streamType": stream_type, "offset": str(offset)}).get(
            "exportFileFromOffset"
        )
        if not found or not found.get("file"):
            raise _expired(task_id, f"it has no file at offset {offset}")
        return ExportChunk(
            start=int(found["offsets"]["start"]),
            end=int(found["offsets"]["end"]),
            first_line=int(found["lines"]["start"]),
            last_line=int(found["lines"]["end"]),
            url=found["file"],
        )

    def _said(self, task_id: str) -> str:
        """The first line of the task's errors, for the message; empty when there is none to be had."""
        try:
            if self._size(task_id, "ERRORS") is None:
                return ""
            chunk = self._chunk(task_id, "ERRORS", 0)
            for line in self.lines(task_id, chunk, "ERRORS"):
                return f": {line[:300].decode('utf-8', 'replace')}"
        except LabelboxError:
            return ""  # the task's own failure is the news, not that its explanation cannot be read
        return ""


def _expired(task_id: str, why: str) -> LabelboxError:
    return LabelboxError(
        f"Labelbox's export task {task_id} cannot be read any more: {why}.",
        code="export_expired",
        hint="Start a new export.",
        retryable=True,
        task_id=task_id,
    )
