"""What decoders of masks share: base64 PNG to pixels, and pixels or run lengths to a finding of the right size."""

from __future__ import annotations

import binascii
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vertex_model_inference.decoders.base import refuse
from vertex_model_inference.findings import FoundMask
from vertex_model_inference.geometry import rle
from vertex_model_inference.geometry.runs import MAX_PIXELS, encode
from vertex_model_inference.rows import DataRow

__all__ = ["found_mask", "found_runs", "grey", "picture"]

_PNG = b"\x89PNG\r\n\x1a\n"


def picture(encoded: str, row: DataRow, name: str, where: str) -> Image.Image:
    """The PNG in a base64 text (a ``data:`` URL is one too), loaded.

    Raises:
        DecodeError: Not base64, not a sound PNG, or too large.
    """
    if encoded.startswith("data:"):
        encoded = encoded.partition(",")[2]
    try:
        raw = binascii.a2b_base64(encoded, strict_mode=True)
    except ValueError as error:
        refuse(name, row, f"{where} is not base64: {error}")
    if raw[:8] != _PNG or len(raw) < 33:
        refuse(name, row, f"{where} is not a PNG")
    # Before Pillow sees it: a few bytes can ask for gigabytes.
    check_size(int.from_bytes(raw[16:20]), int.from_bytes(raw[20:24]), row, name, where)
    try:
        image = Image.open(io.BytesIO(raw), formats=("PNG",))
        image.load()
    except Exception as error:  # noqa: BLE001  # Pillow raises many kinds for broken files, SyntaxError among them
        refuse(name, row, f"{where} is a broken PNG: {error}")
    check_size(*image.size, row, name, where)
    return image


def grey(image: Image.Image) -> NDArray[np.float64]:
    """Values 0..1 of height x width, whatever the PNG's depth."""
    if image.mode.startswith("I"):
        return np.asarray(image, dtype=np.float64) / 65535
    return np.asarray(image.convert("L"), dtype=np.float64) / 255


def check_size(width: int, height: int, row: DataRow, name: str, where: str) -> None:
    """A mask is none that takes all memory; one of another size than the asset is for match to judge.

    Raises:
        DecodeError: It is empty, or larger than ``MAX_PIXELS``.
    """
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        refuse(name, row, f"{where} is of {width} x {height} pixels; 1 to {MAX_PIXELS:,} pixels can be read")


def found_mask(
    label: str, mask: NDArray[np.bool_], confidence: float | None, row: DataRow, name: str, where: str
) -> FoundMask | None:
    """The finding of a mask of height x width; None when no pixel is set, since then nothing was found.

    Raises:
        DecodeError: It is too large.
    """
    height, width = mask.shape
    check_size(width, height, row, name, where)
    if not mask.any():
        return None
    return FoundMask(label, encode(mask), width, height, confidence)


def found_runs(
    label: str,
    runs: Sequence[int],
    size: tuple[int, int],
    confidence: float | None,
    row: DataRow,
    name: str,
    where: str,
) -> FoundMask | None:
    """The finding of run lengths; ``size`` is (height, width), as COCO has it. None when no pixel is set.

    Raises:
        DecodeError: A run is negative, they do not cover the mask, or it is too large.
    """
    height, width = size
    check_size(width, height, row, name, where)
    if any(run < 0 for run in runs):
        refuse(name, row, f"{where} has a negative run")
    if sum(runs) != width * height:
        refuse(name, row, f"{where}'s runs cover {sum(runs)} pixels, not {width} x {height}")
    if not rle.area(runs):
        return None
    return FoundMask(label, rle.pack(runs), width, height, confidence)
