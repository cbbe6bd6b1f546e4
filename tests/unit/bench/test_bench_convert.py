from __future__ import annotations

import json

from bench.convert import BOXES, ours, output_lines, plain, run


def test_both_ways_write_the_same_rows() -> None:
    source, data_rows = output_lines(rows=50)
    mine = [json.loads(line) for line in ours(source, data_rows).splitlines()]
    theirs = [json.loads(line) for line in plain(source, data_rows).splitlines()]
    assert len(mine) == 50 * BOXES
    for key in ("uuid", "dataRow", "name", "classifications"):
        assert [row[key] for row in mine] == [row[key] for row in theirs]


def test_run_gives_the_figures_and_compares_as_it_goes() -> None:
    figures = run(rows=120, rounds=1)
    assert figures["box_rows"] == 120 * BOXES
    assert all(figure > 0 for figure in figures.values())
