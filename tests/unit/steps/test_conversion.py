"""Pictures become PNGs pixel for pixel, in the frame of coordinates that they are stored in."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from vertex_model_inference.errors import AssetError
from vertex_model_inference.steps import conversion
from vertex_model_inference.steps.conversion import as_png
from vertex_model_inference.steps.media import image_header

PIXELS = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)


def stored(image: Image.Image, format_: str, **more: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format_, **more)
    return out.getvalue()


def read(data: bytes, mode: str) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "PNG"
        assert image.getexif() == {}
        return np.asarray(image.convert(mode))


@pytest.mark.parametrize("format_", ["BMP", "TIFF", "PPM"])
def test_lossless_formats(format_: str) -> None:
    made = as_png(stored(Image.fromarray(PIXELS), format_), "row 1")
    assert (read(made, "RGB") == PIXELS).all()


def test_an_animation_is_its_first_frame() -> None:
    first, second = (Image.new("P", (4, 3), color) for color in (0, 1))
    for frame in (first, second):
        frame.putpalette([10, 20, 30, 200, 100, 0])
    made = as_png(stored(first, "GIF", save_all=True, append_images=[second]), "row 1")
    assert (read(made, "RGB") == (10, 20, 30)).all()


@pytest.mark.parametrize("format_", ["TIFF", "WEBP", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_not_turned(orientation: int, format_: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    more = {"lossless": True} if format_ == "WEBP" else {}
    source = stored(Image.fromarray(PIXELS), format_, exif=exif, **more)
    made = as_png(source, "row 1")
    assert (read(made, "RGB") == PIXELS).all()
    header = image_header(source, whole=True, name="row 1")
    assert header[1:] == (7, 5, None if orientation == 1 else orientation)


def test_sixteen_bits_and_four_inks() -> None:
    deep = (PIXELS[:, :, 0].astype(np.uint16) * 257).astype(np.uint16)
    assert (np.asarray(Image.open(io.BytesIO(as_png(stored(Image.fromarray(deep), "TIFF"), "row 1")))) == deep).all()
    inks = Image.fromarray(PIXELS).convert("CMYK")
    assert (read(as_png(stored(inks, "TIFF"), "row 1"), "RGB") == np.asarray(inks.convert("RGB"))).all()


def test_what_cannot_be_converted_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = stored(Image.fromarray(PIXELS), "BMP")
    with pytest.raises(AssetError, match="row 1 is damaged") as caught:
        as_png(whole[:60], "row 1")
    assert caught.value.error_code == "asset_corrupt"
    monkeypatch.setattr(conversion, "MAX_PIXELS", 20)
    with pytest.raises(AssetError, match="7 x 5 pixels") as caught:
        as_png(whole, "row 1")
    assert caught.value.error_code == "asset_too_large"
