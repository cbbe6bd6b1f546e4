"""The one real ``Labelbox``: the labelbox SDK's client for GraphQL, httpx2 for files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from vertex_model_inference.errors import NotFoundError, UploadRefusedError
from vertex_model_inference.labelbox.connection import Connection
from vertex_model_inference.labelbox.export_task import Exports
from vertex_model_inference.labelbox.gateway import (
    ExportChunk,
    ExportSize,
    ImportedRow,
    ImportPlace,
    ImportState,
    ModelRunInfo,
    ProjectInfo,
    Sleep,
    undisturbed,
)
from vertex_model_inference.labelbox.imports import Imports
from vertex_model_inference.labelbox.ontologies import parse_ontology
from vertex_model_inference.labelbox.projects import Projects
from vertex_model_inference.ontology import Ontology
from vertex_model_inference.settings import Settings

__all__ = ["LabelboxClient"]

_MODEL_RUN = (
    "query GetModelRunPyApi($param_0: ID!){modelRun(where: {id: $param_0})"
    "{createdAt createdBy modelAppId modelId name trainingMetadata id updatedAt}}"
)
_MODEL = "query GetModelPyApi($param_0: ID!){model(where: {id: $param_0}){name ontologyId id}}"
_ONTOLOGY = (
    "query GetOntologyPyApi($param_0: ID!){ontology(where: {id: $param_0}){classificationSchemaCount createdAt "
    "description mediaType name normalized objectSchemaCount id updatedAt}}"
)
_STATUS = (
    "mutation setPipelineStatusPyApi($modelRunId: ID!, $data: UpdateTrainingPipelineInput!)"
    "{ updateTrainingPipeline(modelRun: {id : $modelRunId}, data: $data){status} }"
)


class LabelboxClient:
    """Implements ``gateway.Labelbox``. Costs nothing until the first call; safe to use from several threads.

    Args:
        settings: For the API key and the address.

    Raises:
        SettingsError: There is no API key.
    """

    def __init__(self, settings: Settings) -> None:
        settings.require("labelbox_api_key")
        assert settings.labelbox_api_key is not None, "required above"
        self._connection = Connection(settings.labelbox_api_key, settings.labelbox_url)
        self._exports = Exports(self._connection)
        self._imports = Imports(self._connection)
        self._projects = Projects(self._connection, self._exports)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def model_run(self, model_run_id: str) -> ModelRunInfo:
        """See ``Labelbox.model_run``."""
        run = self._get(_MODEL_RUN, "modelRun", "model run", model_run_id)
        model = self._get(_MODEL, "model", "model", run["modelId"])
        return ModelRunInfo(
            id=run["id"],
            name=run["name"] or "",
            model_id=model["id"],
            model_name=model["name"] or "",
            ontology_id=model["ontologyId"],
        )

    def ontology(self, ontology_id: str) -> Ontology:
        """See ``Labelbox.ontology``."""
        return parse_ontology(self._get(_ONTOLOGY, "ontology", "ontology", ontology_id))

    def set_status(
        self,
        model_run_id: str,
        status: str,
        *,
        error_message: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """See ``Labelbox.set_status``."""
        data: dict[str, Any] = {"status": status}
        if error_message is not None:
            data["errorMessage"] = error_message
        if metadata is not None:
            data["metadata"] = dict(metadata)
        answer = self._connection.execute(
            _STATUS, {"modelRunId": model_run_id, "data": data}, experimental=True, model_run_id=model_run_id
        )
        if answer is None:
            raise _not_found("model run", model_run_id)

    def start_export(self, model_run_id: str, name: str) -> str:
        """See ``Labelbox.start_export``."""
        return self._exports.start(model_run_id, name)

    def start_rows_export(self, ids: Sequence[str], name: str) -> str:
        """See ``Labelbox.start_rows_export``."""
        return self._exports.start_rows(ids, name)

    def wait_export(self, task_id: str, timeout_s: float, sleep: Sleep = undisturbed) -> ExportSize:
        """See ``Labelbox.wait_export``."""
        return self._exports.wait(task_id, timeout_s, sleep)

    def export_chunks(self, task_id: str, offset: int = 0) -> Iterator[ExportChunk]:
        """See ``Labelbox.export_chunks``."""
        return self._exports.chunks(task_id, offset)

    def read_chunk(self, task_id: str, chunk: ExportChunk) -> Iterator[bytes]:
        """See ``Labelbox.read_chunk``."""
        return self._exports.lines(task_id, chunk)

    def import_refusal(self) -> UploadRefusedError | None:
        """See ``Labelbox.import_refusal``."""
        return self._imports.refusal()

    def start_import(self, place: ImportPlace, name: str, ndjson: bytes) -> ImportState:
        """See ``Labelbox.start_import``."""
        return self._imports.start(place, name, ndjson)

    def find_import(self, place: ImportPlace, name: str) -> ImportState | None:
        """See ``Labelbox.find_import``."""
        return self._imports.find(place, name)

    def wait_import(self, place: ImportPlace, name: str, timeout_s: float) -> ImportState:
        """See ``Labelbox.wait_import``."""
        return self._imports.wait(place, name, timeout_s)

    def import_statuses(self, state: ImportState) -> Iterator[ImportedRow]:
        """See ``Labelbox.import_statuses``."""
        return self._imports.statuses(state)

    def project(self, project_id: str) -> ProjectInfo:
        """See ``Labelbox.project``."""
        return self._projects.info(project_id)

    def show_pre_labels(self, project_id: str) -> None:
        """See ``Labelbox.show_pre_labels``."""
        self._projects.show(project_id)

    def rows_in_project(self, project_id: str, data_row_ids: Sequence[str]) -> set[str]:
        """See ``Labelbox.rows_in_project``."""
        return self._projects.having(project_id, data_row_ids)

    def batch(self, project_id: str, name: str) -> str:
        """See ``Labelbox.batch``."""
        return self._projects.batch(project_id, name)

    def fill_batch(self, project_id: str, batch_id: str, data_row_ids: Sequence[str], priority: int) -> None:
        """See ``Labelbox.fill_batch``."""
        self._projects.fill(project_id, batch_id, data_row_ids, priority)

    def close(self) -> None:
        """See ``Labelbox.close``."""
        self._connection.close()

    def _get(self, query: str, field: str, kind: str, identity: str) -> dict[str, Any]:
        context: dict[str, Any] = {f"{kind.replace(' ', '_')}_id": identity}
        answer = self._connection.execute(query, {"param_0": identity}, **context)
        found = (answer or {}).get(field)
        if not found:
            raise _not_found(kind, identity)
        return dict(found)


def _not_found(kind: str, identity: str) -> NotFoundError:
    return NotFoundError(
        f"Labelbox knows no {kind} {identity}.",
        hint="Check the id, and that LABELBOX_API_KEY belongs to the same organization.",
        kind=kind,
        id=identity,
    )
