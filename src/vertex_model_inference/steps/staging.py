"""Texts, documents, sounds and tiled images: what a model is sent of a row that is no picture."""

from __future__ import annotations

import asyncio
from typing import NoReturn, Protocol

import msgspec

from vertex_model_inference.errors import AssetError
from vertex_model_inference.labelbox.text_layers import written
from vertex_model_inference.rows import DataRow, MediaType
from vertex_model_inference.spec import Staged
from vertex_model_inference.steps.context import Context
from vertex_model_inference.steps.instances import Template
from vertex_model_inference.steps.media import is_url
from vertex_model_inference.steps.pages import page_sizes, page_texts
from vertex_model_inference.steps.readable import audio_type
from vertex_model_inference.steps.reading import Reader
from vertex_model_inference.steps.sources import TEXT_BYTES, read_text_layer
from vertex_model_inference.steps.spool import Spooled
from vertex_model_inference.steps.texts import source_of_text
from vertex_model_inference.storage.index import Copy

__all__ = ["Stager", "stage_file", "stage_text", "stage_tiles"]


class Stager(Protocol):
    """What staging a row can ask for.

    Attributes:
        context: The run.
        reader: Reads small assets whole.
    """

    context: Context
    reader: Reader

    def skip(self, row: DataRow, code: str, message: str) -> NoReturn:
        """End the row: the model cannot take it."""

    def known(self, row: DataRow) -> Copy | None:
        """The copy of the row's asset that an earlier row or run made."""

    def reuse(self, row: DataRow, copy: Copy) -> Staged:
        """A copy that is there already."""

    async def opened(self, row: DataRow) -> Spooled:
        """The row's bytes, for the caller to close."""

    async def near(self, url: str) -> bool:
        """Whether the model's region can read the ``gs://`` object's bucket."""

    async def copy(self, row: DataRow, asset: Spooled | bytes, mime: str) -> Staged:
        """Bring the bytes to where the model can read them."""


async def stage_text(stager: Stager, row: DataRow, template: Template) -> Staged:
    """A text, HTML or a conversation, read whole.

    Raises:
        AssetError: It cannot be read, or is not what its medium should be.
    """
    data = await stager.reader.read(row.row_data, TEXT_BYTES) if is_url(row.row_data) else row.row_data.encode()
    source = source_of_text(data, row.media_type, row.id)
    text = source.text or ""
    if not text.strip():
        stager.skip(row, "asset_empty", "The text is empty.")
    mime = "text/plain"
    if row.media_type is not MediaType.TEXT:
        model = stager.context.spec.option.model
        if model is not None and model.automl:
            data = text.encode()  # its models read plain text only
        else:
            mime = "text/html" if row.media_type is MediaType.HTML else "application/json"
    uri = None
    if template.needs_uri or template.needs_bytes:
        uri = (await stager.copy(row, data, mime)).uri
    return Staged(
        data_row_id=row.id,
        uri=uri,
        text=text if template.needs_text else None,
        mime_type=mime,
        size=len(data),
        text_length=len(text) if row.media_type is MediaType.TEXT else None,
        messages=source.messages if template.needs_messages else (),
    )


async def stage_file(stager: Stager, row: DataRow, template: Template) -> Staged:
    """A document or a sound: what is wrong with it is known before anything is spent.

    Raises:
        AssetError: It cannot be read, or is not what its medium should be.
    """
    url = row.row_data
    if not is_url(url):
        raise AssetError(f"The row has no URL of its {row.media_type.value}.", code="asset_url")
    known = stager.known(row)
    with await stager.opened(row) as asset:
        sizes: tuple[tuple[float, float], ...] = ()
        if row.media_type is MediaType.DOCUMENT:
            mime = "application/pdf"
            sizes = await asyncio.to_thread(page_sizes, asset.file(), row.id)
        else:
            mime = audio_type(asset.file().read(16), row)
        text = await _words(stager, row, sizes, asset) if template.needs_text else None
        staged = Staged(data_row_id=row.id, mime_type=mime, size=asset.size)
        if template.needs_uri or template.needs_bytes:
            if known is not None:
                staged = stager.reuse(row, known)
            elif url.startswith("gs://") and await stager.near(url):
                staged = msgspec.structs.replace(staged, uri=url)
            else:
                staged = await stager.copy(row, asset, mime)
    return msgspec.structs.replace(staged, text=text, page_sizes=sizes)


async def _words(stager: Stager, row: DataRow, sizes: tuple[tuple[float, float], ...], asset: Spooled) -> str:
    """The text of a document: of its text layer, in which entities can be found again, else of the file."""
    if row.media_type is not MediaType.DOCUMENT:
        stager.skip(row, "unsupported_media", f"The model takes texts; the row is {row.media_type.value}.")
    pages = await read_text_layer(stager.reader, msgspec.structs.replace(row, page_sizes=sizes))
    texts = () if pages else await asyncio.to_thread(page_texts, asset.file(), row.id)
    text = written(pages)[0] if pages else "\f".join(texts)
    if not text.strip():
        stager.skip(row, "asset_empty", "There is no text in the document, which may be a scan without text layer.")
    return text


def stage_tiles(stager: Stager, row: DataRow, template: Template) -> Staged:
    """A tiled image: nothing of it is read."""
    if template.needs_uri or template.needs_bytes or template.needs_text:
        stager.skip(
            row,
            "unsupported_media",
            "A tiled image is many pictures, none of which stands for all of it; "
            "only a model whose instance template needs no more than {url} can be sent it.",
        )
    return Staged(data_row_id=row.id, mime_type=row.mime_type)
