"""What a run would do, before it is begun: rows, how many are done already, bytes, jobs, time and cost.

The model run is exported as a run exports it, and its rows are looked up as a run looks them up; nothing is copied,
sent to the model or uploaded. What cannot be known before is said to be unknown.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator

import msgspec

from vertex_model_inference.errors import NotFoundError, RowError, SettingsError, VmiError
from vertex_model_inference.labelbox.exports import parse_export_row
from vertex_model_inference.models import ModelOption, Predictor
from vertex_model_inference.prices import Cost, cost_of
from vertex_model_inference.rows import DataRow, MediaType
from vertex_model_inference.runs.asking import spec_of
from vertex_model_inference.runs.figures import last_pace
from vertex_model_inference.runs.progress import read_status
from vertex_model_inference.runs.surroundings import Surroundings
from vertex_model_inference.spec import run_id_of
from vertex_model_inference.steps import fingerprints, memory
from vertex_model_inference.steps.choosing import Chooser, Way
from vertex_model_inference.steps.context import Context
from vertex_model_inference.steps.destinations import in_force
from vertex_model_inference.steps.fetch import Fetcher
from vertex_model_inference.steps.instances import Template, template_of
from vertex_model_inference.steps.media import is_url, presumed
from vertex_model_inference.steps.memory import Memory
from vertex_model_inference.steps.pressure import Limiter
from vertex_model_inference.steps.readable import unreadable
from vertex_model_inference.storage.index import source_key
from vertex_model_inference.storage.sweeping import generation

__all__ = ["Copies", "Plan", "plan_run"]

_ASKED_MOST = 40
"""Assets whose size is asked for."""
_ASKING_S = 15.0
_LOOK_UP = 500
_EXPORT_S = 2 * 60 * 60


class Copies(msgspec.Struct, frozen=True):
    """Assets to be brought to the bucket.

    Attributes:
        rows: How many. ``there``: copied by earlier runs; ``in_place``: read where they are.
        bytes: Of all of them, estimated; None: no server said.
        asked: From so many sizes, of rows picked by chance.
    """

    rows: int
    there: int
    in_place: int
    bytes: int | None
    asked: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a run would do.

    Attributes:
        model_run_id: Labelbox's. ``option``: the model.
        run_id: That the run would have. ``running``: a run that goes on, which a new request would join.
        rows: Data rows of the model run; ``media``: by media type; ``unreadable``: lines of the export that are no row.
        as_they_were: Rows for which nothing would be done.
        read_again: Rows whose kept answers would be read again, without asking the model.
        to_model: Rows that the model would be sent. ``not_taken``: others, by why the model cannot take them.
        copies: Assets to be copied.
        jobs: Batch prediction jobs; 0: the model is asked row by row.
        seconds: Until the end, estimated; None: unknown. ``pace``: from what, or why it is unknown.
        cost: Of the model.
        problems: What would keep the run, or some of its rows, from ending well. ``notes``: what is worth knowing.
    """

    model_run_id: str
    option: str
    run_id: str
    running: str | None
    rows: int
    unreadable: int
    media: dict[str, int]
    as_they_were: int
    read_again: int
    to_model: int
    not_taken: dict[str, int]
    copies: Copies
    jobs: int
    seconds: float | None
    pace: str
    cost: Cost
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def plan_run(
    surroundings: Surroundings, model_run_id: str, option: ModelOption, *, rerun: str | None = None, ask: bool = True
) -> Plan:
    """What a run of a model over a model run would do now.

    Args:
        surroundings: The gateways.
        model_run_id: Labelbox's id.
        option: The model.
        rerun: As of ``RunSpec``; None: as the model's section has it.
        ask: Ask servers for sizes of assets.

    Raises:
        NotFoundError: There is no such model run.
        LabelboxError: Labelbox did not answer, or the export failed.
        StorageError: Storage did not answer.
    """
    store = surroundings.store
    attempt, running = 0, None
    while (status := read_status(store, run_id_of(model_run_id, option.name, attempt))) is not None:
        if not status.state.ended:
            running = status.run_id
            break
        attempt += 1
    spec = spec_of(
        surroundings.settings, run_id_of(model_run_id, option.name, attempt), model_run_id, option, rerun=rerun
    )
    context = surroundings.looking(spec)
    info = context.labelbox.model_run(model_run_id)
    ontology = msgspec.json.encode(context.labelbox.ontology(info.ontology_id))
    own = fingerprints.fingerprints(spec, ontology)
    built = memory.build(store, spec, in_force(context), own) if spec.follows else None
    chooser = None if built is None else Chooser(spec.rerun, own, Memory(*built))
    count = _Count(context, chooser)
    for row in _rows(context, count):
        count.add(row)
    count.settle()
    regions = _regions(context, count.buckets)
    size, asked = _sizes(context, count.sample) if ask else (None, 0)
    found = last_pace(store, option.name)
    seconds, pace = None, "unknown: no run of this model with ten rows or more has ended well yet"
    if count.ways[Way.WORK] + count.ways[Way.AGAIN] == 0:
        seconds, pace = None, "seconds: nothing is sent to the model"
    elif found is not None and found.seconds > 0:
        seconds = count.ways[Way.WORK] / found.rows * found.seconds
        pace = f"at {found.rows / found.seconds:,.1f} rows/s, as run {found.run_id} of {found.rows:,} rows went"
    return Plan(
        model_run_id=model_run_id,
        option=option.name,
        run_id=spec.run_id,
        running=running,
        rows=count.rows,
        unreadable=count.unreadable,
        media=dict(count.media.most_common()),
        as_they_were=count.ways[Way.CARRIED],
        read_again=count.ways[Way.AGAIN],
        to_model=count.ways[Way.WORK],
        not_taken=dict(count.not_taken.most_common()),
        copies=Copies(
            count.copies, count.there, count.in_place, None if size is None else int(size * count.copies), asked
        ),
        jobs=-(-count.ways[Way.WORK] // spec.job_rows) if option.predictor is Predictor.BATCH else 0,
        seconds=seconds,
        pace=pace,
        cost=cost_of(option, count.ways[Way.WORK], None if found is None else found.figures),
        problems=tuple(regions.problems + count.problems),
        notes=tuple(regions.notes),
    )


def _rows(context: Context, count: _Count) -> Iterator[DataRow]:
    labelbox = context.labelbox
    task = labelbox.start_export(context.spec.model_run_id, f"vmi-plan-{context.spec.run_id}")
    labelbox.wait_export(task, _EXPORT_S)
    for chunk in labelbox.export_chunks(task):
        for line in labelbox.read_chunk(task, chunk):
            try:
                row = parse_export_row(line, context.spec.model_run_id)
            except RowError:
                count.unreadable += 1
                continue
            yield presumed(row, context.spec.option.task)


class _Count:
    """Adds rows up; what is held of them does not grow but for the sample."""

    def __init__(self, context: Context, chooser: Chooser | None) -> None:
        self._context = context
        self._chooser = chooser
        self._templates: dict[MediaType, Template | None] = {}
        self._waiting: list[DataRow] = []
        self._random = random.Random(0)  # noqa: S311  # the same rows are asked for each time
        self.rows = self.unreadable = self.copies = self.there = self.in_place = 0
        self.media: Counter[str] = Counter()
        self.ways: Counter[Way] = Counter()
        self.not_taken: Counter[str] = Counter()
        self.buckets: Counter[str] = Counter()
        self.sample: list[str] = []
        self.problems: list[str] = []

    def add(self, row: DataRow) -> None:
        """Count one row."""
        self.rows += 1
        self.media[row.media_type.value] += 1
        way = Way.WORK if self._chooser is None else self._chooser.choose(row).way
        if way is Way.WORK:
            reason = unreadable(row.media_type, self._context.spec.option.task)
            if reason is not None:
                self.not_taken[reason] += 1
                return
        self.ways[way] += 1
        if way is Way.WORK and self._wants_asset(row):
            self._waiting.append(row)
            if len(self._waiting) >= _LOOK_UP:
                self.settle()

    def settle(self) -> None:
        """Look up which of the waiting rows' assets are copied already."""
        rows, self._waiting = self._waiting, []
        known = self._context.index.find(
            [source_key(row.id, row.row_data) for row in rows], generation(self._context.store)
        )
        for row in rows:
            if row.row_data.startswith("gs://"):
                bucket = row.row_data.split("/", 3)[2]
                self.buckets[bucket] += 1
                if self._near(bucket):
                    self.in_place += 1
                    continue
            if source_key(row.id, row.row_data) in known:
                self.there += 1
                continue
            self.copies += 1
            # A sample of fixed size, each row as likely as any other.
            if len(self.sample) < _ASKED_MOST:
                self.sample.append(row.row_data)
            elif (place := self._random.randrange(self.copies)) < _ASKED_MOST:
                self.sample[place] = row.row_data

    def _wants_asset(self, row: DataRow) -> bool:
        if not is_url(row.row_data):
            return False
        if row.media_type not in self._templates:
            try:
                self._templates[row.media_type] = template_of(self._context.spec.option, row.media_type)
            except SettingsError as error:
                self._templates[row.media_type] = None
                self.problems.append(str(error))
        template = self._templates[row.media_type]
        return template is not None and (template.needs_uri or template.needs_bytes)

    def _near(self, bucket: str) -> bool:
        option = self._context.spec.option
        if option.predictor is not Predictor.BATCH:
            return True
        return self._context.regions.readable(bucket, _region(self._context))


def _region(context: Context) -> str:
    model = context.spec.option.model
    return (model.location if model is not None else "") or context.settings.region


class _Regions:
    def __init__(self) -> None:
        self.problems: list[str] = []
        self.notes: list[str] = []


def _regions(context: Context, buckets: Counter[str]) -> _Regions:
    """Where things are, as far as a job in the model's region can read them."""
    found = _Regions()
    option, settings = context.spec.option, context.settings
    region = _region(context)
    if option.model is not None and region != settings.region:
        found.problems.append(
            f"The model is in {region} and jobs are submitted in {settings.region}: Vertex runs a model only in its "
            f"own region. Set VMI_REGION={region}."
        )
    if option.predictor is not Predictor.BATCH:
        return found
    if not settings.bucket:
        found.problems.append("A batch job reads and writes in a bucket, and none is set. Set VMI_BUCKET.")
        return found
    try:
        location = context.regions.location(settings.bucket)
        if not context.regions.readable(settings.bucket, region):
            found.problems.append(
                f"The bucket {settings.bucket} is in {location}; a job in {region} cannot read from it. Use one in "
                f"{region}, or in the multi-region around it."
            )
    except NotFoundError as error:
        found.problems.append(str(error))
    except VmiError as error:
        found.notes.append(f"Where the bucket {settings.bucket} is could not be seen: {error.message}")
    for bucket, rows in buckets.most_common(10):
        if not context.regions.readable(bucket, region):
            found.notes.append(
                f"{rows:,} rows are in the bucket {bucket} at {context.regions.location(bucket)}, which a job in "
                f"{region} cannot read: they are copied."
            )
    return found


def _sizes(context: Context, urls: list[str]) -> tuple[float | None, int]:
    """The mean size of the sampled assets, and how many told theirs."""

    async def ask() -> list[int | None]:
        limiter = Limiter(start=16, ceiling=16, service="assets")
        async with Fetcher(limiter, max_bytes=1, allowed_hosts=context.settings.asset_hosts) as fetcher:

            async def one(url: str) -> int | None:
                try:
                    if url.startswith("gs://"):
                        store, path = context.buckets.of(url)
                        return await asyncio.to_thread(store.size, path)
                    return await fetcher.size(url)
                except VmiError:
                    return None

            tasks = [asyncio.create_task(one(url)) for url in urls]
            if tasks:
                _, late = await asyncio.wait(tasks, timeout=_ASKING_S)
                for task in late:
                    task.cancel()
                await asyncio.gather(*late, return_exceptions=True)
            return [task.result() for task in tasks if task.done() and not task.cancelled()]

    sizes = [size for size in asyncio.run(ask()) if size is not None]
    return (sum(sizes) / len(sizes), len(sizes)) if sizes else (None, 0)
