"""What the steps may ask of Labelbox, and the values it answers with. ``client.py`` is the one real implementation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from vertex_model_inference.errors import UploadRefusedError
from vertex_model_inference.ontology import Ontology

__all__ = [
    "BATCH_PRIORITY",
    "BATCH_ROWS",
    "ExportChunk",
    "ExportSize",
    "ImportFailure",
    "ImportPlace",
    "ImportState",
    "ImportedRow",
    "Labelbox",
    "ModelRunInfo",
    "ProjectInfo",
    "Sleep",
    "undisturbed",
]


BATCH_ROWS = 25_000
"""Data rows in a batch at most: what the SDK sends to a project from a model run (``DATAROWS_IMPORT_LIMIT``)."""

BATCH_PRIORITY = 5
"""Of data rows that are put into a project: the lowest, as the SDK's, so that they push nobody else's aside."""


Sleep = Callable[[float], bool]
"""Sleeps for seconds; True: it was woken, and there is nothing left to wait for."""


def undisturbed(seconds: float) -> bool:
    """Sleep undisturbed."""
    time.sleep(seconds)
    return False


class ModelRunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A model run and what it belongs to."""

    id: str
    name: str
    model_id: str
    model_name: str
    ontology_id: str


class ProjectInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A project and the ontology that people label with there; None: it has none yet."""

    id: str
    name: str
    ontology: Ontology | None


class ExportSize(msgspec.Struct, frozen=True, kw_only=True):
    """How much a finished export holds: bytes of NDJSON, and lines, which are data rows."""

    total_bytes: int
    total_lines: int


class ExportChunk(msgspec.Struct, frozen=True, kw_only=True):
    """One file of an export.

    Attributes:
        start: Offset of its first byte in the whole export.
        end: Offset of its last byte, inclusive.
        first_line: Number of its first line, from 0; ``last_line`` likewise, inclusive.
        url: Where to fetch it; signed, expires, never logged.
    """

    start: int
    end: int
    first_line: int
    last_line: int
    url: str

    @property
    def size(self) -> int:
        """Bytes of the file, after content decoding."""
        return self.end - self.start + 1


class ImportPlace(msgspec.Struct, frozen=True):
    """Where an import goes.

    Attributes:
        kind: ``model-run`` (predictions) or ``project`` (pre-labels).
        id: Labelbox's id of the model run or project.
    """

    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind.replace('-', ' ')} {self.id}"


class ImportState(msgspec.Struct, frozen=True, kw_only=True):
    """An import of predictions or pre-labels.

    Attributes:
        id: Labelbox's id of the import.
        place: Where it goes.
        name: The name we gave it; unique in that place.
        state: ``RUNNING``, ``FINISHED`` or ``FAILED``.
        progress: ``"42%"`` or None.
        status_url: NDJSON with one status for each line sent, once finished; expires after 24 hours.
        error_url: The failed ones among them.
    """

    id: str
    place: ImportPlace
    name: str
    state: str
    progress: str | None = None
    status_url: str | None = None
    error_url: str | None = None

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self.state != "RUNNING"


class ImportFailure(msgspec.Struct, frozen=True):
    """Why Labelbox refused one line: its own name for the error, and its words."""

    name: str
    message: str

    @property
    def duplicate(self) -> bool:
        """The line was refused for nothing but an annotation of its uuid that is there already.

        Labelbox documents no name for this; what its errors say is read: a uuid that is duplicate, used, or exists.
        """
        said = f"{self.name} {self.message}".lower()
        return "uuid" in said and any(word in said for word in ("duplicate", "already", "exists", "not unique"))


class ImportedRow(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one line of an import.

    Attributes:
        uuid: Of the annotation, as sent; None when the line had none or could not be read.
        data_row_id: Labelbox's data row id; None when the line names no known row.
        ok: Whether the annotation is there now.
        errors: Why not.
    """

    uuid: str | None
    data_row_id: str | None
    ok: bool
    errors: tuple[ImportFailure, ...] = ()


class Labelbox(Protocol):
    """The control plane and the bytes of Labelbox. Safe to call from several threads.

    Every method raises ``LabelboxError`` when Labelbox refuses or does not answer in spite of bounded retries; its
    ``retryable`` says whether the same call can succeed later. No message ever holds the API key or a signed URL.
    """

    def model_run(self, model_run_id: str) -> ModelRunInfo:
        """The model run and its model.

        Raises:
            NotFoundError: There is none, or the API key may not see it.
        """
        ...

    def ontology(self, ontology_id: str) -> Ontology:
        """The ontology, whole.

        Raises:
            NotFoundError: There is none.
        """
        ...

    def set_status(
        self,
        model_run_id: str,
        status: str,
        *,
        error_message: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Show a status on the model run.

        Args:
            model_run_id: The model run.
            status: ``EXPORTING_DATA``, ``PREPARING_DATA``, ``TRAINING_MODEL``, ``COMPLETE`` or ``FAILED``.
            error_message: Plain words for people; what was set before stays when None.
            metadata: JSON values; Labelbox merges them into what is there.
        """
        ...

    def start_export(self, model_run_id: str, name: str) -> str:
        """Start an export of all data rows with details, splits and labels, no predictions; returns the task id."""
        ...

    def start_rows_export(self, ids: Sequence[str], name: str) -> str:
        """Start an export of these data rows, wherever they are, at most 2,000; returns the task id."""
        ...

    def wait_export(self, task_id: str, timeout_s: float, sleep: Sleep = undisturbed) -> ExportSize:
        """Wait until the export is done.

        Args:
            task_id: From ``start_export``.
            timeout_s: Seconds to wait at most.
            sleep: Sleeps so many seconds; True: wait no longer.

        Raises:
            LabelboxError: ``export_left``, when ``sleep`` says so.
            LabelboxError: ``export_failed``, ``export_timeout`` (retryable), or ``export_expired`` (retryable with a
                new export) when Labelbox does not know the task (any more).
        """
        ...

    def export_chunks(self, task_id: str, offset: int = 0) -> Iterator[ExportChunk]:
        """The export's files in order, from the one that holds byte ``offset`` on."""
        ...

    def read_chunk(self, task_id: str, chunk: ExportChunk) -> Iterator[bytes]:
        """The lines of one file, without line ends, streamed; each exactly once in spite of failed downloads."""
        ...

    def import_refusal(self) -> UploadRefusedError | None:
        """Whether Labelbox refuses predictions in model runs altogether; None: it does not, or does not say.

        Asked without effect: with an import into a model run that does not exist.
        """
        ...

    def start_import(self, place: ImportPlace, name: str, ndjson: bytes) -> ImportState:
        """Import predictions under a name; when an import of that name exists already, that one is returned.

        Raises:
            UploadRefusedError: Labelbox refuses imports into model runs altogether.
        """
        ...

    def find_import(self, place: ImportPlace, name: str) -> ImportState | None:
        """The import of that name, None when there is none."""
        ...

    def wait_import(self, place: ImportPlace, name: str, timeout_s: float) -> ImportState:
        """Wait until the import has ended; its end is seen within a second.

        Raises:
            LabelboxError: ``import_timeout`` (retryable) or ``import_unknown``.
        """
        ...

    def import_statuses(self, state: ImportState) -> Iterator[ImportedRow]:
        """What became of each line of an import that has ended, streamed.

        Raises:
            LabelboxError: ``import_failed`` when Labelbox gave up the import as a whole.
        """
        ...

    def project(self, project_id: str) -> ProjectInfo:
        """The project and its ontology.

        Raises:
            NotFoundError: There is none, or the API key may not see it.
        """
        ...

    def show_pre_labels(self, project_id: str) -> None:
        """Let labelers see pre-labels (model-assisted labelling); again is the same as once.

        Raises:
            LabelboxError: ``pre_labels_hidden`` when Labelbox leaves it off.
        """
        ...

    def rows_in_project(self, project_id: str, data_row_ids: Sequence[str]) -> set[str]:
        """Those of the data rows that a batch of the project has, by an export of at most 2,000 rows at a time."""
        ...

    def batch(self, project_id: str, name: str) -> str:
        """The id of the project's batch of that name, which is made empty when there is none."""
        ...

    def fill_batch(self, project_id: str, batch_id: str, data_row_ids: Sequence[str], priority: int) -> None:
        """Put data rows into a batch and wait until they are there.

        Args:
            project_id: Of the batch.
            batch_id: Of ``batch``.
            data_row_ids: At most ``BATCH_ROWS``.
            priority: 1 (highest) to 5.

        Raises:
            LabelboxError: ``batch_failed``.
        """
        ...

    def close(self) -> None:
        """Close connections."""
        ...
