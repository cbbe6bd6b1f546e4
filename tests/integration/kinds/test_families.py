"""Every family of model output by every kind of annotation that it can become: the matrix.

Each cell: things that are known to the pixel are put into the family's form (by the sandbox's models' own code),
decoded, matched, written, imported into the sandbox's Labelbox and exported; what comes back is what was put in. A
family that is registered and has no cell, or lacks one for a kind that its decoder says it gives, fails
``test_the_matrix_is_whole``.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.integration.kinds.cells import CAPTION, FEATURES, GIVES, NAMES, WAYS, Cell, Expected, cells
from tests.integration.kinds.test_matrix import HEIGHT, TEXT, WIDTH, Scene, _pixels, scene

from vertex_model_inference.decoders.registry import _BUILT_IN, by_name, recognise
from vertex_model_inference.geometry.masks import draw
from vertex_model_inference.models import ModelOption, Predictor

__all__ = ["scene"]  # the fixture

BitMask = npt.NDArray[np.bool_]
CELLS = cells()


def test_the_matrix_is_whole() -> None:
    there = {(cell.family.partition(":")[0], cell.way) for cell in CELLS}
    lacking = []
    for family, made in _BUILT_IN.items():
        kinds = GIVES.get(family) or _given(made)
        lacking += [
            f"{family} by {way}"
            for kind in kinds
            for way in WAYS.get(kind, (kind.__name__,))
            if (family, way) not in there
        ]
    lacking += [f"mapping by {way}" for kind in GIVES["mapping"] for way in WAYS[kind] if ("mapping", way) not in there]
    assert not lacking, f"add cells of {', '.join(lacking)} to cells() in tests/integration/kinds/cells.py"


def _given(decoder: Any) -> tuple[type, ...]:
    """The kinds of findings that a decoder's signature says it gives."""
    returned = typing.get_type_hints(decoder.decode)["return"]
    (kind, *_) = typing.get_args(returned)
    return typing.get_args(kind) if isinstance(kind, types.UnionType) or typing.get_origin(kind) else (kind,)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.title)
def test_a_cell(scene: Scene, cell: Cell) -> None:
    row = scene.text if cell.way == "entity" else scene.image
    for scores in cell.scores:
        said = json.dumps(cell.answer(scores)).encode()
        option = ModelOption(name="m", predictor=Predictor.BATCH, class_names=cell.names)
        if cell.known and cell.mapping is None:
            assert recognise([said], option).name.partition(":")[0] == cell.family
        expected = cell.expected(scores)
        classes = {one.name: FEATURES[cell.way].format(one.name) for one in expected}
        classes |= {name: FEATURES[cell.way].format(name) for name in NAMES}
        findings = by_name(cell.family, cell.names, cell.mapping).decode(said, row)
        rules: dict[str, Any] = {"threshold": 0.0, **cell.rules, "classes": classes}
        exported = scene.objects(row, list(findings), **rules)
        CHECKS[cell.way](exported, expected, cell)


def _confidence(found: dict[str, Any], expected: Expected) -> None:
    if expected.confidence is None:
        assert found.get("confidence") is None
    else:
        assert found["confidence"] == pytest.approx(expected.confidence, abs=1e-6)


def _rectangles(exported: dict[str, list[dict[str, Any]]], expected: list[Expected], _: Cell) -> None:
    assert len(exported["objects"]) == len(expected)
    for found, one in zip(_by(exported["objects"], _left), _by(expected, lambda e: e.box[0]), strict=True):
        assert found["name"] == FEATURES["rectangle"]
        box = found["bounding_box"]
        edges = (box["left"], box["top"], box["left"] + box["width"], box["top"] + box["height"])
        assert edges == pytest.approx(one.box, abs=one.within)
        _confidence(found, one)


def _left(found: dict[str, Any]) -> float:
    return float(found["bounding_box"]["left"])


def _by(items: Sequence[Any], key: Callable[[Any], Any]) -> list[Any]:
    return sorted(items, key=key)


def _drawn(one: Expected) -> BitMask:
    mask: BitMask = one.mask if one.mask is not None else draw(one.points, WIDTH, HEIGHT)
    return mask


def _first(pair: tuple[BitMask, Any]) -> int:
    """Where a mask begins, to bring masks into an order."""
    return int(np.flatnonzero(pair[0].T)[0])


def _masks(exported: dict[str, list[dict[str, Any]]], expected: list[Expected], _: Cell) -> None:
    assert len(exported["objects"]) == len(expected)
    drawn = [(_pixels(found), found) for found in exported["objects"]]
    wanted = [(_drawn(one), one) for one in expected]
    for (mask, found), (other, one) in zip(_by(drawn, _first), _by(wanted, _first), strict=True):
        assert found["name"] == FEATURES["mask"]
        assert np.array_equal(mask, other)
        _confidence(found, one)


def _rings(exported: dict[str, list[dict[str, Any]]], expected: list[Expected], _: Cell) -> None:
    """Outlines are the model's own points; those of masks cover the mask, in as many parts as it takes."""
    rings = []
    for found in exported["objects"]:
        assert found["name"] == FEATURES["polygon"]
        points = tuple((point["x"], point["y"]) for point in found["polygon"])
        assert points[0] == points[-1]
        rings.append((points[:-1], found))
    for one in expected:
        mine = [(ring, found) for ring, found in rings if draw(ring, WIDTH, HEIGHT)[_drawn(one)].any()]
        if one.points:
            ((ring, found),) = mine
            assert ring == one.points
        else:
            again = sum(draw(ring, WIDTH, HEIGHT).astype(int) for ring, _ in mine)
            assert np.array_equal(again, one.mask.astype(int))
        for pair in mine:
            _confidence(pair[1], one)
            rings.remove(pair)
    assert not rings, "nobody's"


def _spots(exported: dict[str, list[dict[str, Any]]], expected: list[Expected], _: Cell) -> None:
    found = _by(exported["objects"], lambda each: (each["point"]["x"], each["point"]["y"]))
    assert len(found) == len(expected)
    for each, one in zip(found, _by(expected, lambda e: e.points), strict=True):
        assert (each["point"]["x"], each["point"]["y"]) == pytest.approx(one.points[0], abs=0.011)
        _confidence(each, one)


def _entities(exported: dict[str, list[dict[str, Any]]], expected: list[Expected], _: Cell) -> None:
    found = _by(exported["objects"], lambda each: each["location"]["start"])
    assert [(each["location"]["start"], each["location"]["end"]) for each in found] == [one.span for one in expected]
    for each, one in zip(found, expected, strict=True):
        assert one.span is not None
        assert each["location"]["token"] == TEXT[one.span[0] : one.span[1] + 1]
        _confidence(each, one)


def _answers(exported: dict[str, list[dict[str, Any]]], expected: list[Expected], cell: Cell) -> None:
    (found,) = exported["classifications"]
    given = [found["radio_answer"]] if cell.way == "radio" else found["checklist_answers"]
    assert sorted(each["name"] for each in given) == sorted(one.name for one in expected)
    for each in given:
        _confidence(each, next(one for one in expected if one.name == each["name"]))


def _lines(exported: dict[str, list[dict[str, Any]]], expected: list[Expected], _: Cell) -> None:
    (found,), (one,) = exported["objects"], expected
    assert tuple((point["x"], point["y"]) for point in found["line"]) == one.points
    _confidence(found, one)


def _texts(exported: dict[str, list[dict[str, Any]]], expected: list[Expected], _: Cell) -> None:
    (found,), (one,) = exported["classifications"], expected
    assert (found["name"], found["text_answer"]["content"]) == ("caption", CAPTION)
    _confidence(found["text_answer"], one)


CHECKS: dict[str, Callable[[dict[str, list[dict[str, Any]]], list[Expected], Cell], None]] = {
    "line": _lines,
    "text": _texts,
    "rectangle": _rectangles,
    "mask": _masks,
    "polygon": _rings,
    "point": _spots,
    "entity": _entities,
    "radio": _answers,
    "checklist": _answers,
}
