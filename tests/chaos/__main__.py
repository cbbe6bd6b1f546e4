"""``python -m tests.chaos``: break everything, once, now and then, and for good, and print what became of the rows.

Exit code 1 when anything was lost, duplicated or left unexplained, or a run ended otherwise than it must.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from tests.chaos.cell import Cell
from tests.chaos.cells import all_cells, fast_cells
from tests.chaos.pool import Result, forked, perform
from tests.chaos.stage import Stage, prepared, standing
from tests.chaos.work import preload

_HEADINGS = ("rows", "as if quiet", "failed", "not exported", "lost", "duplicated", "unexplained", "wrong")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--fast", action="store_true", help="only a few dozen cells")
    parser.add_argument("--only", help="only cells whose name has this (a regular expression)")
    parser.add_argument("--lanes", type=int, default=24, help="runs at a time")
    parser.add_argument("--minutes", type=float, default=19.0, help="begin no further cell after so long")
    parser.add_argument("--every", type=int, default=1, help="only every n-th cell")
    parser.add_argument("--json", type=Path, help="write each cell's result here, a line each")
    parser.add_argument("--keep", type=Path, help="keep the runs' files and logs in this folder")
    parser.add_argument("--list", action="store_true", help="print the cells' names and end")
    return parser.parse_args()


def _chosen(given: argparse.Namespace) -> list[Cell]:
    cells = fast_cells() if given.fast else all_cells()
    cells = [cell for cell in cells if given.only is None or re.search(given.only, cell.name)]
    return cells[:: given.every]


def _table(results: Sequence[Result]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("service", "rate", "runs", "requests broken", *_HEADINGS):
        table.add_column(heading, justify="left" if heading in ("service", "rate") else "right")
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.cell.service, result.cell.rate), []).append(result)
    for (service, rate), of in sorted(groups.items()):
        table.add_row(service, rate, *_sums(of))
    table.add_section()
    table.add_row("all", "", *_sums(results), style="bold")
    return table


def _sums(results: Sequence[Result]) -> list[str]:
    verdicts = [result.verdict for result in results]
    names = ("rows", "predicted", "failed", "unexported", "lost", "duplicated", "unexplained")
    broken = sum(result.book.fired for result in results if result.book is not None)
    return [
        f"{len(results):,}",
        f"{broken:,}",
        *(f"{sum(getattr(verdict, name) for verdict in verdicts):,}" for name in names),
        f"{sum(bool(verdict.wrong) for verdict in verdicts):,}",
    ]


def _tell(console: Console, result: Result) -> None:
    cell, verdict = result.cell, result.verdict
    console.print(f"[red]{cell.name}[/red] ({result.seconds:.0f} s)", highlight=False)
    for line in dict.fromkeys([*verdict.wrong, *verdict.notes]):
        console.print(f"    {line}", markup=False, highlight=False, soft_wrap=True)


def main() -> int:
    given = _arguments()
    cells = _chosen(given)
    console = Console(width=None if sys.stdout.isatty() else 150)
    if given.list:
        for cell in cells:
            print(cell.name)
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no process is left behind
    # Else numpy begins threads as it is imported, and a process with threads must not fork.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    began = time.monotonic()
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="vmi-chaos-") as made:
        folder = given.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        with standing(folder) as bare:
            preload()
            assert len(os.listdir("/proc/self/task")) == 1, "a process with threads must not fork"  # noqa: PTH208
            stage: Stage = forked(lambda: prepared(bare), folder / "stage.json", Stage)
            until = began + given.minutes * 60
            for result in perform(stage, cells, given.lanes, until=until, keep=given.keep is not None):
                results.append(result)
                if given.json:
                    with given.json.open("ab") as out:
                        out.write(msgspec.json.encode(result) + b"\n")
                if not result.verdict.good:
                    _tell(console, result)
    seconds = time.monotonic() - began
    console.print(_table(results))
    late = "" if len(results) == len(cells) else f"; no time for {len(cells) - len(results):,}"
    console.print(f"{len(results):,} of {len(cells):,} cells in {seconds / 60:.1f} minutes{late}")
    return 0 if all(result.verdict.good for result in results) and len(results) == len(cells) else 1


if __name__ == "__main__":
    sys.exit(main())
