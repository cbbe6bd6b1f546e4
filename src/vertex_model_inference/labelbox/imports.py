"""Prediction imports into a model run: send, find again by name, wait, and read what became of each line.

The name makes an import idempotent: whatever happens to the answer of the upload, looking the name up tells whether
Labelbox has it. The SDK would send the file again, from a handle that it has already read to its end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec

from vertex_model_inference.errors import LabelboxError
from vertex_model_inference.labelbox.connection import Connection
from vertex_model_inference.labelbox.gateway import ImportedRow, ImportFailure, ImportState
from vertex_model_inference.labelbox.retry import Wait, rest, retrying

__all__ = ["Imports"]

_FIELDS = "errorFileUrl inputFileUrl modelRunId name progress state statusFileUrl id"
_CREATE = (
    "mutation createMEAPredictionImportByFilePyApi($modelRunId : ID!, $name: String!, $file: Upload!, "
    "$contentLength: Int!) { createModelErrorAnalysisPredictionImport(data: { modelRunId: $modelRunId name: $name "
    "filePayload: { file: $file, contentLength: $contentLength} }) {" + _FIELDS + "} }"
)
_FIND = (
    "query getModelErrorAnalysisPredictionImportPyApi($modelRunId : ID!, $name: String!) "
    "{ modelErrorAnalysisPredictionImport( where: {modelRunId: $modelRunId, name: $name}){" + _FIELDS + "}}"
)
FIRST_POLL_S, LAST_POLL_S = 0.1, 0.9


class _StatusRow(msgspec.Struct):
    id: str | None = None


class _StatusError(msgspec.Struct):
    name: str | None = None
    message: str | None = None


class _Status(msgspec.Struct):
    status: str
    uuid: str | None = None
    dataRow: _StatusRow | None = None  # noqa: N815 - Labelbox's name
    errors: list[_StatusError] | None = None


_STATUS = msgspec.json.Decoder(_Status)


class Imports:
    """What ``Labelbox`` promises about imports, on a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def start(self, model_run_id: str, name: str, ndjson: bytes) -> ImportState:
        """See ``Labelbox.start_import``."""

        def find_or_send() -> ImportState:
            # Looked up before each try: an upload whose answer was lost has happened all the same.
            found = self.find(model_run_id, name)
            if found is not None:
                return found
            answer = self._connection.upload_once(
                _CREATE,
                {"file": None, "contentLength": len(ndjson), "modelRunId": model_run_id, "name": name},
                f"{model_run_id}__{name}.ndjson",
                ndjson,
                model_run_id=model_run_id,
                import_name=name,
            )
            state = _state((answer or {}).get("createModelErrorAnalysisPredictionImport"), model_run_id)
            if state is None:
                raise LabelboxError(
                    f"Labelbox did not take the import {name} into model run {model_run_id}.",
                    code="import_failed",
                    hint="Does the model run still exist?",
                    model_run_id=model_run_id,
                    import_name=name,
                )
            return state

        return retrying(find_or_send)

    def find(self, model_run_id: str, name: str) -> ImportState | None:
        """See ``Labelbox.find_import``."""
        answer = self._connection.execute(
            _FIND, {"modelRunId": model_run_id, "name": name}, model_run_id=model_run_id, import_name=name
        )
        return _state((answer or {}).get("modelErrorAnalysisPredictionImport"), model_run_id)

    def wait(self, model_run_id: str, name: str, timeout_s: float) -> ImportState:
        """See ``Labelbox.wait_import``."""
        deadline = time.monotonic() + timeout_s
        pause = FIRST_POLL_S
        while True:
            state = self.find(model_run_id, name)
            if state is None:
                raise LabelboxError(
                    f"Labelbox knows no import {name} in model run {model_run_id}.",
                    code="import_unknown",
                    hint="It may have been deleted; run again to send it again.",
                    retryable=True,
                    model_run_id=model_run_id,
                    import_name=name,
                )
            if state.ended:
                return state
            left = deadline - time.monotonic()
            if left <= 0:
                raise LabelboxError(
                    f"The import {name} into model run {model_run_id} was not done after {timeout_s:.0f} s"
                    f" ({state.progress or 'no progress told'}).",
                    code="import_timeout",
                    hint="Start the run again: it goes on waiting for this import.",
                    retryable=True,
                    model_run_id=model_run_id,
                    import_name=name,
                )
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, LAST_POLL_S)

    def statuses(self, state: ImportState) -> Iterator[ImportedRow]:
        """See ``Labelbox.import_statuses``."""
        if state.status_url is None:
            raise LabelboxError(
                f"Labelbox gave up the import {state.name} into model run {state.model_run_id} as a whole"
                f"{self._said(state)}."
                if state.state == "FAILED"
                else f"The import {state.name} has no statuses: it is {state.state}.",
                code="import_failed",
                hint="Send it again under another name.",
                retryable=True,
                model_run_id=state.model_run_id,
                import_name=state.name,
            )
        given = failures = 0
        while True:
            try:
                for number, line in enumerate(self._lines(state.status_url or "", state.name)):
                    if number >= given:
                        yield _imported(line, state)
                        given, failures = number + 1, 0
                return
            except Wait as failure:
                failures += 1
                rest(failure, failures)
            state = self.find(state.model_run_id, state.name) or state  # with fresh URLs

    def _lines(self, url: str, name: str) -> Iterator[bytes]:
        """Lines of a file, split at ``\\n`` only: other Unicode line ends may stand inside JSON strings."""
        tail = b""
        with self._connection.download(url, f"The statuses of import {name}") as blocks:
            for block in blocks:
                parts = (tail + block).split(b"\n")
                tail = parts.pop()
                yield from (line for line in parts if line.strip())
        if tail.strip():
            yield tail

    def _said(self, state: ImportState) -> str:
        if state.error_url is None:
            return ""
        try:
            for line in self._lines(state.error_url, state.name):
                return f": {line[:300].decode('utf-8', 'replace')}"
        except Wait:
            return ""  # that the import failed is the news, not that its explanation cannot be read
        return ""


def _state(answer: dict[str, Any] | None, model_run_id: str) -> ImportState | None:
    if not answer:
        return None
    return ImportState(
        id=answer["id"],
        model_run_id=answer.get("modelRunId") or model_run_id,
        name=answer["name"],
        state=answer["state"],
        progress=answer.get("progress"),
        status_url=answer.get("statusFileUrl"),
        error_url=answer.get("errorFileUrl"),
    )


def _imported(line: bytes, state: ImportState) -> ImportedRow:
    try:
        row = _STATUS.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LabelboxError(
            f"A status of import {state.name} is not of the form expected: {error}.",
            code="import_status_form",
            hint="Labelbox may have changed its status format.",
            model_run_id=state.model_run_id,
            import_name=state.name,
        ) from None
    return ImportedRow(
        uuid=row.uuid,
        data_row_id=row.dataRow.id if row.dataRow else None,
        ok=row.status == "SUCCESS",
        errors=tuple(ImportFailure(e.name or "Error", e.message or "") for e in row.errors or ()),
    )
