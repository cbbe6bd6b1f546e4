from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest  # scipy has no types here

from vertex_model_inference.evaluation.classes import shortest_between
from vertex_model_inference.evaluation.comparison import mcnemar
from vertex_model_inference.evaluation.sweep import best, sweep, thinned
from vertex_model_inference.evaluation.texts import edit_distance
from vertex_model_inference.geometry.distances import line_distance
from vertex_model_inference.geometry.intersection import intersection_over_union
from vertex_model_inference.geometry.masks import draw

_words = st.text("abé👩", max_size=12)


def table_distance(one: str, other: str) -> int:
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


@given(_words, _words)
@settings(max_examples=300)
def test_edit_distance_is_that_of_the_table(one: str, other: str) -> None:
    assert edit_distance(one, other) == table_distance(one, other)


def test_edit_distance_of_long_texts() -> None:
    assert edit_distance("a" * 5000, "a" * 2500 + "b" + "a" * 2500) == 1
    assert edit_distance("", "abc") == 3


@given(st.integers(0, 400), st.integers(0, 400))
@settings(max_examples=60, deadline=None)
def test_mcnemar_is_the_binomial_test(one: int, other: int) -> None:
    wanted = binomtest(one, one + other, 0.5).pvalue if one + other else 1.0
    assert mcnemar(one, other) == pytest.approx(wanted, rel=1e-7, abs=1e-12)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=900), st.integers(0, 50))
@settings(max_examples=60, deadline=None)
def test_a_thinned_curve_keeps_its_ends_and_its_best(found: list[tuple[float, bool]], more: int) -> None:
    scores, right = (np.asarray(column) for column in zip(*found, strict=True))
    swept = sweep(scores.astype(np.float64), right, int(right.sum()) + more)
    kept = thinned(swept)
    assert len(kept) <= 200
    assert (np.diff(kept) > 0).all()
    assert {0, len(swept.threshold) - 1} <= set(kept.tolist())
    top = best(swept)
    assert top is None or top in kept


@given(st.integers(0, 10**6 - 1).flatmap(lambda low: st.tuples(st.just(low), st.integers(low + 1, 10**6))))
@settings(max_examples=200)
def test_a_threshold_parts_what_is_kept_from_what_is_dropped(millionths: tuple[int, int]) -> None:
    low, high = (value / 1e6 for value in millionths)
    value = shortest_between(low, high)
    assert low < value < high or value == pytest.approx(high, abs=1e-9)
    # Confidences are uploaded rounded: the model's own may be half a millionth lower.
    assert value <= high - 5e-7 + 1e-12


_coordinates = st.integers(0, 12).map(float)
_rings = st.lists(st.tuples(_coordinates, _coordinates), min_size=3, max_size=8).map(tuple)


@given(_rings, _rings)
@settings(max_examples=120, deadline=None)
def test_polygons_that_cross_themselves_overlap_as_they_are_drawn(
    one: tuple[tuple[float, float], ...], other: tuple[tuple[float, float], ...]
) -> None:
    scale = 40
    drawn = [draw(tuple((x * scale, y * scale) for x, y in ring), 12 * scale, 12 * scale) for ring in (one, other)]
    union = int((drawn[0] | drawn[1]).sum())
    wanted = int((drawn[0] & drawn[1]).sum()) / union if union > scale * scale else None
    value = intersection_over_union(one, other)
    assert 0 <= value <= 1
    assert value == pytest.approx(intersection_over_union(other, one), abs=1e-9)
    if wanted is not None:
        assert value == pytest.approx(wanted, abs=0.03)


def test_a_large_polygon_with_itself() -> None:
    angles = np.linspace(0, 2 * np.pi, 3000, endpoint=False)
    ring = tuple(zip((5e6 + 900 * np.cos(angles)).tolist(), (5e6 + 900 * np.sin(angles)).tolist(), strict=True))
    assert intersection_over_union(ring, ring) == pytest.approx(1.0, abs=1e-9)
    assert intersection_over_union(ring, tuple((x + 2000, y) for x, y in ring)) == 0.0


@given(st.lists(st.tuples(_coordinates, _coordinates), min_size=1, max_size=6).map(tuple), st.integers(1, 20))
@settings(max_examples=60)
def test_a_line_that_is_moved_is_no_farther_away_than_it_was_moved(
    line: tuple[tuple[float, float], ...], by: int
) -> None:
    moved = tuple((x, y + by) for x, y in line)
    assert line_distance(line, line) == pytest.approx(0, abs=1e-6)
    assert line_distance(line, tuple(reversed(moved))) <= by + 1e-9
    assert line_distance(line, moved) == pytest.approx(line_distance(moved, line))
