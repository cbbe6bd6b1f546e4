"""assets: every row gets something the model can read, or an outcome that says why not.

A ``gs://`` asset in a bucket that the model's region can read stays where it is. Anything else is copied once, under
the hash of its content, and remembered: neither a second run nor a second row with the same picture copies again.
Pictures are never decoded; their header is read for type and size. Bytes are streamed: what one shard holds of them in
memory and in files is bounded (``fetch.Room``), however many rows are under way and however large they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import NamedTuple, NoReturn, TypeVar

import msgspec

from vertex_model_inference.errors import AssetError, NotFoundError, StorageError, VmiError
from vertex_model_inference.labelbox.text_layers import written
from vertex_model_inference.models import Predictor
from vertex_model_inference.outcomes import Outcome
from vertex_model_inference.rows import DataRow, MediaType
from vertex_model_inference.spec import Staged
from vertex_model_inference.steps.context import Context, failed, read_rows, skipped, write_structs
from vertex_model_inference.steps.fetch import Fetcher, Room
from vertex_model_inference.steps.instances import Template, template_of
from vertex_model_inference.steps.media import HEADER_BYTES, extension, image_header, is_url
from vertex_model_inference.steps.pages import page_sizes, page_texts
from vertex_model_inference.steps.pressure import Limiter
from vertex_model_inference.steps.readable import FILES, audio_type, unreadable
from vertex_model_inference.steps.reading import Reader
from vertex_model_inference.steps.sources import TEXT_BYTES, read_text_layer
from vertex_model_inference.steps.spool import Spooled
from vertex_model_inference.steps.texts import TEXTUAL, source_of_text
from vertex_model_inference.storage.index import Copy, source_key

__all__ = ["AssetsDone", "stage_shard"]

# Vertex's instance schema for image models (image_classification_1.0.0.yaml and image_object_detection_1.0.0.yaml).
_AUTOML_IMAGES = frozenset(
    ("image/jpeg", "image/gif", "image/png", "image/webp", "image/bmp", "image/tiff", "image/vnd.microsoft.icon")
)
_ASSETS = "assets"
_AT_ONCE = 96
"""Rows under way: more than the limiter's slots, so that none is ever free."""
_SMALL_AT_ONCE, _LARGE_AT_ONCE = 64, 2
"""Assets that are sent to storage at once: small ones whole, and large ones in parts, some in memory."""
_FILES_AT_ONCE = 3
"""Documents and sounds that are read whole at once: each may be as large as any asset."""
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
    """
    return asyncio.run(_stage(context, shard))


async def _stage(context: Context, shard: int) -> AssetsDone:
    rows = read_rows(context, shard)
    limiter = Limiter(start=32, ceiling=64, service="assets")
    settings = context.settings
    sources = {row.id: source_key(row.id, row.row_data) for row in rows if is_url(row.row_data)}
    known = context.index.find(sources.values())
    room = Room(settings.data_dir.absolute() / "tmp")
    async with Fetcher(
        limiter,
        max_bytes=int(settings.max_asset_mb * 1_000_000),
        room=room,
        allowed_hosts=settings.asset_hosts,
    ) as fetcher:
        stager = _Stager(context, fetcher, limiter, room, known, sources)
        results = await stager.all(rows)
    if stager.fresh:
        context.index.add(stager.fresh)
    staged = [result for result in results if isinstance(result, Staged)]
    ended = [result for result in results if isinstance(result, Outcome)]
    write_structs(context, context.files.ended("assets", shard), ended)
    write_structs(context, context.files.shard("staged", shard), staged)
    return AssetsDone(len(staged), len(ended), stager.copied, stager.reused)


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
        self._context = context
        self._fetcher = fetcher
        self._reader = Reader(context.buckets, fetcher, limiter)
        self._limiter = limiter
        self._room = room
        # Apart from the limiter's slots: who holds bytes must not wait for one who waits for room for bytes.
        self._small, self._large = asyncio.Semaphore(_SMALL_AT_ONCE), asyncio.Semaphore(_LARGE_AT_ONCE)
        self._files = asyncio.Semaphore(_FILES_AT_ONCE)
        self._known = known
        self._sources = sources
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
                self._context.tell("assets", 1)

        async with asyncio.TaskGroup() as workers:
            for _ in range(min(_AT_ONCE, len(rows))):
                workers.create_task(work())
        return [result for result in results if result is not None]

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
        reason = unreadable(row.media_type, self._context.spec.option.task)
        if reason is not None:
            self._skip(row, "unsupported_media", reason)
        template = self._templates.get(row.media_type)
        if template is None:
            template = self._templates[row.media_type] = template_of(self._context.spec.option, row.media_type)
        if row.media_type in TEXTUAL:
            return await self._text(row, template)
        if row.media_type in FILES:
            async with self._files:
                return await self._file(row, template)
        if row.media_type is MediaType.TILED_IMAGE:
            return self._tiles(row, template)
        return await self._image(row, template)

    def _skip(self, row: DataRow, code: str, message: str) -> NoReturn:
        raise _Ended(skipped(row.id, row.global_key, "assets", code, message))

    async def _text(self, row: DataRow, template: Template) -> Staged:
        data = await self._reader.read(row.row_data, TEXT_BYTES) if is_url(row.row_data) else row.row_data.encode()
        source = source_of_text(data, row.media_type, row.id)
        text = source.text or ""
        if not text.strip():
            self._skip(row, "asset_empty", "The text is empty.")
        mime = "text/plain"
        if row.media_type is not MediaType.TEXT:
            model = self._context.spec.option.model
            if model is not None and model.automl:
                data = text.encode()  # its models read plain text only
            else:
                mime = "text/html" if row.media_type is MediaType.HTML else "application/json"
        uri = None
        if template.needs_uri or template.needs_bytes:
            uri = (await self._copy(row, data, mime)).uri
        return Staged(
            data_row_id=row.id,
            uri=uri,
            text=text if template.needs_text else None,
            mime_type=mime,
            size=len(data),
            text_length=len(text) if row.media_type is MediaType.TEXT else None,
            messages=source.messages if template.needs_messages else (),
        )

    async def _file(self, row: DataRow, template: Template) -> Staged:
        """A document or a sound, read whole: what is wrong with it is known before anything is spent."""
        url = row.row_data
        if not is_url(url):
            raise AssetError(f"The row has no URL of its {row.media_type.value}.", code="asset_url")
        known = self._known.get(self._sources[row.id])
        most = int(self._context.settings.max_asset_mb * 1_000_000)
        if known is not None:
            data = await self._context.store.aget(known.path)
        else:
            data = await self._reader.read(url, most)
        sizes: tuple[tuple[float, float], ...] = ()
        if row.media_type is MediaType.DOCUMENT:
            mime = "application/pdf"
            sizes = await asyncio.to_thread(page_sizes, data, row.id)
        else:
            mime = audio_type(data[:16], row)
        text = await self._words(row, sizes, data) if template.needs_text else None
        staged = Staged(data_row_id=row.id, mime_type=mime, size=len(data))
        if template.needs_uri or template.needs_bytes:
            if known is not None:
                self.reused += 1
                staged = _staged(row, self._context.store.uri(known.path), known)
            elif url.startswith("gs://") and await self._near(url):
                staged = msgspec.structs.replace(staged, uri=url)
            else:
                staged = await self._copy(row, data, mime)
        return msgspec.structs.replace(staged, text=text, page_sizes=sizes)

    async def _words(self, row: DataRow, sizes: tuple[tuple[float, float], ...], data: bytes) -> str:
        """The text of a document: of its text layer, in which entities can be found again, else of the file."""
        if row.media_type is not MediaType.DOCUMENT:
            self._skip(row, "unsupported_media", f"The model takes texts; the row is {row.media_type.value}.")
        pages = await read_text_layer(self._reader, msgspec.structs.replace(row, page_sizes=sizes))
        text = written(pages)[0] if pages else "\f".join(await asyncio.to_thread(page_texts, data, row.id))
        if not text.strip():
            self._skip(row, "asset_empty", "There is no text in the document, which may be a scan without text layer.")
        return text

    def _tiles(self, row: DataRow, template: Template) -> Staged:
        if template.needs_uri or template.needs_bytes or template.needs_text:
            self._skip(
                row,
                "unsupported_media",
                "A tiled image is many pictures, none of which stands for all of it; "
                "only a model whose instance template needs no more than {url} can be sent it.",
            )
        return Staged(data_row_id=row.id, mime_type=row.mime_type)

    async def _near(self, url: str) -> bool:
        """Whether the model's region can read the object's bucket."""
        option = self._context.spec.option
        if option.predictor is not Predictor.BATCH:
            return True
        region = option.model.location if option.model else self._context.settings.region
        return await asyncio.to_thread(self._context.regions.readable, url.split("/", 3)[2], region)

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
        known = self._known.get(self._sources[row.id])
        if known is not None:
            self._accept(row, known.mime_type)
            self.reused += 1
            return _staged(row, self._context.store.uri(known.path), known)
        with await (self._read(row) if url.startswith("gs://") else self._fetcher.fetch(url)) as asset:
            source = asset.data if asset.in_memory else asset.file()
            header = image_header(source, whole=True, name=f"data row {row.id}", claimed=asset.content_type)
            self._accept(row, header.mime_type)
            return await self._copy(row, asset, header.mime_type, header.width, header.height, header.orientation)

    async def _read(self, row: DataRow) -> Spooled:
        """The row's ``gs://`` object, from a bucket that the model's region cannot read."""
        store, path = self._context.buckets.of(row.row_data)
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
        """The row's own ``gs://`` object, when the model's region can read it."""
        store, path = self._context.buckets.of(row.row_data)
        if not await self._near(row.row_data):
            return None
        head, size = await self._head(row, store.ahead(path, HEADER_BYTES))
        self._check_size(size)
        header = image_header(head, whole=size <= len(head), name=f"data row {row.id}")
        self._accept(row, header.mime_type)
        return _staged(row, row.row_data, Copy("", header.mime_type, size, *header[1:]))

    def _check_size(self, size: int) -> None:
        limit = self._context.settings.max_asset_mb
        if size > limit * 1_000_000:
            raise AssetError(
                f"The asset is {size / 1e6:.1f} MB; at most {limit:g} MB are sent to the model.",
                code="asset_too_large",
                hint="Raise VMI_MAX_ASSET_MB if the model can take it.",
            )

    def _accept(self, row: DataRow, mime_type: str) -> None:
        model = self._context.spec.option.model
        if model is not None and model.automl and mime_type not in _AUTOML_IMAGES:
            kinds = ", ".join(sorted(kind.removeprefix("image/") for kind in _AUTOML_IMAGES))
            self._skip(row, "unsupported_type", f"The picture is {mime_type}; the model takes {kinds}.")

    async def _copy(
        self,
        row: DataRow,
        asset: Spooled | bytes,
        mime: str,
        width: int | None = None,
        height: int | None = None,
        orientation: int | None = None,
    ) -> Staged:
        if isinstance(asset, bytes):
            asset = Spooled.of(asset)
        path = f"{_ASSETS}/{asset.digest[:2]}/{asset.digest}.{extension(mime)}"
        store = self._context.store
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
        if row.id in self._sources:
            self.fresh[self._sources[row.id]] = copy
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
