from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from vertex_model_inference.rows import Split
from vertex_model_inference.sandbox.datasets.documents import VIEWS, Documents
from vertex_model_inference.sandbox.datasets.material import SeedRow


@pytest.fixture(scope="module")
def rows() -> dict[str, SeedRow]:
    return {row.key.removeprefix("documents-"): row for row in Documents().rows()}


def _image(row: SeedRow) -> Image.Image:
    return Image.open(io.BytesIO(row.data or b""))


def test_every_view_is_a_picture(rows: dict[str, SeedRow]) -> None:
    assert rows.keys() == VIEWS.keys()
    assert all(_image(row).format == "PNG" and row.split is Split.TEST for row in rows.values())


def test_truth_lies_inside_its_picture_and_on_ink(rows: dict[str, SeedRow]) -> None:
    labelled = [row for row in rows.values() if row.lines]
    assert len(labelled) == 10
    for row in labelled:
        grey = np.asarray(_image(row).convert("L"), dtype=float)
        height, width = grey.shape
        for line in row.lines:
            assert line.left >= 0
            assert line.top >= 0
            assert line.left + line.width <= width
            assert line.top + line.height <= height
            inside = grey[int(line.top) : int(line.top + line.height), int(line.left) : int(line.left + line.width)]
            # Print is far darker than the paper around it; a box beside the line would hold paper only.
            assert np.percentile(inside, 2) < np.median(inside) - 30, (row.key, line.text)


def test_a_view_that_cuts_words_claims_nothing(rows: dict[str, SeedRow]) -> None:
    for name in ("left-half", "right-half", "handwriting", "photograph-coffee"):
        assert Documents().truth(rows[name]) == []


def test_nearer_views_have_larger_boxes(rows: dict[str, SeedRow]) -> None:
    far, near = rows["page"].lines, rows["page-near"].lines
    assert [line.text for line in far] == [line.text for line in near]
    assert all(b.left == 2 * a.left and b.width == 2 * a.width for a, b in zip(far, near, strict=True))
    (first, *_) = Documents().truth(rows["page"])
    assert first["bbox"] == {"left": 6, "top": 13, "width": 286, "height": 21}
    assert first["classifications"] == [{"name": "transcription", "answer": "Region-based segmentation"}]
