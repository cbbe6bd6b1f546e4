"""Annotations -> SVG: what is drawn where, and that nothing in a name gets out of its text."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vertex_model_inference.annotations import Answer as Option
from vertex_model_inference.annotations import (
    Box,
    DocumentEntity,
    FrameMask,
    KeyFrame,
    Mask,
    MaskLink,
    Point,
    Polygon,
    Polyline,
    Radio,
    Relationship,
    Selection,
    VideoBox,
    VideoMask,
)
from vertex_model_inference.geometry.boundary import boundary
from vertex_model_inference.geometry.masks import draw as filled
from vertex_model_inference.geometry.runs import encode
from vertex_model_inference.pages.overlay import svg
from vertex_model_inference.pages.shapes import MOST_SHAPES, Drawing, Side, draw, frames_of, pages_of
from vertex_model_inference.sources import Token

ID = "x" * 25
SVG = "{http://www.w3.org/2000/svg}"
SPACE = '<svg xmlns="http://www.w3.org/2000/svg" '


def parsed(markup: str) -> Any:
    return ET.fromstring(str(markup).replace("<svg ", SPACE, 1))


def printable() -> st.SearchStrategy[str]:
    """Text that XML can hold; HTML parsers drop control characters by themselves."""
    return st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufffe\uffff"), max_size=60)


def test_each_form_has_a_path_in_pixels_of_the_asset() -> None:
    mask = np.zeros((20, 30), dtype=np.bool_)
    mask[2:5, 3:9] = True
    drawing = draw(
        [
            Box("a", ID, 10.5, 20, 30, 40, 0.834),
            Polygon("b", ID, ((0, 0), (5, 0), (5, 5))),
            Polyline("c", ID, ((1, 1), (2, 3.25))),
            Point("d", ID, 7, 8),
            Mask("e", ID, encode(mask), 30, 20),
            Radio("q", ID, Option("yes", ID)),
        ],
        "prediction",
    )
    paths = {shape.name: (shape.form, shape.path) for shape in drawing.shapes}
    assert paths == {
        "a": ("box", "M10.5 20L40.5 20L40.5 60L10.5 60z"),
        "b": ("outline", "M0 0L5 0L5 5z"),
        "c": ("line", "M1 1L2 3.25"),
        "d": ("point", "M7 8L7 8"),
        "e": ("mask", "M3 2L9 2L9 5L3 5z"),
    }
    assert drawing.undrawn == {}
    assert [shape.index for shape in drawing.shapes] == [0, 1, 4, 2, 3]


def test_predictions_say_their_confidence_and_verdict() -> None:
    said = draw([Box("coin", ID, 10, 20, 30, 40, 0.834)], "prediction", verdicts={0: "confused"})
    meant = draw([Box("cent", ID, 11, 20, 30, 40)], "label", verdicts={0: "missed"})
    root = parsed(svg(said + meant, 200, 100, about="picture 1"))
    assert root.get("viewBox") == "0 0 200 100"
    assert root.get("aria-label") == "picture 1; predicted 1 × coin; labelled 1 × cent"
    groups = {(group.get("class", "").split()[0], group.get("data-side")): group for group in root.iter(f"{SVG}g")}
    assert len(groups) == 4
    one, other = groups["shape", "prediction"], groups["shape", "label"]
    assert (one.get("data-confidence"), one.get("data-verdict"), one.get("class")) == (
        "0.834",
        "confused",
        "shape prediction wrong",
    )
    assert one.findtext(f"{SVG}title") == "predicted: coin 83 % ✗ wrong class"
    words = groups["caption", "prediction"]
    assert words.findtext(f"{SVG}text") == "coin 83 % ✗"
    assert (words.get("data-confidence"), words.get("data-verdict")) == ("0.834", "confused")
    assert other.get("data-confidence") is None
    assert other.findtext(f"{SVG}title") == "labelled: cent ✗ missed"


@given(printable(), printable(), st.floats(0, 1))
def test_any_name_stays_text(name: str, about: str, confidence: float) -> None:
    drawing = draw([Box(name, ID, 1, 2, 3, 4, confidence)], "prediction")
    root = parsed(svg(drawing, 10, 10, about=about))
    group, words = root.iter(f"{SVG}g")
    assert group.get("data-name") == words.get("data-name") == name
    assert [child.tag for child in group] == [f"{SVG}title", f"{SVG}path"]
    assert [child.tag for child in words] == [f"{SVG}text"]
    assert [child.tag for child in root] == [f"{SVG}g"] * 2


def test_a_crowd_of_one_class_is_not_named_one_by_one() -> None:
    said = draw([Box("cent", ID, 10 * n, 2, 3, 4, 0.5) for n in range(9)], "prediction")
    meant = draw([Box("cent", ID, 95, 2, 3, 4)], "label", verdicts={0: "missed"})
    words = {text.text for text in parsed(svg(said + meant, 100, 10)).iter(f"{SVG}text")}
    assert words == {"50 %", "cent ✗ missed"}


def test_a_label_that_was_found_is_drawn_without_words() -> None:
    meant = draw([Box("cent", ID, 1, 2, 3, 4), Box("cent", ID, 5, 5, 3, 4)], "label", verdicts={0: "found"})
    root = parsed(svg(meant, 20, 10))
    assert len([group for group in root if group.get("class", "").startswith("shape")]) == 2
    assert [group.get("data-index") for group in root if group.get("class", "").startswith("caption")] == ["1"]


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)))
def test_the_boundary_filled_even_odd_is_the_mask(mask: Any) -> None:
    again = np.zeros_like(mask)
    for ring in boundary(mask):
        again ^= filled(ring, mask.shape[1], mask.shape[0])
    assert (again == mask).all()


def test_large_masks_are_traced_small_but_lie_where_they_are() -> None:
    mask = np.zeros((1500, 3000), dtype=np.bool_)
    mask[300:600, 1000:2000] = True
    mask[400:500, 1200:1400] = False
    (shape,) = draw([Mask("m", ID, encode(mask), 3000, 1500)], "label").shapes
    assert abs(shape.left - 1000) < 7
    assert abs(shape.top - 300) < 7
    assert abs(shape.width - 1000) < 13
    assert shape.path.count("M") == 2  # the hole
    assert len(shape.path) < 300


def test_a_mask_that_is_none_is_counted() -> None:
    drawing = draw([Mask("m", ID, b"\xff", 10, 10), MaskLink("l", ID, "gs://b/o", (1, 2, 3))], "prediction")
    assert drawing.shapes == ()
    assert drawing.undrawn == {"mask that cannot be read": 1, "mask behind an address": 1}


def test_videos_are_drawn_at_a_frame() -> None:
    track = VideoBox("car", ID, ((KeyFrame(1, 0, 0, 10, 10), KeyFrame(11, 100, 50, 20, 10)),), 0.5)
    mask = np.zeros((4, 4), dtype=np.bool_)
    mask[1:3, 1:3] = True
    seen = VideoMask("road", ID, (FrameMask(6, encode(mask)),), 4, 4)
    drawing = draw([track, seen], "prediction", frame=6)
    assert {shape.name: shape.path for shape in drawing.shapes} == {
        "car": "M50 25L65 25L65 35L50 35z",
        "road": "M1 1L3 1L3 3L1 3z",
    }
    assert draw([track, seen], "prediction", frame=12) == Drawing((), {}, 2)
    assert frames_of([track, seen]) == (1, 6, 11)


def test_documents_are_drawn_page_by_page() -> None:
    words = {"t1": Token("t1", "g", "Total", 10, 20, 30, 8), "t2": Token("t2", "g", "12.50", 45, 20, 25, 8)}
    entity = DocumentEntity("amount", ID, (Selection(("t1", "t2"), "g", 2),), 0.9)
    box = Box("figure", ID, 5, 5, 50, 60, page=1)
    first, second = (draw([entity, box], "prediction", page=page, tokens=words) for page in (1, 2))
    assert [shape.name for shape in first.shapes] == ["figure"]
    assert first.elsewhere == 1
    assert [(shape.form, shape.path) for shape in second.shapes] == [
        ("words", "M10 20L40 20L40 28L10 28zM45 20L70 20L70 28L45 28z")
    ]
    assert draw([entity], "prediction", page=2).undrawn == {"words whose places are not known": 1}
    assert pages_of([entity, box]) == (1, 2)


def test_relationships_join_the_middles() -> None:
    boxes = [Box("a", ID, 0, 0, 10, 10), Box("b", ID, 20, 20, 10, 10)]
    drawing = draw([*boxes, Relationship("pays", ID, 0, 1, confidence=0.5)], "prediction")
    (line,) = (shape for shape in drawing.shapes if shape.form == "relation")
    assert line.path == "M5 5L25 25"
    assert draw([Relationship("pays", ID, 0, 1)], "prediction").undrawn == {"relationship of what is not drawn": 1}


def test_what_is_over_the_bound_or_has_no_place_is_counted() -> None:
    many = [Point("p", ID, x, 1) for x in range(MOST_SHAPES + 5)]
    drawing = draw(many, "prediction")
    assert len(drawing.shapes) == MOST_SHAPES
    assert sum(drawing.undrawn.values()) == 5
    assert draw([Point("p", ID, float("nan"), 1)], "prediction").undrawn == {"shape without an extent": 1}


@given(st.lists(st.tuples(*(st.floats(-50, 250),) * 2, *(st.floats(0.1, 300),) * 2), min_size=1, max_size=6))
def test_captions_lie_within_the_picture(boxes: list[tuple[float, float, float, float]]) -> None:
    sides: tuple[Side, ...] = ("prediction", "label")
    for side in sides:
        drawing = draw([Box("cat", ID, *box, 0.5) for box in boxes], side)
        for text in parsed(svg(drawing, 200, 100)).iter(f"{SVG}text"):
            assert 0 <= float(text.get("x")) <= 200
            assert float(text.get("font-size")) - 0.01 <= float(text.get("y")) <= 100
