"""Masks drawn as PNG files: white where the object is, black elsewhere, as exports serve them."""

from __future__ import annotations

import base64
import io
from typing import Any

import orjson
from PIL import Image, ImageChops, UnidentifiedImageError

from vertex_model_inference.sandbox.labelbox.fetch import Fetcher, FetchError
from vertex_model_inference.sandbox.labelbox.store import Store

__all__ = ["draw"]


def draw(store: Store, fetcher: Fetcher, feature_id: str) -> bytes | str:
    """The mask of an annotation.

    Args:
        store: What the server keeps.
        fetcher: Reads the mask's picture.
        feature_id: The annotation.

    Returns:
        A PNG; or why there is none.
    """
    text = store.annotations.mask(feature_id)
    if text is None:
        return f"There is no mask of annotation {feature_id}."
    mask: dict[str, Any] = orjson.loads(text)
    if "imBytes" in mask:
        try:
            with Image.open(io.BytesIO(base64.b64decode(mask["imBytes"]))) as source:
                image = _of_color(source.convert("RGB"), mask["colorRGB"])
        except (UnidentifiedImageError, OSError) as error:
            return f"The mask of annotation {feature_id} cannot be drawn: {error}"
    elif "png" in mask:
        # Importers write the object as 1 (the SDK) or 255; exports serve it white.
        try:
            with Image.open(io.BytesIO(base64.b64decode(mask["png"]))) as source:
                image = source.convert("L").point([0, *[255] * 255])
        except (UnidentifiedImageError, OSError) as error:
            return f"The mask of annotation {feature_id} cannot be drawn: {error}"
    elif "counts" in mask:
        image = _of_runs(mask["size"], mask["counts"])
    else:
        try:
            with Image.open(io.BytesIO(fetcher.read(mask["instanceURI"]))) as source:
                image = _of_color(source.convert("RGB"), mask["colorRGB"])
        except (FetchError, UnidentifiedImageError, OSError) as error:
            return f"The mask of annotation {feature_id} cannot be drawn: {error}"
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _of_color(source: Image.Image, color: list[int]) -> Image.Image:
    result: Image.Image | None = None
    for band, wanted in zip(source.split(), color, strict=True):
        hit = band.point([255 if value == wanted else 0 for value in range(256)])
        result = hit if result is None else ImageChops.darker(result, hit)
    assert result is not None
    return result


def _of_runs(size: list[int], counts: list[int]) -> Image.Image:
    """COCO's uncompressed run lengths: down the columns, starting with background."""
    height, width = size
    flat = bytearray()
    value = 0
    for count in counts:
        flat += bytes([value]) * count
        value = 255 - value
    flat += bytes(height * width - len(flat))
    return Image.frombytes("L", (height, width), bytes(flat)).transpose(Image.Transpose.TRANSPOSE)
