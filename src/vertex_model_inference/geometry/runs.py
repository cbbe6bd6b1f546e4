"""COCO's run lengths <-> masks.

Format: ``maskApi.c`` of https://github.com/cocodataset/cocoapi: the lengths of alternating runs down the columns,
beginning with background, as a list ("uncompressed") or packed into ASCII (``rleToString``, "compressed").
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["MAX_PIXELS", "BitMask", "MalformedRunsError", "covered", "decode", "decode_runs", "encode"]

BitMask = npt.NDArray[np.bool_]
"""(height, width); True where the object is."""

MAX_PIXELS = 89_000_000
"""Of one mask, just under where Pillow takes a picture for an attack: a few bytes must not ask for all memory."""


class MalformedRunsError(ValueError):
    """Run lengths that describe no mask of the size they are said to have; the message says why."""


def decode(counts: bytes, width: int, height: int) -> BitMask:
    """The mask that compressed run lengths describe.

    Args:
        counts: As COCO writes them.
        width: Of the mask, in pixels; likewise ``height``.

    Raises:
        MalformedRunsError: The string is malformed, or its lengths do not add up to the size.
    """
    from faster_coco_eval import mask as coco

    _check_size(width, height)
    if not counts.isascii():
        raise MalformedRunsError("the run lengths are not ASCII")
    try:
        drawn: npt.NDArray[np.uint8] = coco.decode({"size": [height, width], "counts": counts})
    except (OverflowError, RuntimeError, ValueError) as error:
        raise MalformedRunsError(f"the run lengths do not fit {width} x {height} pixels: {error}") from error
    return np.ascontiguousarray(drawn.astype(np.bool_))


def covered(counts: bytes, width: int, height: int) -> int:
    """How many pixels of a mask are set, without drawing it: a tenth of the time of ``decode``.

    Args:
        counts: As COCO writes them, compressed.
        width: Of the mask, in pixels; likewise ``height``.

    Raises:
        MalformedRunsError: As ``decode``.
    """
    from vertex_model_inference.geometry.rle import area, unpack

    _check_size(width, height)
    try:
        runs = unpack(counts)
    except ValueError as error:
        raise MalformedRunsError(f"the run lengths do not fit {width} x {height} pixels: {error}") from error
    if sum(runs) != width * height:
        raise MalformedRunsError(f"the run lengths add up to {sum(runs)}, not to {width} x {height} = {width * height}")
    return area(runs)


def decode_runs(runs: Sequence[int], width: int, height: int) -> BitMask:
    """The mask that uncompressed run lengths describe.

    Raises:
        MalformedRunsError: The size is none, a length is negative, or they do not add up to the size.
    """
    _check_size(width, height)
    try:
        given = np.asarray(runs, dtype=np.int64).reshape(-1)
    except (OverflowError, TypeError, ValueError) as error:
        raise MalformedRunsError("the run lengths are not whole numbers") from error
    total = width * height
    if given.size and (given.min() < 0 or given.max() > total):
        raise MalformedRunsError(f"a run length is not between 0 and the mask's {total} pixels")
    if int(given.sum()) != total:
        raise MalformedRunsError(f"the run lengths add up to {int(given.sum())}, not to {width} x {height} = {total}")
    values = (np.arange(given.size) & 1).astype(np.bool_)
    return np.ascontiguousarray(np.repeat(values, given).reshape((width, height)).T)


def encode(mask: BitMask) -> bytes:
    """A mask, (height, width) and neither 0, as COCO's compressed run lengths."""
    from faster_coco_eval import mask as coco

    counts: bytes = coco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]
    return counts


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise MalformedRunsError(f"a mask of {width} x {height} pixels is none that can be drawn")
