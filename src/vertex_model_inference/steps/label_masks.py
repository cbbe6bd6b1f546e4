"""Masks behind URLs, of labels and of predictions: fetched once and kept with the run as run lengths."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from vertex_model_inference.annotations import FrameMask, Mask, MaskLink, VideoMask
from vertex_model_inference.errors import NotFoundError, VmiError
from vertex_model_inference.labelbox.export_labels import LabelledRow
from vertex_model_inference.labelbox.linked_masks import LinkedMask, LinkedVideoMask
from vertex_model_inference.labelbox.ndjson_reading import mask_of_png
from vertex_model_inference.settings import Settings
from vertex_model_inference.spec import Files
from vertex_model_inference.steps.fetch import Fetcher
from vertex_model_inference.steps.pressure import Limiter
from vertex_model_inference.storage.places import Buckets, open_bucket
from vertex_model_inference.storage.store import Store

__all__ = ["label_masks", "predicted_masks"]

_AT_ONCE = 16
_MASK_BYTES = 32 << 20
_WHOLE = 0
"""Stands for the frame of what is no video: frames are counted from 1."""

Place = tuple[str, int]
"""A data row's id, and the place of an annotation in it."""


class _Kept(msgspec.Struct, omit_defaults=True):
    """A line of ``label_masks/00000.jsonl`` or ``predicted_masks/``: a mask, or why there is none."""

    data_row_id: str
    index: int
    counts: str = ""
    width: int = 0
    height: int = 0
    error: str | None = None
    frame: int = _WHOLE


_KEPT = msgspec.json.Decoder(_Kept)


class _Wanted(NamedTuple):
    """A picture to fetch: whose mask it is, and the color of its pixels (None: all but black)."""

    data_row_id: str
    annotation: int
    frame: int
    url: str
    color: tuple[int, int, int] | None = None


def label_masks(
    store: Store, files: Files, shard: int, rows: Sequence[LabelledRow], settings: Settings | None
) -> dict[Place, Mask | VideoMask | None]:
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
        if isinstance(each, LinkedMask | LinkedVideoMask)
    ]
    wanted: list[_Wanted] = []
    for row_id, index, each in linked:
        pictures = ((_WHOLE, each.url),) if isinstance(each, LinkedMask) else each.frames
        wanted += [_Wanted(row_id, index, frame, url) for frame, url in pictures]
    kept = _had(store, files.shard("label_masks", shard), wanted, settings, _key_of)
    found: dict[Place, Mask | VideoMask | None] = {}
    for row_id, index, each in linked:
        if isinstance(each, LinkedMask):
            mask = kept.get((row_id, index, _WHOLE))
            found[(row_id, index)] = None if mask is None else _mask(mask, each)
        else:
            frames = [kept.get((row_id, index, frame)) for frame, _ in each.frames]
            found[(row_id, index)] = _video_mask(frames, each)
    return found


def predicted_masks(
    store: Store, files: Files, shard: int, rows: Sequence[tuple[str, int, MaskLink]], settings: Settings | None
) -> dict[Place, Mask | None]:
    """The masks of predictions that are pictures which Labelbox fetches; arguments and result as of ``label_masks``.

    They are fetched without Labelbox's key, since their addresses are the model's.
    """
    wanted = [_Wanted(row_id, index, _WHOLE, link.uri, link.color) for row_id, index, link in rows]
    kept = _had(store, files.shard("predicted_masks", shard), wanted, settings, _no_headers)
    found: dict[Place, Mask | None] = {}
    for row_id, index, link in rows:
        mask = kept.get((row_id, index, _WHOLE))
        found[(row_id, index)] = None if mask is None else _mask(mask, link)
    return found


def _mask(kept: _Kept, link: LinkedMask | MaskLink) -> Mask:
    return Mask(
        link.name,
        link.feature_schema_id,
        kept.counts.encode(),
        kept.width,
        kept.height,
        confidence=link.confidence if isinstance(link, MaskLink) else None,
        classifications=link.classifications,
    )


def _video_mask(frames: list[_Kept | None], link: LinkedVideoMask) -> VideoMask | None:
    """None: a frame could not be had, or they are of different sizes; half of a mask would be judged wrongly."""
    known = [frame for frame in frames if frame is not None]
    sizes = {(frame.width, frame.height) for frame in known}
    if len(known) < len(frames) or len(sizes) != 1:
        return None
    drawn = tuple(FrameMask(frame.frame, frame.counts.encode()) for frame in known)
    return VideoMask(link.name, link.feature_schema_id, drawn, *sizes.pop())


Headers = Callable[[Settings], Callable[[str], dict[str, str]]]


def _had(
    store: Store, path: str, wanted: list[_Wanted], settings: Settings | None, headers: Headers
) -> dict[tuple[str, int, int], _Kept]:
    """Those of the pictures that could be had, now or before, by row, annotation and frame."""
    if not wanted:
        return {}
    try:
        kept = {(one.data_row_id, one.index, one.frame): one for one in map(_KEPT.decode, store.lines(path))}
    except NotFoundError:
        kept = {}
    missing = [one for one in wanted if one[:3] not in kept]
    if missing and settings is not None:
        for one in asyncio.run(_fetch(missing, settings, headers(settings))):
            kept[(one.data_row_id, one.index, one.frame)] = one
        store.put_lines(path, [msgspec.json.encode(one) for one in kept.values()])
    return {place: one for place, one in kept.items() if one.error is None}


def _key_of(settings: Settings) -> Callable[[str], dict[str, str]]:
    """The API key goes to Labelbox's own host and to no other."""
    home = urlsplit(settings.labelbox_url)
    key = settings.labelbox_api_key

    def headers(url: str) -> dict[str, str]:
        parts = urlsplit(url)
        ours = (parts.scheme, parts.netloc) == (home.scheme, home.netloc)
        return {"Authorization": f"Bearer {key.get_secret_value()}"} if ours and key is not None else {}

    return headers


def _no_headers(_settings: Settings) -> Callable[[str], dict[str, str]]:
    return lambda _url: {}


async def _fetch(wanted: list[_Wanted], settings: Settings, headers: Callable[[str], dict[str, str]]) -> list[_Kept]:
    limiter = Limiter(start=_AT_ONCE, ceiling=4 * _AT_ONCE)
    buckets = _buckets(settings)
    left = iter(wanted)
    done: list[_Kept] = []
    async with Fetcher(
        limiter,
        max_bytes=int(settings.max_asset_mb * 1_000_000),
        allowed_hosts=settings.asset_hosts,
        headers=headers,
    ) as fetcher:

        async def work() -> None:
            for one in left:
                try:
                    if one.url.startswith("gs://"):
                        counts, width, height = mask_of_png(await asyncio.to_thread(_read, buckets, one.url), one.color)
                    else:
                        with await fetcher.fetch(one.url, _MASK_BYTES) as picture:
                            counts, width, height = mask_of_png(picture.data, one.color)
                    done.append(_Kept(*one[:2], counts.decode(), width, height, frame=one.frame))
                except (VmiError, ValueError) as error:
                    done.append(_Kept(*one[:2], error=str(error), frame=one.frame))

        async with asyncio.TaskGroup() as workers:
            for _ in range(min(_AT_ONCE, len(wanted))):
                workers.create_task(work())
    return done


def _buckets(settings: Settings) -> Buckets:
    from vertex_model_inference.vertex.auth import GoogleAuth

    auth = GoogleAuth(settings.google_token)
    return Buckets(lambda name: open_bucket(name, endpoint=settings.storage_url, token=auth))


def _read(buckets: Buckets, uri: str) -> bytes:
    store, path = buckets.of(uri)
    size = store.size(path)
    if size is not None and size > _MASK_BYTES:
        raise ValueError(f"the mask is {size:,} bytes")
    return store.get(path)
