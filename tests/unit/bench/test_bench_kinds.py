from __future__ import annotations

from bench.kinds import KINDS, profiled, run


def test_every_kind_is_measured_beside_the_sdk_with_equal_rows() -> None:
    figures = run(rows=24, rounds=1)
    assert len(figures) == len(KINDS)
    for figure in figures:
        assert figure.ours > 0
        assert figure.other is not None
        assert figure.other > 0


def test_a_profile_names_functions_of_ours() -> None:
    assert "ndjson.py" in profiled("entities", rows=20)
