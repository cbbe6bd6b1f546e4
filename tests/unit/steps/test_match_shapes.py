from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from vertex_model_inference.annotations import Box, Checklist, Mask, Polygon
from vertex_model_inference.errors import MatchError, SettingsError
from vertex_model_inference.findings import (
    Finding,
    FoundBox,
    FoundEntity,
    FoundLabel,
    FoundLine,
    FoundMask,
    FoundPolygon,
)
from vertex_model_inference.geometry.runs import decode, encode
from vertex_model_inference.models import MatchRules
from vertex_model_inference.ontology import Classification, Ontology, Option, Tool
from vertex_model_inference.rows import DataRow
from vertex_model_inference.steps.match import Matched, Matcher

ROW = DataRow(id="row-1", row_data="gs://b/o.jpg", width=20, height=10)
RING = ((1.0, 1.0), (9.0, 1.0), (9.0, 9.0))


def tool(kind: str, name: str) -> Tool:
    return Tool(kind=kind, name=name, feature_schema_id=f"{kind}/{name}")


ONTOLOGY = Ontology(
    id="o",
    name="shapes",
    tools=(
        tool("rectangle", "cat"),
        tool("rectangle", "pet"),
        tool("polygon", "leaf"),
        tool("raster-segmentation", "leaf"),
        tool("raster-segmentation", "sky"),
        tool("polygon", "road"),
        tool("line", "lane"),
        tool("named-entity", "place"),
    ),
    classifications=(
        Classification(
            kind="checklist",
            name="traits",
            feature_schema_id="traits",
            options=tuple(Option(name=o, label=o, feature_schema_id=f"traits/{o}") for o in ("a", "b", "c")),
        ),
    ),
)


def match(findings: Sequence[Finding], row: DataRow = ROW, **rules: Any) -> Matched:
    return Matcher(ONTOLOGY, MatchRules(**rules)).match(findings, row)


def mask(label: str, *parts: tuple[slice, slice]) -> FoundMask:
    drawn = np.zeros((10, 20), dtype=np.bool_)
    for part in parts:
        drawn[part] = True
    return FoundMask(label, encode(drawn), 20, 10, 0.5)


def test_a_tool_of_the_findings_own_kind_comes_first() -> None:
    found = match([FoundPolygon("leaf", RING), mask("leaf", np.s_[1:4, 1:4])])
    assert [type(each) for each in found.annotations] == [Polygon, Mask]
    assert [type(each) for each in match([FoundPolygon("sky", RING), mask("road", np.s_[1:4, 1:4])]).annotations] == [
        Mask,
        Polygon,
    ]


@pytest.mark.parametrize("name", ["road", "sky"])
def test_a_box_is_never_taken_for_an_outline(name: str) -> None:
    with pytest.raises(MatchError, match=f"'{name}' is a (polygon|mask) tool there"):
        match([FoundBox(name, 1, 1, 5, 5)])


def test_parts_of_a_mask_are_counted_and_specks_left_out() -> None:
    found = match([mask("road", np.s_[1:5, 1:5], np.s_[6:9, 8:12], np.s_[0:1, 19:20])], min_size_px=2.0)
    assert len(found.annotations) == 2
    assert (found.extra, found.dropped) == (1, {})
    gone = match([mask("road", np.s_[0:1, 19:20]), mask("sky")], min_size_px=2.0)
    assert (gone.annotations, gone.dropped) == ((), {"road": 1, "sky": 1})
    assert len(gone.notes) == 2


def test_a_polygon_is_cut_at_the_pictures_edge() -> None:
    (found,) = match([FoundPolygon("road", ((15, -5), (30, -5), (30, 5), (15, 5)))]).annotations
    assert isinstance(found, Polygon)
    assert set(found.points) == {(15, 0), (20, 0), (20, 5), (15, 5)}
    assert match([FoundPolygon("road", ((30, 1), (40, 1), (40, 5)))]).dropped == {"road": 1}


@pytest.mark.parametrize(
    ("finding", "row", "message"),
    [
        (FoundPolygon("road", RING[:2]), ROW, "2 different points, it needs at least 3"),
        (FoundLine("lane", ((1.0, float("nan")), (2, 2))), ROW, "not a finite number"),
        (FoundMask("sky", b"\xff", 20, 10), ROW, "cannot be read"),
        (FoundMask("sky", b"0", 10, 10), ROW, "is 10 x 10 pixels, but the picture is 20 x 10"),
        (FoundPolygon("sky", RING), DataRow(id="row-2", row_data="x"), "the size of data row row-2 is unknown"),
        (FoundEntity("place", 5, 3), ROW, "from character 5 to 3"),
    ],
)
def test_what_is_malformed_is_told(finding: Finding, row: DataRow, message: str) -> None:
    with pytest.raises(MatchError, match=message) as caught:
        match([finding], row)
    assert caught.value.hint


def test_one_class_feeds_several_features_and_several_classes_one() -> None:
    found = match(
        [FoundBox("dog", 1, 1, 5, 5), FoundBox("cow", 2, 2, 5, 5)], classes={"dog": ("cat", "pet"), "cow": "pet"}
    )
    assert [each.name for each in found.annotations] == ["cat", "pet", "pet"]
    assert found.extra == 1


def test_a_class_has_its_own_threshold() -> None:
    found = match(
        [
            FoundBox("cat", 0, 0, 5, 5, 0.4),
            FoundBox("pet", 0, 0, 5, 5, 0.4),
            FoundLabel("a", 0.2),
            FoundLabel("b", 0.2),
        ],
        threshold=0.5,
        thresholds={"pet": 0.3, "b": 0.1},
    )
    assert [each.name for each in found.annotations] == ["pet", "traits"]
    assert found.dropped == {"cat": 1, "a": 1}


def test_only_the_best_answers_are_kept() -> None:
    found = match([FoundLabel("a", 0.6), FoundLabel("b", 0.9), FoundLabel("c", 0.8)], top_k=2)
    (made,) = found.annotations
    assert isinstance(made, Checklist)
    assert [answer.name for answer in made.answers] == ["b", "c"]
    assert found.outscored == 1


def test_overlapping_boxes_of_a_feature_and_of_any() -> None:
    boxes = [FoundBox("cat", 0, 0, 8, 8, 0.5), FoundBox("cat", 0, 1, 8, 8, 0.9), FoundBox("pet", 0, 0, 8, 8, 0.7)]
    assert [each.confidence for each in match(boxes).annotations] == [0.5, 0.9, 0.7]
    aware = match(boxes, nms_iou=0.5)
    assert [each.confidence for each in aware.annotations] == [0.9, 0.7]
    assert aware.outscored == 1
    any_two = match(boxes, nms_iou=0.5, nms_agnostic=True)
    assert [each.confidence for each in any_two.annotations] == [0.9]
    unmapped = [FoundBox("lamp", 0, 0, 8, 8, 1.0), *boxes]  # what is not used takes nothing away
    assert match(unmapped, nms_iou=0.5, nms_agnostic=True, unmapped="drop").annotations == any_two.annotations


def test_the_best_of_too_many_are_kept_and_the_rest_counted() -> None:
    found = match([FoundBox("cat", n, 0, 1, 1, n / 10) for n in range(5)], max_annotations=2)
    assert [each.left for each in found.annotations if isinstance(each, Box)] == [3, 4]
    assert found.dropped == {"cat": 3}
    assert found.notes == ("Only the best 2 annotations of 'cat' were kept.",)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (MatchRules(thresholds={"cat": 50}), "thresholds of 'cat' is 50"),
        (MatchRules(nms_iou=2), "nms_iou is 2"),
        (MatchRules(nms_agnostic=True), "nms_iou is not"),
        (MatchRules(top_k=0), "top_k is 0"),
        (MatchRules(max_annotations=0), "max_annotations is 0"),
        (MatchRules(min_size_px=-1), "min_size_px is -1"),
        (MatchRules(simplify_px=float("nan")), "simplify_px is nan"),
        (MatchRules(classes={"cat": ()}), "to nothing"),
        (MatchRules(classes={"cat": ("pet", "pit")}), "'pit', which the ontology"),
    ],
)
def test_rules_that_cannot_work_are_refused(rules: MatchRules, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Matcher(ONTOLOGY, rules)


def blob(label: str, top: int, score: float, width: int = 20, height: int = 10) -> FoundMask:
    drawn = np.zeros((height, width), dtype=np.bool_)
    drawn[top : top + 4, 2:8] = True
    return FoundMask(label, encode(drawn), width, height, score)


def ring(label: str, top: float, score: float) -> FoundPolygon:
    return FoundPolygon(label, ((2, top), (8, top), (8, top + 4), (2, top + 4)), score)


@pytest.mark.parametrize(("make", "one", "other"), [(blob, "leaf", "sky"), (ring, "leaf", "road")])
def test_overlapping_outlines_and_masks_of_a_feature_and_of_any(make: Any, one: str, other: str) -> None:
    found = [make(one, 0, 0.5), make(one, 1, 0.9), make(other, 1, 0.7), make(one, 5, 0.3)]
    assert [each.confidence for each in match(found, nms_iou=0.4).annotations] == [0.9, 0.7, 0.3]
    assert [each.confidence for each in match(found, nms_iou=0.4, nms_agnostic=True).annotations] == [0.9, 0.3]
    assert len(match(found, nms_iou=0.7).annotations) == 4


def test_only_findings_of_one_kind_take_each_other_away() -> None:
    one_of_each: list[Finding] = [FoundBox("cat", 2, 1, 6, 4, 0.5), ring("leaf", 1, 0.6), blob("leaf", 1, 0.7)]
    assert len(match(one_of_each, nms_iou=0.1, nms_agnostic=True).annotations) == 3


def test_what_is_too_small_or_unreadable_takes_nothing_away() -> None:
    broken = FoundMask("sky", b"\xff", 20, 10, 1.0)
    with pytest.raises(MatchError, match="cannot be read"):
        match([broken, blob("sky", 1, 0.5)], nms_iou=0.1)
    tiny = mask("sky", np.s_[1:2, 2:3])
    found = match([tiny, mask("sky", np.s_[1:3, 2:4])], nms_iou=0.1, min_size_px=2.0)
    assert (len(found.annotations), found.dropped, found.outscored) == (1, {"sky": 1}, 0)


@pytest.mark.parametrize(("width", "height"), [(10, 5), (40, 20), (13, 7), (13, 6), (19, 10)])
def test_a_mask_of_the_pictures_form_is_scaled_to_it(width: int, height: int) -> None:
    drawn = np.zeros((height, width), dtype=np.bool_)
    drawn[: height // 2] = True
    found = match([FoundMask("sky", encode(drawn), width, height, 0.5)])
    (made,) = found.annotations
    assert isinstance(made, Mask)
    assert (made.width, made.height) == (20, 10)
    assert abs(decode(made.counts, 20, 10)[:, 0].sum() - 5) <= 1
    assert found.notes == (f"Masks of {width} x {height} pixels were scaled to the picture's 20 x 10.",)


@pytest.mark.parametrize(("width", "height"), [(20, 20), (10, 10), (30, 20), (64, 64)])
def test_a_mask_of_another_form_is_refused(width: int, height: int) -> None:
    with pytest.raises(MatchError, match="but the picture is 20 x 10, which is of another form"):
        match([blob("sky", 1, 0.5, width, height)])
