"""Tables that grow, groups and sums by key are what the plain way gives."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vertex_model_inference.evaluation.arrays import Columns, by_number, summed

_numbers = st.integers(-1, 6)


@given(st.lists(st.one_of(st.lists(_numbers, max_size=5), _numbers, st.none()), max_size=40))
@settings(max_examples=60, deadline=None)
def test_a_table_holds_all_that_was_put_and_shows_no_more_than_there_was(steps: list[list[int] | int | None]) -> None:
    table = Columns(("gone",), number=np.int32, gone=np.int64, twice=np.float64)
    wanted: list[int] = []
    seen: list[tuple[np.ndarray, list[int]]] = []
    for step in steps:
        if step is None:
            shown = table.get()
            assert list(shown) == ["number", "twice"]
            seen.append((shown["number"], list(wanted)))
        elif isinstance(step, int):
            table.put(step, 0, 2 * step)
            wanted.append(step)
        else:
            table.add(step, [0] * len(step), [2 * each for each in step])
            wanted += step
    shown = table.get()
    assert shown["number"].tolist() == wanted
    assert shown["twice"].tolist() == [2 * number for number in wanted]
    for view, then in seen:
        assert view.tolist() == then


def test_a_table_that_was_shown_grows_away_from_what_was_shown() -> None:
    table = Columns(number=np.int64)
    table.add(np.arange(8192))
    before = table.get()["number"]
    table.add(np.arange(100_000))
    assert before.tolist() == list(range(8192))
    assert table.get()["number"].tolist() == [*range(8192), *range(100_000)]


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="different lengths"):
        Columns(one=np.int8, other=np.int8).add([1, 2], [1])


@given(st.lists(_numbers, max_size=50))
def test_groups(numbers: list[int]) -> None:
    found = [each.tolist() for each in by_number(np.asarray(numbers, dtype=np.int32), 7)]
    assert found == [[at for at, number in enumerate(numbers) if number == wanted] for wanted in range(7)]


@given(st.lists(st.tuples(_numbers, _numbers, _numbers, st.integers(0, 9)), max_size=30))
def test_sums_by_key(rows: list[tuple[int, int, int, int]]) -> None:
    a, b, c, weight = (np.asarray([row[k] for row in rows], dtype=np.int64) for k in range(4))
    wanted: Counter[tuple[int, ...]] = Counter()
    for row in rows:
        wanted[row[:3]] += row[3]
    found = dict(summed(weight, a, b, c))
    assert found.keys() == wanted.keys()
    assert all(found[key] == total for key, total in wanted.items())
    assert dict(summed(None, a)) == Counter((row[0],) for row in rows)
