"""Masks, run lengths, PNG files and polygons say the same; what non-maximum suppression keeps does not overlap."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from vertex_model_inference.geometry.boxes import Edges, iou, kept_by_nms
from vertex_model_inference.geometry.masks import draw, outlines, png, scaled
from vertex_model_inference.geometry.overlap import kept_by_overlap, mask_ious, polygon_iou
from vertex_model_inference.geometry.polygons import Ring, area, clip, simplify
from vertex_model_inference.geometry.runs import BitMask, MalformedRunsError, decode, decode_runs, encode

calmly = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=80)


@st.composite
def bitmasks(draw_value: st.DrawFn) -> BitMask:
    """Anything from single pixels over noise to blobs with holes."""
    height, width = draw_value(st.integers(1, 14)), draw_value(st.integers(1, 14))
    bits = draw_value(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    mask = np.asarray(bits, dtype=np.bool_).reshape(height, width)
    if draw_value(st.booleans()):
        mask = np.kron(mask, np.ones((3, 2), dtype=np.bool_)) > 0
    return mask


@calmly
@given(mask=bitmasks())
def test_run_lengths_come_back(mask: BitMask) -> None:
    height, width = mask.shape
    assert np.array_equal(decode(encode(mask), width, height), mask)
    flat = mask.T.reshape(-1).tolist()
    runs, value = [0], False
    for bit in flat:
        if bit != value:
            runs.append(0)
            value = bit
        runs[-1] += 1
    assert np.array_equal(decode_runs(runs, width, height), mask)


@calmly
@given(counts=st.binary(max_size=30) | st.text("0123456789:;<=>?@ABCPQRS`abcmno", max_size=20).map(str.encode))
def test_any_bytes_are_a_mask_or_refused(counts: bytes) -> None:
    try:
        mask = decode(counts, 7, 5)
    except MalformedRunsError:
        return
    assert mask.shape == (5, 7)


@pytest.mark.parametrize("runs", [[], [1], [-1, 36], [36], [2**70], [35, 1]])
def test_runs_of_another_size_are_refused(runs: list[int]) -> None:
    with pytest.raises(MalformedRunsError):
        decode_runs(runs, 7, 5)
    with pytest.raises(MalformedRunsError, match="none that can be drawn"):
        decode_runs([], 0, 5)
    with pytest.raises(MalformedRunsError, match="none that can be drawn"):
        decode(b"0", 10**6, 10**6)


@calmly
@given(mask=bitmasks())
def test_a_png_shows_the_mask(mask: BitMask) -> None:
    with Image.open(io.BytesIO(png(mask))) as image:
        assert (image.mode, image.size) == ("L", (mask.shape[1], mask.shape[0]))
        assert np.array_equal(np.asarray(image), mask.astype(np.uint8))


@calmly
@given(mask=bitmasks())
def test_outlines_are_clean_apart_and_draw_the_mask_again(mask: BitMask) -> None:
    height, width = mask.shape
    rings = outlines(mask)
    drawn = np.zeros(mask.shape, dtype=np.int64)
    for ring in rings:
        assert shapely.Polygon(ring).is_valid
        drawn += draw(ring, width, height)
    assert np.array_equal(drawn, mask.astype(np.int64))  # all of it, and nothing twice
    assert sum(map(area, rings)) == mask.sum()
    assert [area(ring) for ring in rings] == sorted((area(ring) for ring in rings), reverse=True)


def test_a_disc_with_a_hole_is_cut_into_two_and_simplified_within_the_tolerance() -> None:
    y, x = np.mgrid[:60, :80]
    distance = np.hypot(x - 40, y - 30)
    mask = (distance < 25) & (distance > 8)
    whole = outlines(mask)
    assert len(whole) == 2
    simple = outlines(mask, tolerance=1.5)
    assert sum(map(len, simple)) < sum(map(len, whole)) / 3
    for one, other in zip(simple, whole, strict=True):
        assert shapely.Polygon(one).is_valid
        assert shapely.hausdorff_distance(shapely.Polygon(one).exterior, shapely.Polygon(other).exterior) <= 2.2
    assert outlines(mask, smallest=10_000) == ()


coordinates = st.floats(-20, 60, allow_nan=False).map(lambda value: round(value, 3))
rings = st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=9, unique=True).map(tuple)


@calmly
@given(ring=rings)
def test_drawing_covers_the_pixels_whose_centres_are_within(ring: Ring) -> None:
    polygon = shapely.Polygon(ring)
    drawn = draw(ring, 30, 20)
    if not polygon.is_valid:
        return
    for row in range(0, 20, 3):
        for column in range(0, 30, 3):
            centre = shapely.Point(column + 0.5, row + 0.5)
            if polygon.exterior.distance(centre) > 1e-9:
                assert drawn[row, column] == polygon.contains(centre)


@calmly
@given(ring=rings)
def test_clipping_leaves_what_is_in_the_picture(ring: Ring) -> None:
    polygon = shapely.Polygon(ring)
    clipped = clip(ring, 30, 20)
    assert all(-1e-9 <= x <= 30 + 1e-9 and -1e-9 <= y <= 20 + 1e-9 for x, y in clipped)
    if polygon.is_valid:
        assert area(clipped) == pytest.approx(polygon.intersection(shapely.box(0, 0, 30, 20)).area, abs=1e-6)
        assert area(ring) == pytest.approx(polygon.area, abs=1e-6)


@calmly
@given(ring=rings, tolerance=st.floats(0, 5))
def test_simplifying_takes_points_away_and_never_all(ring: Ring, tolerance: float) -> None:
    simple = simplify(ring, tolerance)
    assert 3 <= len(simple) <= len(ring)


sides = st.floats(0, 50, allow_nan=False)
boxes = st.tuples(sides, sides, sides, sides).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


@calmly
@given(
    given_boxes=st.lists(st.tuples(boxes, st.sampled_from([0.1, 0.5, 0.9]), st.sampled_from("ab")), max_size=12),
    limit=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    aware=st.booleans(),
)
def test_what_nms_keeps_does_not_overlap_and_what_it_takes_does(
    given_boxes: list[tuple[Edges, float, str]], limit: float, aware: bool
) -> None:
    where, scores, classes = ([each[i] for each in given_boxes] for i in range(3))
    kept = kept_by_nms(where, scores, limit, classes if aware else None)  # type: ignore[arg-type]
    assert list(kept) == sorted(set(kept))

    def clash(a: int, b: int) -> bool:
        return (not aware or classes[a] == classes[b]) and iou(where[a], where[b]) > limit  # type: ignore[arg-type]

    assert not any(clash(a, b) for a in kept for b in kept if a != b)
    for gone in set(range(len(where))) - set(kept):
        assert any(clash(gone, better) and scores[better] >= scores[gone] for better in kept)  # type: ignore[operator]
    if where:
        assert scores.index(max(scores)) in kept
    again = kept_by_nms([where[i] for i in kept], [scores[i] for i in kept], limit, [classes[i] for i in kept])  # type: ignore[misc]
    assert len(again) == len(kept)


def _clash(overlap: np.ndarray[Any, Any], classes: list[str], limit: float, *, aware: bool) -> Any:
    return lambda a, b: (not aware or classes[a] == classes[b]) and overlap[a, b] > limit


def _check_kept(
    overlap: np.ndarray[Any, Any], scores: list[float], classes: list[str], limit: float, *, aware: bool
) -> None:
    """The invariants of suppression, whatever is suppressed."""
    count = len(scores)

    def keep(order: list[int]) -> set[int]:
        kept = kept_by_overlap(
            lambda a, b: float(overlap[order[a], order[b]]),
            [scores[index] for index in order],
            limit,
            [classes[index] for index in order] if aware else None,
        )
        return {order[place] for place in kept}

    kept = keep(list(range(count)))
    clash = _clash(overlap, classes, limit, aware=aware)
    assert not any(clash(a, b) for a in kept for b in kept if a != b)
    for gone in set(range(count)) - kept:
        assert any(clash(gone, better) and scores[better] >= scores[gone] for better in kept)
    for each in set(classes) if aware else {None}:
        mine = [index for index in range(count) if each is None or classes[index] == each]
        assert not mine or max(mine, key=lambda index: scores[index]) in kept
    assert keep(sorted(kept)) == kept
    if len(set(scores)) == count:  # among equals the first wins
        assert keep(list(reversed(range(count)))) == kept


scored = st.lists(st.tuples(st.integers(0, 99).map(lambda n: n / 100), st.sampled_from("ab")), max_size=7)
limits = st.sampled_from([0.0, 0.3, 0.5, 1.0])


@calmly
@given(given_scores=scored, limit=limits, aware=st.booleans(), data=st.data())
def test_suppression_of_masks_keeps_its_promises(
    given_scores: list[tuple[float, str]], limit: float, aware: bool, data: st.DataObject
) -> None:
    masks = []
    for _ in given_scores:
        x, y, wide, high = (data.draw(st.integers(0, 8)) for _ in range(4))
        mask = np.zeros((12, 12), dtype=np.bool_)
        mask[y : y + high, x : x + wide] = True
        masks.append(mask)
    overlap = mask_ious([encode(mask) for mask in masks], 12, 12)
    for a, one in enumerate(masks):
        for b, other in enumerate(masks):
            both = (one | other).sum()
            assert overlap[a, b] == pytest.approx((one & other).sum() / both if both else 0.0)
    _check_kept(overlap, [s for s, _ in given_scores], [c for _, c in given_scores], limit, aware=aware)


@calmly
@given(outlines_given=st.lists(rings, max_size=5), given_scores=scored, limit=limits, aware=st.booleans())
def test_suppression_of_outlines_keeps_its_promises(
    outlines_given: list[Ring], given_scores: list[tuple[float, str]], limit: float, aware: bool
) -> None:
    count = min(len(outlines_given), len(given_scores))
    several = outlines_given[:count]
    overlap = np.array([[polygon_iou(a, b) for b in several] for a in several]).reshape(count, count)
    assert np.array_equal(overlap, overlap.T)
    assert ((overlap >= 0) & (overlap <= 1)).all()
    scores, classes = [s for s, _ in given_scores[:count]], [c for _, c in given_scores[:count]]
    _check_kept(overlap, scores, classes, limit, aware=aware)


@calmly
@given(one=rings, other=rings)
def test_the_overlap_of_outlines_is_nearly_exact(one: Ring, other: Ring) -> None:
    a, b = shapely.Polygon(one), shapely.Polygon(other)
    if not a.is_valid or not b.is_valid or min(a.area, b.area) < 50:
        return
    exact = a.intersection(b).area / a.union(b).area
    assert polygon_iou(one, other) == pytest.approx(exact, abs=0.03)


@pytest.mark.parametrize("counts", [b"\xff", b"0", b""])
def test_malformed_runs_have_no_overlap(counts: bytes) -> None:
    with pytest.raises(ValueError, match="run"):
        mask_ious([counts], 4, 4)


@calmly
@given(mask=bitmasks(), width=st.integers(1, 40), height=st.integers(1, 40))
def test_scaling_takes_the_nearest_pixel(mask: BitMask, width: int, height: int) -> None:
    made = scaled(mask, width, height)
    assert made.shape == (height, width)
    assert np.array_equal(scaled(np.kron(mask, np.ones((3, 2), dtype=np.bool_)), mask.shape[1], mask.shape[0]), mask)
    assert set(np.unique(made)) <= set(np.unique(mask))
