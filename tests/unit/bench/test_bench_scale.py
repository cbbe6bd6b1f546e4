from __future__ import annotations

import pytest
from bench.scale import Scale, _mb_at_tenths, _overlap, _timeline, measure
from bench.watching import Sample

STEPS = ("export", "assets", "predict", "decode", "upload")


def sample(at: float, *done: int, mb: float = 100.0) -> Sample:
    return Sample(at, mb, mb, dict(zip(STEPS, done, strict=True)))


def test_overlap_is_the_share_of_time_in_which_all_move() -> None:
    beside = [sample(at, *(min(100, at * 10 - lag) for lag in (0, 2, 4, 6, 8))) for at in range(1, 13)]
    after = [sample(at, *(max(0, min(100, at * 50 - 100 * n)) for n in range(5))) for at in range(1, 12)]
    assert _overlap(beside) == 1.0
    assert _overlap(after) == 0.0
    assert _overlap([]) == 0.0


def test_memory_is_told_at_each_tenth_of_the_rows() -> None:
    samples = [sample(n, 100, 100, 100, 100, n * 10, mb=100.0 + n) for n in range(11)]
    assert _mb_at_tenths(samples, 100) == [101.0 + n for n in range(10)]


@pytest.mark.parametrize("predictor", ["online", "batch"])
def test_a_small_run_gives_every_figure(predictor: str) -> None:
    scale: Scale = measure(1200, predictor)
    assert scale.rows == 1200
    assert scale.seconds > 0
    assert 50 < scale.peak_mb < 400
    assert 0 < scale.database_mb < 5
    assert set(scale.cpu_per_1000) == {*STEPS, "other"}
    assert set(scale.sandbox_cpu_s) == {"labelbox", "storage", "vertex", "model"}
    lines = list(_timeline(scale))
    assert len(lines) == 6
