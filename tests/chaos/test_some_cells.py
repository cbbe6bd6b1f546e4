"""A part of ``make chaos`` that is done in less than a minute: one run for each way to get over something."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from tests.chaos.cells import fast_cells
from tests.chaos.ledger import Verdict


class _Cell(msgspec.Struct):
    service: str
    operation: str
    fault: str


class _Result(msgspec.Struct):
    cell: _Cell
    verdict: Verdict
    lives: int


@pytest.mark.timeout(300)
def test_nothing_is_lost_nothing_comes_twice_and_every_failure_names_its_cause(tmp_path: Path) -> None:
    found = tmp_path / "results.jsonl"
    # A process of its own, which forks the runs: that of the tests has threads.
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos", "--fast", "--lanes", "4", "--json", str(found)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=280)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(15)
    results = [msgspec.json.decode(line, type=_Result) for line in found.read_bytes().splitlines()]
    bad = [(each.cell, each.verdict) for each in results if not each.verdict.good]
    assert not bad, said
    assert process.returncode == 0, said
    assert len(results) == len(fast_cells()) > 15
    assert sum(each.verdict.lost + each.verdict.duplicated + each.verdict.unexplained for each in results) == 0
    # The faults that can be told only by their rows were felt, and a killed run had a second life.
    assert sum(each.verdict.failed for each in results) == 7
    assert max(each.lives for each in results) == 2
