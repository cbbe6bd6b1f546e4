from __future__ import annotations

from collections import Counter

from vertex_model_inference.rows import Split
from vertex_model_inference.sandbox.datasets.material import SeedRow, in_seeding_order, stratified_splits


def test_splits_are_70_15_15_of_each_class() -> None:
    keys = [f"k{i}" for i in range(400)]
    answers = ["a"] * 300 + ["b"] * 100
    splits = stratified_splits(keys, answers)
    for answer, n in (("a", 300), ("b", 100)):
        counts = Counter(splits[key] for key, its in zip(keys, answers, strict=True) if its == answer)
        assert counts == {Split.TRAINING: n * 0.7, Split.VALIDATION: n * 0.15, Split.TEST: n * 0.15}


def test_splits_do_not_depend_on_the_order_of_the_rows() -> None:
    keys = [f"k{i}" for i in range(100)]
    forwards = stratified_splits(keys, ["a"] * 100)
    assert stratified_splits(keys[::-1], ["a"] * 100) == forwards


def test_seeding_order_is_a_shuffle_that_depends_on_the_keys_alone() -> None:
    rows = [SeedRow(key=f"k{i}", split=Split.TEST, text="t") for i in range(50)]
    ordered = in_seeding_order(rows)
    assert ordered == in_seeding_order(rows[::-1])
    assert ordered != rows
    assert sorted(row.key for row in ordered) == sorted(row.key for row in rows)
