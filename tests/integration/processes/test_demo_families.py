"""``vmi demo`` on the data sets of masks, entities and layouts, as a newcomer starts it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.integration.fates.serving import vmi

pytestmark = pytest.mark.xdist_group("demos")


@pytest.mark.parametrize(
    ("name", "rows", "empty", "measure", "least"),
    [
        ("coins", 14, 2, "masks found", 0.99),
        ("entities", 40, None, None, 0.0),
        ("layout", 8, 0, "boxes found", 0.75),
    ],
)
def test_a_demo(tmp_path: Path, name: str, rows: int, empty: int | None, measure: str | None, least: float) -> None:
    done = vmi(tmp_path, {}, "demo", name, "--rows", str(rows), "--json", seconds=170)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["good"] is True
    counts = told["status"]["counts"]
    assert counts["exported"] == rows
    assert counts.get("failed", 0) == 0
    assert counts["predicted"] + counts.get("empty", 0) == rows
    if empty is not None:
        assert counts.get("empty", 0) == empty
    read = told["read_back"]
    assert read["annotations"] > counts["predicted"]
    assert read["without_confidence"] == 0
    assert [(m["name"], m["value"] >= least) for m in read["measures"]] == ([(measure, True)] if measure else [])
