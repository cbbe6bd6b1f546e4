"""``vmi demo`` on the data sets of masks, entities, layouts, PDFs and videos, as a newcomer starts it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.integration.fates.serving import vmi

pytestmark = pytest.mark.xdist_group("demos")


@pytest.mark.parametrize(
    ("name", "rows", "empty", "least"),
    [
        ("coins", 14, 2, {"masks found": 0.99}),
        ("entities", 40, None, {}),
        ("layout", 8, 0, {"boxes found": 0.75}),
        ("pages", 5, 0, {"boxes found": 0.9, "words found": 0.99}),
        ("videos", 2, 0, {}),
        ("conversations", 12, 0, {"messages right": 0.5}),
    ],
)
def test_a_demo(tmp_path: Path, name: str, rows: int, empty: int | None, least: dict[str, float]) -> None:
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
    assert read["without_confidence"] == (read["annotations"] if name == "videos" else 0)  # tracks have none
    assert [measure["name"] for measure in read["measures"]] == list(least)
    assert all(measure["value"] >= least[measure["name"]] for measure in read["measures"])
