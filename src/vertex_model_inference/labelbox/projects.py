"""Projects that get pre-labels: their ontology, which data rows they have, and batches for those they have not.

Calls are those of the SDK's ``Project`` and ``Batch`` (labelbox 7.17.0, ``schema/project.py``). There a batch of 1,000
rows and more is made empty and filled by a task (``_create_batch_async``); here every batch is, so that making it and
filling it can each be found to have happened.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from vertex_model_inference.errors import LabelboxError, NotFoundError
from vertex_model_inference.labelbox.connection import Connection
from vertex_model_inference.labelbox.export_task import Exports
from vertex_model_inference.labelbox.gateway import ProjectInfo
from vertex_model_inference.labelbox.ontologies import parse_ontology
from vertex_model_inference.labelbox.retry import retrying

__all__ = ["Projects"]

_PROJECT = "query GetProjectPyApi($param_0: ID!){project(where: {id: $param_0}){name id}}"
_ONTOLOGY = (
    "query GetProjectOntologyPyApi($param_0: ID!){project(where: {id: $param_0})"
    "{ontology{name normalized mediaType id}}}"
)
_SHOW = (
    "mutation toggle_model_assisted_labelingPyApi($project_id: ID!, $show: Boolean!) "
    "{project(where: {id: $project_id }) {showPredictionsToLabelers(show: $show) {id, showingPredictionsToLabelers}}}"
)
_EXPORT = (
    "mutation exportDataRowsInProjectPyApi($input: ExportDataRowsInProjectInput!)"
    "{exportDataRowsInProject(input: $input){taskId isStreamable}}"
)
_BATCHES = (
    "query GetProjectBatchesPyApi($from: String, $first: PageSize, $projectId: ID!) {project(where: {id: $projectId}) "
    "{id batches(after: $from, first: $first) { nodes { name id } pageInfo { endCursor }}}}"
)
_MAKE = (
    "mutation createEmptyBatchPyApi($projectId: ID!, $input: CreateEmptyBatchInput!) "
    "{project(where: {id: $projectId}) {createEmptyBatch(input: $input) {id}}}"
)
_FILL = (
    "mutation addDataRowsToBatchAsyncPyApi($projectId: ID!, $input: AddDataRowsToBatchInput!) "
    "{project(where: {id: $projectId}) {addDataRowsToBatchAsync(input: $input) {taskId}}}"
)
_EXPORT_IDS = 2_000
"""Ids in the filter of an export at most (``SEARCH_LIMIT_PER_EXPORT_V2``)."""

_EXPORT_TIMEOUT_S = 600.0
_FILL_TIMEOUT_S = 1800.0
_PAGE = 100


class _Row(msgspec.Struct):
    id: str


class _Line(msgspec.Struct):
    data_row: _Row


_LINE = msgspec.json.Decoder(_Line)


class Projects:
    """What ``Labelbox`` promises about projects, on a connection."""

    def __init__(self, connection: Connection, exports: Exports) -> None:
        self._connection = connection
        self._exports = exports

    def info(self, project_id: str) -> ProjectInfo:
        """See ``Labelbox.project``."""
        found = self._project(_PROJECT, {"param_0": project_id}, project_id)
        ontology = self._project(_ONTOLOGY, {"param_0": project_id}, project_id).get("ontology")
        return ProjectInfo(
            id=project_id,
            name=found.get("name") or "",
            ontology=None if not ontology else parse_ontology(ontology),
        )

    def show(self, project_id: str) -> None:
        """See ``Labelbox.show_pre_labels``."""
        answer = self._project(_SHOW, {"project_id": project_id, "show": True}, project_id)
        if not (answer.get("showPredictionsToLabelers") or {}).get("showingPredictionsToLabelers"):
            raise LabelboxError(
                f"Labelbox does not show pre-labels to the labelers of project {project_id}.",
                code="pre_labels_hidden",
                hint="Turn on model-assisted labelling in the project's settings, or use another destination.",
                project_id=project_id,
            )

    def having(self, project_id: str, data_row_ids: Sequence[str]) -> set[str]:
        """See ``Labelbox.rows_in_project``."""
        found: set[str] = set()
        for start in range(0, len(data_row_ids), _EXPORT_IDS):
            task = self._export(project_id, data_row_ids[start : start + _EXPORT_IDS])
            self._exports.wait(task, _EXPORT_TIMEOUT_S)
            for chunk in self._exports.chunks(task, 0):
                for line in self._exports.lines(task, chunk):
                    try:
                        found.add(_LINE.decode(line).data_row.id)
                    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                        raise LabelboxError(
                            f"A line of the export of project {project_id} is not of the form expected: {error}.",
                            code="export_form",
                            hint="Labelbox may have changed its export format.",
                            project_id=project_id,
                        ) from None
        return found

    def _export(self, project_id: str, data_row_ids: Sequence[str]) -> str:
        included = ("Attachments", "Embeddings", "Metadata", "DataRowDetails", "ProjectDetails", "PerformanceDetails")
        params: dict[str, Any] = {f"include{name}": False for name in (*included, "LabelDetails", "InterpolatedFrames")}
        query = [{"ids": list(data_row_ids), "operator": "is", "type": "data_row_id"}]
        answer = self._connection.execute(
            _EXPORT,
            {
                "input": {
                    "taskName": "vmi-rows-of-project",
                    "isStreamableReady": True,
                    "filters": {"projectId": project_id, "searchQuery": {"scope": None, "query": query}},
                    "params": {"mediaTypeOverride": None, **params},
                    "streamable": True,
                }
            },
            project_id=project_id,
        )
        started = (answer or {}).get("exportDataRowsInProject")
        if not started or not started.get("taskId"):
            raise LabelboxError(
                f"Labelbox did not start an export of project {project_id}.",
                code="export_failed",
                hint="Does the project still exist?",
                project_id=project_id,
            )
        return str(started["taskId"])

    # -- batches ----------------------------------------------------------------------------------------------------

    def batch(self, project_id: str, name: str) -> str:
        """See ``Labelbox.batch``."""

        def find_or_make() -> str:
            # Looked up before each try, and after a refusal: another shard may have made it in between.
            found = self._find(project_id, name)
            if found is not None:
                return found
            try:
                answer = self._connection.execute_once(
                    _MAKE,
                    {"projectId": project_id, "input": {"name": name, "consensusSettings": None}},
                    experimental=True,
                    project_id=project_id,
                )
            except LabelboxError:
                found = self._find(project_id, name)
                if found is None:
                    raise
                return found
            made = (((answer or {}).get("project") or {}).get("createEmptyBatch") or {}).get("id")
            if not made:
                raise self._missing(project_id)
            return str(made)

        return retrying(find_or_make)

    def _find(self, project_id: str, name: str) -> str | None:
        for batch in self._batches(project_id):
            if batch["name"] == name:
                return str(batch["id"])
        return None

    def _batches(self, project_id: str) -> Iterator[dict[str, Any]]:
        after: str | None = None
        while True:
            variables = {"projectId": project_id, "from": after, "first": _PAGE}
            page = self._project(_BATCHES, variables, project_id, experimental=True)["batches"]
            yield from page["nodes"]
            after = page["pageInfo"]["endCursor"]
            if not after or not page["nodes"]:
                return

    def fill(self, project_id: str, batch_id: str, data_row_ids: Sequence[str], priority: int) -> None:
        """See ``Labelbox.fill_batch``. Sent again after a failure: rows that are in the batch stay there."""
        given = {"batchId": batch_id, "dataRowIds": list(data_row_ids), "globalKeys": None, "priority": priority}
        answer = self._project(_FILL, {"projectId": project_id, "input": given}, project_id, experimental=True)
        task = (answer.get("addDataRowsToBatchAsync") or {}).get("taskId")
        deadline = time.monotonic() + _FILL_TIMEOUT_S
        pause = 0.05
        while True:
            status = self._exports.status(str(task))
            if status == "COMPLETE":
                return
            if status != "IN_PROGRESS" or time.monotonic() > deadline:
                raise LabelboxError(
                    f"Labelbox did not put {len(data_row_ids)} data rows into batch {batch_id} of project {project_id} "
                    f"(its task {task} is {status}).",
                    code="batch_failed",
                    hint="Start the run again; if it stays so, add the data rows to the project by hand.",
                    retryable=True,
                    project_id=project_id,
                )
            time.sleep(pause)
            pause = min(pause * 1.5, 2.0)

    def _project(
        self, query: str, variables: dict[str, Any], project_id: str, *, experimental: bool = False
    ) -> dict[str, Any]:
        answer = self._connection.execute(query, variables, experimental=experimental, project_id=project_id)
        found = (answer or {}).get("project")
        if not found:
            raise self._missing(project_id)
        return dict(found)

    @staticmethod
    def _missing(project_id: str) -> NotFoundError:
        return NotFoundError(
            f"Labelbox knows no project {project_id}.",
            hint="Check the id in VMI_LABELBOX_PROJECT or vmi.toml, and that LABELBOX_API_KEY may see the project.",
            kind="project",
            id=project_id,
        )
