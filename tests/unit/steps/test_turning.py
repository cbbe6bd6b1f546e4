"""Real JPEGs of all eight EXIF orientations: what a model finds after turning them comes back to the stored pixels."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image, ImageOps

from vertex_model_inference.decoders.registry import by_name
from vertex_model_inference.findings import FoundBox, FoundMask, FoundPoint, FoundPolygon
from vertex_model_inference.geometry.runs import decode, encode
from vertex_model_inference.geometry.turning import shown_size, stored_mask, stored_point
from vertex_model_inference.rows import DataRow
from vertex_model_inference.steps.media import image_header
from vertex_model_inference.steps.turning import turned_back

WIDTH, HEIGHT = 96, 64
LEFT, TOP, RIGHT, BOTTOM = 8, 16, 40, 24  # of the white block, in the picture as it is stored: multiples of 8 for JPEG


def jpeg(orientation: int | None) -> bytes:
    pixels = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    pixels[TOP:BOTTOM, LEFT:RIGHT] = 255
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue()


def white(image: Image.Image) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    return np.asarray(image.convert("L")) > 127


class Looker:
    """A model's decoder, here the model itself: it marks the white block of the picture as it is shown."""

    name = "looker"

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundBox | FoundPolygon | FoundPoint | FoundMask, ...]:
        shown = white(ImageOps.exif_transpose(Image.open(io.BytesIO(prediction))))
        assert (row.width, row.height) == shown.shape[::-1]
        ys, xs = np.nonzero(shown)
        x0, y0, x1, y1 = float(xs.min()), float(ys.min()), float(xs.max()) + 1, float(ys.max()) + 1
        return (
            FoundBox("b", x0, y0, x1 - x0, y1 - y0, 0.5),
            FoundPolygon("p", ((x0, y0), (x1, y0), (x1, y1), (x0, y1))),
            FoundPoint("t", (x0 + x1) / 2, (y0 + y1) / 2),
            FoundMask("m", encode(shown), shown.shape[1], shown.shape[0]),
        )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turning_model_is_turned_back(orientation: int) -> None:
    data = jpeg(orientation)
    header = image_header(data, whole=True, name="it")
    assert header == ("image/jpeg", WIDTH, HEIGHT, None if orientation == 1 else orientation)
    row = DataRow(id="r", row_data="x", width=WIDTH, height=HEIGHT)
    box, polygon, point, mask = turned_back(Looker(), data, row, orientation)
    assert isinstance(box, FoundBox)
    assert isinstance(polygon, FoundPolygon)
    assert isinstance(point, FoundPoint)
    assert isinstance(mask, FoundMask)
    assert (box.left, box.top, box.width, box.height, box.confidence) == (LEFT, TOP, RIGHT - LEFT, BOTTOM - TOP, 0.5)
    assert set(polygon.points) == {(LEFT, TOP), (RIGHT, TOP), (RIGHT, BOTTOM), (LEFT, BOTTOM)}
    assert (point.x, point.y) == ((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2)
    stored = white(Image.open(io.BytesIO(data)))
    assert np.array_equal(decode(mask.counts, mask.width, mask.height), stored)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_relative_boxes_are_of_the_picture_as_it_is_shown(orientation: int) -> None:
    width, height = shown_size(WIDTH, HEIGHT, orientation)
    row = DataRow(id="r", row_data="x", width=WIDTH, height=HEIGHT)
    answer = json.dumps({"boxes": [[0, 0, 0.5, 0.25]], "scores": [0.5], "labels": ["a"]}).encode()
    (found,) = turned_back(by_name("boxes-arrays:xyxy:relative"), answer, row, orientation)
    corners = {stored_point(x, y, WIDTH, HEIGHT, orientation) for x, y in ((0, 0), (width / 2, height / 4))}
    assert isinstance(found, FoundBox)
    assert found.left == min(x for x, _ in corners)
    assert found.top == min(y for _, y in corners)
    assert found.width * found.height == WIDTH * HEIGHT / 8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_masks_and_points_turn_alike(orientation: int) -> None:
    width, height = shown_size(5, 3, orientation)
    for y in range(height):
        for x in range(width):
            shown = np.zeros((height, width), dtype=np.bool_)
            shown[y, x] = True
            (row,), (column,) = np.nonzero(stored_mask(shown, orientation))
            assert stored_point(x + 0.5, y + 0.5, 5, 3, orientation) == (column + 0.5, row + 0.5)


def test_headers_without_or_with_nonsense_are_not_turned() -> None:
    assert image_header(jpeg(None), whole=True, name="it").orientation is None
    assert image_header(jpeg(77), whole=True, name="it").orientation is None
