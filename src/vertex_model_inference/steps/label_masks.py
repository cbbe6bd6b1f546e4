"""Masks of labels: pictures behind URLs, fetched once and kept with the run as run lengths."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import msgspec

from vertex_model_inference.annotations import Mask
from vertex_model_inference.errors import AssetError, NotFoundError
from vertex_model_inference.labelbox.export_labels import LabelledRow, LinkedMask
from vertex_model_inference.labelbox.ndjson_reading import mask_of_png
from vertex_model_inference.settings import Settings
from vertex_model_inference.spec import Files
from vertex_model_inference.steps.fetch import Fetcher
from vertex_model_inference.steps.pressure import Limiter
from vertex_model_inference.storage.store import Store

__all__ = ["label_masks"]

_AT_ONCE = 16
_MASK_BYTES = 32 << 20


class _Kept(msgspec.Struct, omit_defaults=True):
    """A line of ``label_masks/00000.jsonl``: a mask, or why there is none."""

    data_row_id: str
    index: int
    counts: str = ""
    width: int = 0
    height: int = 0
    error: str | None = None


_KEPT = msgspec.json.Decoder(_Kept)


def label_masks(
    store: Store, files: Files, shard: int, rows: list[LabelledRow], settings: Settings | None
) -> dict[tuple[str, int], Mask | None]:
    """The masks that the labels of a shard link to.

    Args:
        store: Where the run is. ``files``: its files.
        shard: Number of the shard. ``rows``: its labels.
        settings: Where Labelbox is, and its key, to fetch what was not fetched before; None: fetch nothing.

    Returns:
        Row id and place of the annotation -> the mask; None: it could not be had, which is kept too.
    """
    linked = [
        (row.data_row_id, index, each)
        for row in rows
        for index, each in enumerate(row.annotations)
        if isinstance(each, LinkedMask)
    ]
    if not linked:
        return {}
    path = files.shard("label_masks", shard)
    try:
        kept = {(one.data_row_id, one.index): one for one in map(_KEPT.decode, store.lines(path))}
    except NotFoundError:
        kept = {}
    missing = [(row_id, index, each) for row_id, index, each in linked if (row_id, index) not in kept]
    if missing and settings is not None:
        for one in asyncio.run(_fetch(missing, settings)):
            kept[(one.data_row_id, one.index)] = one
        store.put_lines(path, [msgspec.json.encode(one) for one in kept.values()])
    found: dict[tuple[str, int], Mask | None] = {}
    for row_id, index, each in linked:
        mask = kept.get((row_id, index))
        found[(row_id, index)] = (
            None
            if mask is None or mask.error is not None
            else Mask(
                each.name,
                each.feature_schema_id,
                mask.counts.encode(),
                mask.width,
                mask.height,
                classifications=each.classifications,
            )
        )
    return found


async def _fetch(linked: list[tuple[str, int, LinkedMask]], settings: Settings) -> list[_Kept]:
    """Fetch some masks; the API key goes to Labelbox's own host and to no other."""
    home = urlsplit(settings.labelbox_url)
    key = settings.labelbox_api_key

    def headers(url: str) -> dict[str, str]:
        parts = urlsplit(url)
        ours = (parts.scheme, parts.netloc) == (home.scheme, home.netloc)
        return {"Authorization": f"Bearer {key.get_secret_value()}"} if ours and key is not None else {}

    limiter = Limiter(start=_AT_ONCE, ceiling=4 * _AT_ONCE)
    left = iter(linked)
    done: list[_Kept] = []
    async with Fetcher(
        limiter,
        max_bytes=int(settings.max_asset_mb * 1_000_000),
        allowed_hosts=settings.asset_hosts,
        headers=headers,
    ) as fetcher:

        async def work() -> None:
            for row_id, index, each in left:
                try:
                    with await fetcher.fetch(each.url, _MASK_BYTES) as picture:
                        counts, width, height = mask_of_png(picture.data)
                    done.append(_Kept(row_id, index, counts.decode(), width, height))
                except (AssetError, ValueError) as error:
                    done.append(_Kept(row_id, index, error=str(error)))

        async with asyncio.TaskGroup() as workers:
            for _ in range(min(_AT_ONCE, len(linked))):
                workers.create_task(work())
    return done
