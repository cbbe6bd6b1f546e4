"""Masks, run lengths, PNG files and polygons say the same; what non-maximum suppression keeps does not overlap."""

from __future__ import annotations

import io

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from vertex_model_inference.geometry.boxes import Edges, iou, kept_by_nms
from vertex_model_inference.geometry.masks import draw, outlines, png
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
