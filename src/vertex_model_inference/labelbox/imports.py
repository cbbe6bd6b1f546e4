"""Imports into a model run or a project: send, find again by name, wait, and read what became of each line.

Mutations and queries are those of the SDK's ``MEAPredictionImport`` (predictions of a model run) and
``MALPredictionImport`` (pre-labels of a project), labelbox 7.17.0, ``schema/annotation_import.py``.

The name makes an import idempotent: whatever happens to the answer of the upload, looking the name up tells whether
Labelbox has it. The SDK would send the file again, from a handle that it has already read to its end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from vertex_model_inference.errors import LabelboxError, UploadRefusedError, VmiError
from vertex_model_inference.fencing import may_go_on
from vertex_model_inference.labelbox.connection import Connection
from vertex_model_inference.labelbox.gateway import ImportedRow, ImportFailure, ImportPlace, ImportState
from vertex_model_inference.labelbox.retry import Wait, rest, retrying

__all__ = ["Imports"]

_FIELDS = "errorFileUrl inputFileUrl name progress state statusFileUrl id"


class _Calls(NamedTuple):
    """How a kind of import is asked for: the variable with the parent's id, two calls and the fields they answer in."""

    parent: str
    create: str
    created: str
    find: str
    found: str


_CALLS = {
    "model-run": _Calls(
        "modelRunId",
        "mutation createMEAPredictionImportByFilePyApi($modelRunId : ID!, $name: String!, $file: Upload!, "
        "$contentLength: Int!) { createModelErrorAnalysisPredictionImport(data: { modelRunId: $modelRunId name: $name "
        "filePayload: { file: $file, contentLength: $contentLength} }) {" + _FIELDS + "} }",
        "createModelErrorAnalysisPredictionImport",
        "query getModelErrorAnalysisPredictionImportPyApi($modelRunId : ID!, $name: String!) "
        "{ modelErrorAnalysisPredictionImport( where: {modelRunId: $modelRunId, name: $name}){" + _FIELDS + "}}",
        "modelErrorAnalysisPredictionImport",
    ),
    "project": _Calls(
        "projectId",
        "mutation createMALPredictionImportByFilePyApi($projectId : ID!, $name: String!, $file: Upload!, "
        "$contentLength: Int!) { createModelAssistedLabelingPredictionImport(data: { projectId: $projectId name: $name "
        "filePayload: { file: $file, contentLength: $contentLength} }) {" + _FIELDS + "} }",
        "createModelAssistedLabelingPredictionImport",
        "query getModelAssistedLabelingPredictionImportPyApi($projectId : ID!, $name: String!) "
        "{ modelAssistedLabelingPredictionImport( where: {projectId: $projectId, name: $name}){" + _FIELDS + "}}",
        "modelAssistedLabelingPredictionImport",
    ),
}
_PROBE = (
    "mutation createMEAPredictionImportByUrlPyApi($modelRunId : ID!, $name: String!, $fileUrl: String!) "
    "{ createModelErrorAnalysisPredictionImport(data: { modelRunId: $modelRunId name: $name fileUrl: $fileUrl }) "
    "{" + _FIELDS + "} }"
)
_NO_RUN = "c00000000000000000000none"
"""Of the form of an id, and nobody's: what is asked of it can have no effect."""
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

    def refusal(self) -> UploadRefusedError | None:
        """See ``Labelbox.import_refusal``. Asked once: any other answer, or none, says nothing of refusals."""
        variables = {"modelRunId": _NO_RUN, "name": "vmi-probe", "fileUrl": "https://labelbox.com/vmi-probe.ndjson"}
        try:
            self._connection.execute_once(_PROBE, variables)
        except UploadRefusedError as refused:
            return refused
        except (VmiError, Wait):
            return None
        return None

    def start(self, place: ImportPlace, name: str, ndjson: bytes) -> ImportState:
        """See ``Labelbox.start_import``."""
        calls = _CALLS[place.kind]

        def find_or_send() -> ImportState:
            # Looked up before each try: an upload whose answer was lost has happened all the same.
            found = self.find(place, name)
            if found is not None:
                return found
            may_go_on()
            answer = self._connection.upload_once(
                calls.create,
                {"file": None, "contentLength": len(ndjson), calls.parent: place.id, "name": name},
                f"{place.id}__{name}.ndjson",
                ndjson,
                **_facts(place, name),
            )
            state = _state((answer or {}).get(calls.created), place)
            if state is None:
                raise LabelboxError(
                    f"Labelbox did not take the import {name} into {place}.",
                    code="import_failed",
                    hint=f"Does the {place.kind.replace('-', ' ')} still exist?",
                    **_facts(place, name),
                )
            return state

        return retrying(find_or_send)

    def find(self, place: ImportPlace, name: str) -> ImportState | None:
        """See ``Labelbox.find_import``."""
        calls = _CALLS[place.kind]
        answer = self._connection.execute(calls.find, {calls.parent: place.id, "name": name}, **_facts(place, name))
        return _state((answer or {}).get(calls.found), place)

    def wait(self, place: ImportPlace, name: str, timeout_s: float) -> ImportState:
        """See ``Labelbox.wait_import``."""
        deadline = time.monotonic() + timeout_s
        pause = FIRST_POLL_S
        while True:
            state = self.find(place, name)
            if state is None:
                raise LabelboxError(
                    f"Labelbox knows no import {name} in {place}.",
                    code="import_unknown",
                    hint="It may have been deleted; run again to send it again.",
                    retryable=True,
                    **_facts(place, name),
                )
            if state.ended:
                return state
            left = deadline - time.monotonic()
            if left <= 0:
                raise LabelboxError(
                    f"The import {name} into {place} was not done after {timeout_s:.0f} s"
                    f" ({state.progress or 'no progress told'}).",
                    code="import_timeout",
                    hint="Start the run again: it goes on waiting for this import.",
                    retryable=True,
                    **_facts(place, name),
                )
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, LAST_POLL_S)

    def statuses(self, state: ImportState) -> Iterator[ImportedRow]:
        """See ``Labelbox.import_statuses``."""
        if state.status_url is None:
            raise LabelboxError(
                f"Labelbox gave up the import {state.name} into {state.place} as a whole{self._said(state)}."
                if state.state == "FAILED"
                else f"The import {state.name} has no statuses: it is {state.state}.",
                code="import_failed",
                hint="Send it again under another name.",
                retryable=True,
                **_facts(state.place, state.name),
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
            state = self.find(state.place, state.name) or state  # with fresh URLs

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


def _facts(place: ImportPlace, name: str) -> dict[str, Any]:
    return {f"{place.kind.replace('-', '_')}_id": place.id, "import_name": name}


def _state(answer: dict[str, Any] | None, place: ImportPlace) -> ImportState | None:
    if not answer:
        return None
    return ImportState(
        id=answer["id"],
        place=place,
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
        # Most likely somebody else's answer, a proxy's page or half a line: the file is fetched again.
        raise Wait(
            LabelboxError(
                f"A status of import {state.name} in Labelbox is not of the form expected, JSON: {error}.",
                code="import_status_form",
                hint="Labelbox may have changed its status format.",
                **_facts(state.place, state.name),
            )
        ) from None
    return ImportedRow(
        uuid=row.uuid,
        data_row_id=row.dataRow.id if row.dataRow else None,
        ok=row.status == "SUCCESS",
        errors=tuple(ImportFailure(e.name or "Error", e.message or "") for e in row.errors or ()),
    )
