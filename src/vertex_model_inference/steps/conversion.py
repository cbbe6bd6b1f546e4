"""A picture of a format that the model cannot take, as a PNG that it can: pixel for pixel in the same frame."""

from __future__ import annotations

import io
import warnings
from typing import IO

from PIL import Image

from vertex_model_inference.errors import AssetError
from vertex_model_inference.steps.media import FORMATS, orientation_of

__all__ = ["CONVERTED", "MAX_PIXELS", "NOTE", "as_png", "converted_key"]

CONVERTED = "image/png"
MAX_PIXELS = 50_000_000
"""Of a picture that is decoded: 200 MB with four channels. Larger ones end with an outcome that says so."""

NOTE = "The picture was sent as a PNG, since Gemini does not take its format; of several frames the first."

_MODES = frozenset(("1", "L", "LA", "P", "RGB", "RGBA", "I;16"))
"""Pillow's modes that a PNG holds as they are; all others become RGB."""


_BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""Pillow turns TIFFs, and no other format, as their EXIF orientation says when it loads them; this turns them back."""


def converted_key(source: str) -> str:
    """The key of the PNG made of an asset, beside that of copies of the asset itself (``storage.index.source_key``)."""
    return f"{source}-png"


def as_png(source: bytes | IO[bytes], name: str) -> bytes:
    """The first frame of a picture, stored as it is stored: it is not turned as its EXIF orientation may say, and of
    its metadata nothing is kept, so that coordinates in it are those of the original's stored pixels.

    Args:
        source: The file, or the file itself at its start.
        name: Of the row, for messages.

    Raises:
        AssetError: ``asset_too_large`` to be converted, or ``asset_corrupt``.
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the number of pixels is looked at below
            with Image.open(file, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise AssetError(
                        f"The picture of {name} has {image.width} x {image.height} pixels; it would have to be "
                        f"converted for the model, which is done up to {MAX_PIXELS:,} pixels.",
                        code="asset_too_large",
                        hint="Store it as JPEG or PNG.",
                    )
                image.seek(0)
                back = _BACK.get(orientation_of(image) or 1) if image.format == "TIFF" else None
                image.load()
                as_stored = image if back is None else image.transpose(back)
                plain = as_stored if image.mode in _MODES else as_stored.convert("RGB")
                out = io.BytesIO()
                kept = {"transparency": image.info["transparency"]} if "transparency" in image.info else {}
                plain.save(out, "PNG", exif=b"", icc_profile=None, **kept)
                return out.getvalue()
    except AssetError:
        raise
    except Exception:  # noqa: BLE001  # Pillow raises whatever a broken picture leads it to
        raise AssetError(
            f"The picture of {name} is damaged, so it cannot be converted for the model.",
            code="asset_corrupt",
            hint="Open the data row in Labelbox: if it does not show there either, replace the file.",
        ) from None
