from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from vertex_model_inference.rows import Split
from vertex_model_inference.sandbox.containers.coins import SIZES, coins_of, load, sizes_of
from vertex_model_inference.sandbox.containers.forms.things import BitMask
from vertex_model_inference.sandbox.datasets import coins as dataset
from vertex_model_inference.sandbox.datasets.coins import COINS, VIEWS, Coins
from vertex_model_inference.sandbox.datasets.material import SeedRow


@pytest.fixture(scope="module")
def rows() -> dict[str, SeedRow]:
    return {row.key.removeprefix("coins-"): row for row in Coins().rows()}


def _grey(row: SeedRow) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    return np.asarray(Image.open(io.BytesIO(row.data or b"")).convert("L"))


def _drawn(row: SeedRow) -> list[BitMask]:
    pngs = [base64.b64decode(each["mask"]["png"]) for each in Coins().truth(row)]
    return [np.asarray(Image.open(io.BytesIO(png))) > 0 for png in pngs]


def test_every_view_is_a_picture_with_the_coins_that_it_shows_whole(rows: dict[str, SeedRow]) -> None:
    assert rows.keys() == VIEWS.keys()
    for name, row in rows.items():
        assert row.split is Split.TEST
        masks = _drawn(row)
        assert len(masks) == (0 if name.startswith("photograph") else 24 if name.startswith("all") else 6)
        assert {mask.shape for mask in masks} <= {_grey(row).shape}


def test_drawn_coins_are_lighter_than_what_surrounds_them(rows: dict[str, SeedRow]) -> None:
    grey, masks = _grey(rows["all"]).astype(float), _drawn(rows["all"])
    background = np.median(grey[~np.any(masks, axis=0)])
    for mask, box in zip(masks, COINS, strict=True):
        assert np.median(grey[mask]) > background + 30, box
    assert not (np.sum(masks, axis=0) > 1).any()


@pytest.mark.parametrize("name", VIEWS)
def test_the_model_finds_the_coins_and_nothing_else(rows: dict[str, SeedRow], name: str) -> None:
    found, masks = coins_of(_grey(rows[name])), _drawn(rows[name])
    assert len(found) == len(masks)
    for mask in masks:
        overlaps = [
            np.count_nonzero(mask & coin.mask) / np.count_nonzero(mask | coin.mask)
            for coin in found
            if coin.mask is not None
        ]
        assert max(overlaps) > 0.9
    assert all(0.8 <= coin.score <= 1 for coin in found)
    assert set(dict(sizes_of(found))) <= set(SIZES)


def test_the_same_picture_gives_the_same_coins(rows: dict[str, SeedRow]) -> None:
    one, other = (coins_of(_grey(rows["row-2"])) for _ in range(2))
    assert [(a.score, a.left, a.top) for a in one] == [(b.score, b.left, b.top) for b in other]


@pytest.mark.parametrize("value", [0, 90, 255])
def test_a_blank_picture_has_no_coins(value: int) -> None:
    assert coins_of(np.full((60, 80), value, dtype=np.uint8)) == []


def test_the_ontology_has_a_tool_for_each_class_of_each_form(rows: dict[str, SeedRow]) -> None:
    instance = {"content": base64.b64encode(rows["row-1"].data or b"").decode()}
    model = load("")
    said: dict[str, None] = {}
    for name in ("rle-masks", "hf-detection", "polygons"):
        (answer,) = model.others[name]([instance], None)
        said |= {one.get("label") or one["category"]: None for one in answer}
    (points,) = model.others["keypoints"]([instance], {"confidenceThreshold": 0.8})
    said |= {place: None for one in points for place in one["names"][:2]}
    assert set(said) == set(dataset.TOOLS)
    (sizes,) = model.others["hf-classification"]([instance], None)
    assert {one["label"] for one in sizes} <= set(dataset.SIZES)
    assert model.usual([instance], None) == model.others["rle-masks"]([instance], None)


def test_a_threshold_and_a_bad_instance() -> None:
    row = next(row for row in Coins().rows() if row.key == "coins-all")
    instance = {"content": base64.b64encode(row.data or b"").decode()}
    some, error = load("").usual([instance, {"content": 5}], {"confidenceThreshold": 0.95})
    assert 0 < len(some) < 24
    assert all(one["score"] >= 0.95 for one in some)
    assert error["error"]["code"] == 3
