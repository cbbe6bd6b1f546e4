"""Bringing a data set into a running sandbox, through the SDKs' own calls.

Seeding the same data set again makes a fresh model run over the same data rows, and nothing twice: how far it came is
kept in the bucket (``seeds/NAME.json``), so an interrupted seeding goes on where it was.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from vertex_model_inference.errors import LabelboxError, RequestError
from vertex_model_inference.rows import MediaType, Split
from vertex_model_inference.sandbox.datasets.bucket import Bucket, SeedRecord
from vertex_model_inference.sandbox.datasets.material import Families, Material, SeedRow
from vertex_model_inference.sandbox.datasets.registry import upload_model
from vertex_model_inference.sandbox.datasets.target import Target

__all__ = ["Seeded", "seed"]

_MEDIA_TYPES = {
    MediaType.IMAGE: "Image",
    MediaType.TEXT: "Text",
    MediaType.DOCUMENT: "Document",
    MediaType.VIDEO: "Video",
    MediaType.CONVERSATION: "Conversational",
}
_ROW_TYPES = {MediaType.DOCUMENT: "PDF", MediaType.CONVERSATION: "CONVERSATIONAL"}
SLICE = 900  # rows of one call; the SDK makes batches of 1,000 and more asynchronously

Tell = Callable[[str], None]


class Seeded(msgspec.Struct, frozen=True, kw_only=True):
    """What is in the sandbox after seeding.

    Attributes:
        name: The data set.
        dataset_id: Labelbox's dataset; likewise ``project_id``, ``ontology_id`` and ``model_id``.
        model_run_id: The fresh model run. ``model_run_name``: its name.
        vertex_model: ``projects/P/locations/L/models/ID``. ``vertex_model_version``: its version.
        display_name: Of the Vertex model.
        families: Display names of the models that answer as other families do.
        rows: Data rows in the run. ``labels``: how many of them carry ground truth.
        splits: Split -> number of rows.
        measured: What was measured of the model on rows it was not trained on.
    """

    name: str
    dataset_id: str
    project_id: str
    ontology_id: str
    model_id: str
    model_run_id: str
    model_run_name: str
    vertex_model: str
    vertex_model_version: str
    display_name: str
    rows: int
    labels: int
    splits: dict[str, int]
    measured: dict[str, float]
    families: tuple[str, ...] = ()


def _slices(rows: list[SeedRow], start: int) -> Iterator[tuple[list[SeedRow], int]]:
    """The rows from ``start`` in slices, each with how many rows are done after it."""
    for first in range(start, len(rows), SLICE):
        part = rows[first : first + SLICE]
        yield part, first + len(part)


def _sdk_errors() -> tuple[type[Exception], ...]:
    """Every error that the SDK defines: not all of them derive from its LabelboxError."""
    from lbox import exceptions

    return tuple(c for c in vars(exceptions).values() if isinstance(c, type) and issubclass(c, Exception))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the SDK from warning of "errors" where an unknown global key is the expected answer."""
    logger = logging.getLogger("labelbox.client")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _attach(what: str, call: Callable[..., Any], **arguments: Any) -> None:
    """One of the SDK's calls that wait for a task of the model run."""
    try:
        call(**arguments)
    except _sdk_errors():
        raise
    except Exception as error:  # noqa: BLE001  # the SDK raises a bare Exception when such a task fails
        raise LabelboxError(f"The {what} could not be put into the model run: {error}") from None


class _Seeder:
    def __init__(self, material: Material, target: Target, tell: Tell) -> None:
        from labelbox import Client

        self.material = material
        self.target = target
        self.tell = tell
        self.bucket = Bucket(target)
        self.client: Any = Client(
            api_key=target.api_key,
            endpoint=f"{target.labelbox_url}/graphql",
            rest_endpoint=f"{target.labelbox_url}/api/v1",
            enable_experimental=True,
        )

    def seed(self, rows: list[SeedRow], *, families: bool) -> Seeded:
        plan = self.material.model()
        self.tell(f"Model {plan.display_name}: {plan.description}")
        vertex_model, version = upload_model(plan, self.target, self.bucket)
        others = self.material.families() if families and isinstance(self.material, Families) else []
        for other in others:
            self.tell(f"Model {other.display_name}")
            upload_model(other, self.target, self.bucket)
        record = self._record()
        self._create_rows(record, rows)
        self._label_rows(record, rows)
        run = self._model_run(record, rows)
        splits: dict[str, int] = {}
        for row in rows:
            splits[row.split.value] = splits.get(row.split.value, 0) + 1
        return Seeded(
            name=self.material.name,
            dataset_id=record.dataset_id,
            project_id=record.project_id,
            ontology_id=record.ontology_id,
            model_id=record.model_id,
            model_run_id=run.uid,
            model_run_name=run.name,
            vertex_model=vertex_model,
            vertex_model_version=version,
            display_name=plan.display_name,
            rows=len(rows),
            labels=sum(bool(self.material.truth(row)) for row in rows),
            splits=splits,
            measured=plan.measured,
            families=tuple(other.display_name for other in others),
        )

    def _save(self, record: SeedRecord) -> None:
        self.bucket.save(self.material.name, record)

    def _record(self) -> SeedRecord:
        """The data set's Labelbox objects: those that were made before, and new ones for those that are missing."""
        from labelbox.schema.media_type import MediaType as LabelboxMediaType

        name = self.material.name
        record = self.bucket.load(name) or SeedRecord()
        if not self._exist(record):
            self.tell("What was seeded before has been deleted; starting over.")
            record = SeedRecord()
        media_type = LabelboxMediaType[_MEDIA_TYPES[self.material.media_type]]
        # Kept one by one: an interrupted seeding leaves nothing behind that the next would make again.
        if not record.ontology_id:
            ontology = self.client.create_ontology(name, self.material.ontology(), media_type=media_type)
            record.ontology_id = ontology.uid
            self._save(record)
        if not record.dataset_id:
            record.dataset_id = self.client.create_dataset(name=name).uid
            self._save(record)
        if not record.project_id:
            record.project_id = self.client.create_project(name=name, media_type=media_type).uid
            self._save(record)
        if not record.model_id:
            project = self.client.get_project(record.project_id)
            project.connect_ontology(self.client.get_ontology(record.ontology_id))
            record.model_id = self.client.create_model(name=name, ontology_id=record.ontology_id).uid
            self._save(record)
        return record

    def _exist(self, record: SeedRecord) -> bool:
        from lbox.exceptions import ResourceNotFoundError

        try:
            for get, uid in (
                (self.client.get_ontology, record.ontology_id),
                (self.client.get_dataset, record.dataset_id),
                (self.client.get_project, record.project_id),
                (self.client.get_model, record.model_id),
            ):
                if uid:
                    get(uid)
        except ResourceNotFoundError:
            return False
        return True

    def _object(self, row: SeedRow) -> str:
        return f"datasets/{self.material.name}/{row.key}.{row.mime_type.rpartition('/')[2]}"

    def _layer(self, row: SeedRow) -> str:
        return f"datasets/{self.material.name}/{row.key}.text-layer.json"

    def _row_data(self, row: SeedRow) -> str | dict[str, str]:
        if row.text is not None:
            return row.text
        uri = self.bucket.uri(self._object(row))
        return uri if row.text_layer is None else {"pdf_url": uri, "text_layer_url": self.bucket.uri(self._layer(row))}

    def _create_rows(self, record: SeedRecord, rows: list[SeedRow]) -> None:
        dataset = self.client.get_dataset(record.dataset_id)
        for part, done in _slices(rows, record.created):
            self.tell(f"Data rows: {done} of {len(rows)}")
            self.bucket.put({self._object(row): (row.data, row.mime_type) for row in part if row.data is not None})
            layers = {self._layer(row): row.text_layer for row in part if row.text_layer is not None}
            if layers:
                self.bucket.put({name: (layer, "application/json") for name, layer in layers.items()})
            keys = [row.key for row in part]
            # Rows of an interrupted or deleted seeding are there already; a global key exists once.
            with _quiet():
                known = self.client.get_data_row_ids_for_global_keys(keys)
            missing = {error["global_key"] for error in known["errors"]}
            items = [
                {
                    "row_data": self._row_data(row),
                    "global_key": row.key,
                    "external_id": row.key,
                    "media_type": _ROW_TYPES.get(self.material.media_type, self.material.media_type.value.upper()),
                }
                for row in part
                if row.key in missing
            ]
            if items:
                task = dataset.create_data_rows(items)
                task.wait_till_done()
                if task.status != "COMPLETE" or task.errors:
                    raise LabelboxError(f"The data rows could not be created: {str(task.errors)[:500]}")
            record.created = done
            self._save(record)

    def _label_rows(self, record: SeedRecord, rows: list[SeedRow]) -> None:
        project = self.client.get_project(record.project_id)
        for part, done in _slices(rows, record.batched):
            project.create_batch(f"{self.material.name} {uuid.uuid4()}", global_keys=[row.key for row in part])
            record.batched = done
            self._save(record)
        for part, done in _slices(rows, record.labelled):
            self.tell(f"Labels: {done} of {len(rows)}")
            self._import_labels(record.project_id, part)
            record.labelled = done
            record.labels_run_id = ""
            self._save(record)

    def _import_labels(self, project_id: str, rows: list[SeedRow]) -> None:
        from labelbox import LabelImport

        labels = [
            {"uuid": str(uuid.uuid4()), "dataRow": {"globalKey": row.key}, **annotation}
            for row in rows
            for annotation in self.material.truth(row)
        ]
        if not labels:
            return
        job = LabelImport.create_from_objects(self.client, project_id, f"{self.material.name} {uuid.uuid4()}", labels)
        job.wait_till_done(sleep_time_seconds=1)
        failed = [status for status in job.statuses if status["status"] != "SUCCESS"]
        if failed or len(job.statuses) != len(labels):
            first = str(failed[0]["errors"])[:500] if failed else f"{len(job.statuses)} statuses came back"
            raise LabelboxError(f"{len(failed)} of {len(labels)} labels were refused: {first}")

    def _model_run(self, record: SeedRecord, rows: list[SeedRow]) -> Any:
        """A fresh model run with the rows, their labels and their splits."""
        model = self.client.get_model(record.model_id)
        run = model.create_model_run(f"{self.material.name} {record.runs + 1}", config={"dataset": self.material.name})
        record.runs += 1
        self._save(record)
        self.tell(f"Model run {run.name}: {run.uid}")
        keys = [row.key for row in rows]
        _attach("data rows", run.upsert_data_rows, global_keys=keys)
        if any(self.material.truth(row) for row in rows):
            if len(rows) == record.labelled:
                _attach("labels", run.upsert_labels, project_id=record.project_id)
                record.labels_run_id = run.uid
                self._save(record)
            else:
                _attach("labels", run.upsert_labels, label_ids=self._label_ids(record, set(keys)))
        for split in Split:
            mine = [row.key for row in rows if row.split is split]
            if mine and split is not Split.UNASSIGNED:
                _attach("splits", run.assign_data_rows_to_split, split=split.value.upper(), global_keys=mine)
        return run

    def _label_ids(self, record: SeedRecord, keys: set[str]) -> list[str]:
        """The labels of some of the project's rows: a whole project's labels would bring all of its rows along."""
        if not record.labels_run_id:
            model = self.client.get_model(record.model_id)
            run = model.create_model_run(f"{self.material.name} labels", config={"dataset": self.material.name})
            _attach("labels", run.upsert_labels, project_id=record.project_id)
            record.labels_run_id = run.uid
            self._save(record)
        run = self.client.get_model_run(record.labels_run_id)
        return [row.label_id for row in run.model_run_data_rows() if row.data_row().global_key in keys and row.label_id]


def seed(
    material: Material,
    target: Target,
    *,
    rows: int | None = None,
    families: bool = False,
    tell: Tell = lambda _: None,
) -> Seeded:
    """Bring a data set, its labels, splits and model into a running sandbox, in a fresh model run.

    Args:
        material: The data set.
        target: The sandbox; ``Target.check`` is called first.
        rows: How many rows; None: the data set's own default.
        families: Bring the data set's model in the forms of other model families too.
        tell: Told what is going on, one line at a time.

    Raises:
        SettingsError: No sandbox answers, or the data set's file is missing.
        RequestError: ``rows`` is less than 1 or more than there are.
        LabelboxError, StorageError, VertexError: A server refused.
    """
    target.check()
    everything = material.rows()
    wanted = rows if rows is not None else material.default_rows or len(everything)
    if not 1 <= wanted <= len(everything):
        raise RequestError(f"{wanted} rows of {material.name} were asked for; there are 1 to {len(everything)}.")
    try:
        return _Seeder(material, target, tell).seed(everything[:wanted], families=families)
    except _sdk_errors() as error:
        raise LabelboxError(f"Labelbox refused while {material.name} was seeded: {error}") from None
