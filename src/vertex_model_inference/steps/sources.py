"""What the model read of a shard's rows, got again for those rows where places must be found in it, and only for them.

A quotation, or a span of characters in a conversation or document, means nothing without the text that it is of. Texts
that were sent inline are in the shard's own files; others are read again, from where they were read before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from vertex_model_inference.errors import VmiError
from vertex_model_inference.labelbox.text_layers import pages_of
from vertex_model_inference.rows import DataRow, MediaType
from vertex_model_inference.sources import Page, Source
from vertex_model_inference.spec import Staged
from vertex_model_inference.steps.context import Context
from vertex_model_inference.steps.fetch import Fetcher
from vertex_model_inference.steps.media import is_url
from vertex_model_inference.steps.pressure import Limiter
from vertex_model_inference.steps.reading import Reader
from vertex_model_inference.steps.texts import TEXTUAL, source_of_text

__all__ = ["TEXT_BYTES", "read_text_layer", "sources_of"]

TEXT_BYTES = 10 << 20
"""Bytes of a text, a conversation or a text layer that are read at most."""


def sources_of(context: Context, rows: Sequence[DataRow], staged: Mapping[str, Staged]) -> dict[str, Source | VmiError]:
    """What the model read of some rows; of a row where that cannot be read, why.

    Args:
        context: The run.
        rows: Few enough that their texts can be held in memory.
        staged: Of at least these rows, by data row id.
    """
    found: dict[str, Source | VmiError] = {}
    away: list[DataRow] = []
    for row in rows:
        text = staged[row.id].text
        if row.media_type is MediaType.TEXT and text is not None:
            found[row.id] = Source(text=text)
        elif row.media_type in TEXTUAL and not is_url(row.row_data):
            found[row.id] = _inline(row)
        elif row.media_type in TEXTUAL or row.text_layer:
            away.append(row)
        else:
            found[row.id] = Source()
    if away:
        found.update(asyncio.run(_read(context, away)))
    return found


def _inline(row: DataRow) -> Source | VmiError:
    try:
        return source_of_text(row.row_data.encode(), row.media_type, row.id)
    except VmiError as error:
        return error


async def _read(context: Context, rows: Sequence[DataRow]) -> dict[str, Source | VmiError]:
    limiter = Limiter(start=16, ceiling=32)
    settings = context.settings
    async with Fetcher(limiter, max_bytes=TEXT_BYTES, allowed_hosts=settings.asset_hosts) as fetcher:
        reader = Reader(context.buckets, fetcher, limiter)

        async def one(row: DataRow) -> Source | VmiError:
            try:
                if row.media_type in TEXTUAL:
                    return source_of_text(await reader.read(row.row_data, TEXT_BYTES), row.media_type, row.id)
                return Source(pages=await read_text_layer(reader, row))
            except VmiError as error:
                return error

        read = await asyncio.gather(*(one(row) for row in rows))
    return {row.id: source for row, source in zip(rows, read, strict=True)}


async def read_text_layer(reader: Reader, row: DataRow) -> tuple[Page, ...]:
    """The pages of a document's text layer; none where the data row has no text layer.

    Raises:
        AssetError: It cannot be read, or is not of Labelbox's form.
    """
    if not row.text_layer:
        return ()
    return pages_of(await reader.read(row.text_layer, TEXT_BYTES), row.id, row.page_sizes)
