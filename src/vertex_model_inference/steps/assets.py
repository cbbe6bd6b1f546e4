"""assets: every row gets something the model can read, or an outcome that says why not.

A ``gs://`` asset in a bucket that the model's region can read stays where it is. Anything else is copied once, under
the hash of its content, and remembered: neither a second run nor a second row with the same picture copies again.
Of pictures only the header is read, for type and size, but for those that must become PNGs (``conversion.py``). Bytes
are streamed: what one shard holds of them in memory and in files is bounded (``fetch.Room``), however many rows are
under way and however large they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import NamedTuple, NoReturn, TypeVar

import msgspec

from vertex_model_inference.errors import AssetError, NotFoundError, StorageError, VmiError
from vertex_model_inference.models import Predictor
from vertex_model_inference.outcomes import Outcome
from vertex_model_inference.rows import DataRow, MediaType
from vertex_model_inference.spec import Staged
from vertex_model_inference.steps.addresses import place_of
from vertex_model_inference.steps.context import Context, failed, read_rows, skipped, write_structs
from vertex_model_inference.steps.conversion import CONVERTED, NOTE, as_png, converted_key
from vertex_model_inference.steps.fetch import Fetcher, Room
from vertex_model_inference.steps.halting import unless_halted
from vertex_model_inference.steps.instances import Template, template_of
from vertex_model_inference.steps.media import (
    AUTOML_IMAGES,
    GEMINI_IMAGES,
    HEADER_BYTES,
    ImageHeader,
    extension,
    image_header,
    is_url,
    looks_like_url,
)
from vertex_model_inference.steps.pressure import Limiter
from vertex_model_inference.steps.readable import FILES, unreadable
from vertex_model_inference.steps.reading import Reader
from vertex_model_inference.steps.renewing import may_have_expired, renew
from vertex_model_inference.steps.spool import Spooled
from vertex_model_inference.steps.staging import stage_file, stage_text, stage_tiles
from vertex_model_inference.steps.texts import TEXTUAL
from vertex_model_inference.steps.video_files import AUTOML_VIDEOS, GEMINI_VIDEOS, VideoHeader, video_header
from vertex_model_inference.steps.video_staging import look, staged_video
from vertex_model_inference.storage.index import Copy, source_key
from vertex_model_inference.storage.store import Store
from vertex_model_inference.storage.sweeping import generation

__all__ = ["AssetsDone", "stage_shard"]

_ASSETS = "assets"
_AT_ONCE = 96
"""Rows under way: more than the limiter's slots, so that none is ever free."""
_SMALL_AT_ONCE, _LARGE_AT_ONCE = 64, 1
"""Assets that are sent to storage at once: small ones whole, and large ones in parts, two of them in memory."""
_CONVERSIONS = 1
"""Pictures that are decoded at the same time: each may take several hundred megabytes."""
_LOOKS = 4
"""Videos whose headers are read at the same time: each takes a thread, and a few megabytes for its table of frames."""
T = TypeVar("T")


class AssetsDone(NamedTuple):
    """What staging a shard came to: rows ready for the model, rows that ended here, assets copied and found copied."""

    staged: int
    ended: int
    copied: int
    reused: int


class _Ended(Exception):  # noqa: N818  # carries an outcome out of a row's own coroutine
    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.code)
        self.outcome = outcome


def stage_shard(context: Context, shard: int) -> AssetsDone:
    """Stage one shard; writes ``staged/`` and ``ended/assets-``.

    Raises:
        StorageError: The run's own files cannot be written. Everything else is a row's outcome.
        HaltedError: The run is halted.
    """
    context.halt.check()
    return asyncio.run(_stage(context, shard))


async def _stage(context: Context, shard: int) -> AssetsDone:
    rows = read_rows(context, shard)
    limiter = Limiter(start=32, ceiling=64, service="assets")
    settings = context.settings
    sources = {row.id: source_key(row.id, row.row_data) for row in rows if is_url(row.row_data)}
    wanted = list(sources.values())
    if context.spec.option.gemini is not None:
        wanted += [converted_key(source) for source in sources.values()]
    swept = generation(context.store)
    known = context.index.find(wanted, swept)
    room = Room(settings.data_dir.absolute() / "tmp")
    async with Fetcher(
        limiter,
        max_bytes=int(settings.max_asset_mb * 1_000_000),
        room=room,
        allowed_hosts=settings.asset_hosts,
    ) as fetcher:
        stager = _Stager(context, fetcher, limiter, room, known, sources)
        results = await unless_halted(context.halt, _all(context, stager, rows), grace_s=0)
    if stager.fresh:
        context.index.add(stager.fresh, swept)
    if results is None:
        context.halt.check()
        results = []
    staged = [result for result in results if isinstance(result, Staged)]
    ended = [result for result in results if isinstance(result, Outcome)]
    write_structs(context, context.files.ended("assets", shard), ended)
    write_structs(context, context.files.shard("staged", shard), staged)
    return AssetsDone(len(staged), len(ended), stager.copied, stager.reused)


async def _all(context: Context, stager: _Stager, rows: Sequence[DataRow]) -> list[Staged | Outcome]:
    """Stage all rows; those whose signed addresses have expired meanwhile with fresh ones, once."""
    results = await stager.all(rows)
    dead = [row for row, result in zip(rows, results, strict=True) if may_have_expired(row, result)]
    if not dead or not context.renewals.worth:
        return results
    fresh = await asyncio.to_thread(renew, context, dead)
    again = stager.renewed(list(fresh.values()))
    staged = dict(zip(fresh, await stager.all(again), strict=True))
    context.renewals.helped(any(isinstance(result, Staged) for result in staged.values()))
    return [staged.get(row.id, result) for row, result in zip(rows, results, strict=True)]


class _Stager:
    """Stages the rows of one shard."""

    def __init__(
        self,
        context: Context,
        fetcher: Fetcher,
        limiter: Limiter,
        room: Room,
        known: dict[str, Copy],
        sources: dict[str, str],
    ) -> None:
        self.context = context
        self._fetcher = fetcher
        self.reader = Reader(context.buckets, fetcher, limiter)
        self._limiter = limiter
        self._room = room
        # Apart from the limiter's slots: who holds bytes must not wait for one who waits for room for bytes.
        self._small, self._large = asyncio.Semaphore(_SMALL_AT_ONCE), asyncio.Semaphore(_LARGE_AT_ONCE)
        self._known = known
        self._sources = sources
        self._looks = asyncio.Semaphore(_LOOKS)
        self._conversions = asyncio.Semaphore(_CONVERSIONS)
        self._templates: dict[MediaType, Template] = {}
        self.fresh: dict[str, Copy] = {}
        self.copied = 0
        self.reused = 0

    async def all(self, rows: Sequence[DataRow]) -> list[Staged | Outcome]:
        """Stage all rows, some at the same time; what came of each, in the rows' order."""
        results: list[Staged | Outcome | None] = [None] * len(rows)
        left = iter(enumerate(rows))

        async def work() -> None:
            for number, row in left:
                results[number] = await self.row(row)
                self.context.tell("assets", 1)

        async with asyncio.TaskGroup() as workers:
            for _ in range(min(_AT_ONCE, len(rows))):
                workers.create_task(work())
        return [result for result in results if result is not None]

    def renewed(self, rows: list[DataRow]) -> list[DataRow]:
        """Take note of rows' fresh addresses; gives the rows."""
        self._sources.update({row.id: source_key(row.id, row.row_data) for row in rows if is_url(row.row_data)})
        return rows

    async def row(self, row: DataRow) -> Staged | Outcome:
        try:
            return await self._row(row)
        except _Ended as ended:
            return ended.outcome
        except VmiError as error:
            return failed(row.id, row.global_key, "assets", error.error_code, str(error), retryable=error.retryable)
        except Exception as error:  # noqa: BLE001  # a row's surprise must not take its neighbours with it
            message = f"Staging the asset failed unexpectedly ({type(error).__name__})."
            return failed(row.id, row.global_key, "assets", "asset_unexpected", message, retryable=True)

    async def _row(self, row: DataRow) -> Staged:
        if looks_like_url(row.row_data) and not is_url(row.row_data):
            raise AssetError(
                f"{place_of(row.row_data)} is not an address that assets are read from.",
                code="asset_url",
                hint="Use https://, http:// or gs://.",
            )
        reason = unreadable(row.media_type, self.context.spec.option.task)
        if reason is not None:
            self.skip(row, "unsupported_media", reason)
        template = self._templates.get(row.media_type)
        if template is None:
            template = self._templates[row.media_type] = template_of(self.context.spec.option, row.media_type)
        if row.media_type in TEXTUAL:
            return await stage_text(self, row, template)
        if row.media_type in FILES:
            return await stage_file(self, row, template)
        if row.media_type is MediaType.VIDEO:
            return await self._video(row, template)
        if row.media_type is MediaType.TILED_IMAGE:
            return stage_tiles(self, row, template)
        return await self._image(row, template)

    def skip(self, row: DataRow, code: str, message: str) -> NoReturn:
        raise _Ended(skipped(row.id, row.global_key, "assets", code, message))

    async def _video(self, row: DataRow, template: Template) -> Staged:
        """A video: where it is when the model can read it there, however large; only its header is read."""
        url = row.row_data
        if not is_url(url):
            raise AssetError("The row has no URL of a video.", code="asset_url")
        known = self.known(row)
        if url.startswith("gs://") and await self.near(url):
            uri, size, header = url, *await self._look(row, *self.context.buckets.of(url))
        elif not template.needs_uri and not template.needs_bytes:
            return Staged(data_row_id=row.id, mime_type=row.mime_type)
        elif known is not None:
            uri = self.context.store.uri(known.path)
            size, header = await self._look(row, self.context.store, known.path)
            self.reused += 1
        else:
            with await self.opened(row) as asset:
                source = asset.data if asset.in_memory else asset.file()
                header = await asyncio.to_thread(video_header, source, f"data row {row.id}")
                self._accept(row, header.mime_type, video=True)
                size, uri = asset.size, (await self.copy(row, asset, header.mime_type)).uri or ""
        self._accept(row, header.mime_type, video=True)
        return await staged_video(self.context, row, header, uri, size)

    async def _look(self, row: DataRow, store: Store, path: str) -> tuple[int, VideoHeader]:
        async with self._looks:
            return await self._head(row, asyncio.to_thread(look, store, path, f"data row {row.id}"))

    async def near(self, url: str) -> bool:
        """Whether the model's region can read the ``gs://`` object's bucket."""
        option = self.context.spec.option
        if option.predictor is not Predictor.BATCH:
            return True
        region = option.model.location if option.model else self.context.settings.region
        return await asyncio.to_thread(self.context.regions.readable, url.split("/", 3)[2], region)

    async def opened(self, row: DataRow) -> Spooled:
        """The row's bytes: of its copy where there is one, else from where they are."""
        known = self.known(row)
        if known is not None:
            return await self._read(row, self.context.store, known.path)
        if row.row_data.startswith("gs://"):
            return await self._read(row, *self.context.buckets.of(row.row_data))
        return await self._fetcher.fetch(row.row_data)

    def known(self, row: DataRow) -> Copy | None:
        """The copy of the row's asset that an earlier row or run made."""
        return self._known.get(self._sources[row.id])

    def reuse(self, row: DataRow, copy: Copy) -> Staged:
        """A copy that is there already."""
        self.reused += 1
        return _staged(row, self.context.store.uri(copy.path), copy)

    async def _image(self, row: DataRow, template: Template) -> Staged:
        url = row.row_data
        if not is_url(url):
            raise AssetError("The row has no URL of a picture.", code="asset_url")
        if url.startswith("gs://"):
            staged = await self._in_place(row)
            if staged is not None:
                return staged
        elif not template.needs_uri and not template.needs_bytes:
            return Staged(data_row_id=row.id, mime_type=row.mime_type, width=row.width, height=row.height)
        changed = self._known.get(converted_key(self._sources[row.id]))
        if changed is not None:
            return _noted(self.reuse(row, changed))
        known = self.known(row)
        if known is not None and not self._to_convert(known.mime_type):
            self._accept(row, known.mime_type)
            return self.reuse(row, known)
        with await self.opened(row) as asset:
            source = asset.data if asset.in_memory else asset.file()
            header = image_header(source, whole=True, name=f"data row {row.id}", claimed=asset.content_type)
            if self._to_convert(header.mime_type):
                return await self._convert(row, asset, header)
            self._accept(row, header.mime_type)
            return await self.copy(row, asset, *header)

    def _to_convert(self, mime_type: str) -> bool:
        """Whether the picture must become another: Gemini refuses what people's pictures may well be."""
        return self.context.spec.option.gemini is not None and mime_type not in GEMINI_IMAGES

    async def _convert(self, row: DataRow, asset: Spooled, header: ImageHeader) -> Staged:
        """A PNG in place of the picture; it is remembered apart from copies of the picture itself."""
        async with self._conversions:
            source = asset.data if asset.in_memory else asset.file()
            made = await asyncio.to_thread(as_png, source, f"data row {row.id}")
        staged = await self.copy(
            row, Spooled.of(made), CONVERTED, header.width, header.height, source=converted_key(self._sources[row.id])
        )
        return _noted(staged)

    async def _read(self, row: DataRow, store: Store, path: str) -> Spooled:
        """An object of Cloud Storage."""
        async with self._limiter.slot():
            size, chunks = await self._head(row, store.astream(path), slot=False)
            self._check_size(size)
            stay = await self._room.enter(size)
            try:
                async for chunk in chunks:
                    await stay.add(chunk, size)
                return stay.spool.done(on_close=stay.leave)
            except BaseException:
                stay.spool.drop()
                stay.leave()
                raise

    async def _in_place(self, row: DataRow) -> Staged | None:
        """The row's own ``gs://`` object, when the model's region can read it, and the model the picture."""
        store, path = self.context.buckets.of(row.row_data)
        if not await self.near(row.row_data):
            return None
        head, size = await self._head(row, store.ahead(path, HEADER_BYTES))
        self._check_size(size)
        header = image_header(head, whole=size <= len(head), name=f"data row {row.id}")
        if self._to_convert(header.mime_type):
            return None
        self._accept(row, header.mime_type)
        return _staged(row, row.row_data, Copy("", header.mime_type, size, *header[1:]))

    def _check_size(self, size: int) -> None:
        limit = self.context.settings.max_asset_mb
        if size > limit * 1_000_000:
            raise AssetError(
                f"The asset is {size / 1e6:.1f} MB; at most {limit:g} MB are sent to the model.",
                code="asset_too_large",
                hint="Raise VMI_MAX_ASSET_MB if the model can take it.",
            )

    def _accept(self, row: DataRow, mime_type: str, *, video: bool = False) -> None:
        option = self.context.spec.option
        takes = None
        if option.gemini is not None:
            takes = GEMINI_VIDEOS if video else GEMINI_IMAGES
        elif option.model is not None and option.model.automl:
            takes = AUTOML_VIDEOS if video else AUTOML_IMAGES
        if takes is not None and mime_type not in takes:
            kinds = ", ".join(sorted(kind.partition("/")[2] for kind in takes))
            what = "video" if video else "picture"
            self.skip(row, "unsupported_type", f"The {what} is {mime_type}; the model takes {kinds}.")

    async def copy(
        self,
        row: DataRow,
        asset: Spooled | bytes,
        mime: str,
        width: int | None = None,
        height: int | None = None,
        orientation: int | None = None,
        *,
        source: str | None = None,
    ) -> Staged:
        if isinstance(asset, bytes):
            asset = Spooled.of(asset)
        path = f"{_ASSETS}/{asset.digest[:2]}/{asset.digest}.{extension(mime)}"
        store = self.context.store
        if asset.in_memory:
            async with self._small:
                written = await store.aput_new(path, asset.data)
        else:
            async with self._large:
                written = await store.aput_new_file(path, asset.file())
        if written:
            self.copied += 1
        else:
            self.reused += 1
        copy = Copy(path, mime, asset.size, width, height, orientation)
        key = source or self._sources.get(row.id)
        if key is not None:
            self.fresh[key] = copy
        return _staged(row, store.uri(path), copy)

    async def _head(self, row: DataRow, reading: Awaitable[T], *, slot: bool = True) -> T:
        try:
            if not slot:  # the caller has one
                return await reading
            async with self._limiter.slot():
                return await reading
        except NotFoundError:
            raise AssetError(
                f"{row.row_data} does not exist.",
                code="asset_not_found",
                hint="Check the data row's URL in Labelbox.",
            ) from None
        except StorageError as error:
            raise AssetError(
                f"{row.row_data} cannot be read: {error.message}",
                code="asset_forbidden",
                hint="Give our service account storage.objectViewer on the bucket.",
                retryable=True,
            ) from None


def _noted(staged: Staged) -> Staged:
    return msgspec.structs.replace(staged, notes=(NOTE,))


def _staged(row: DataRow, uri: str, copy: Copy) -> Staged:
    return Staged(
        data_row_id=row.id,
        uri=uri,
        mime_type=copy.mime_type,
        width=copy.width,
        height=copy.height,
        size=copy.size,
        orientation=copy.orientation,
    )
