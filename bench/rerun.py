"""Runs after a run: nothing to do, and answers read again. Rows a second and memory, beside the first run's.

``python -m bench rerun --rows 100000``, with rows, sandbox and model of ``bench scale``. The third run drops classes
that fit nothing, which changes no answer: all kept answers are read again, and nothing is sent twice. The model counts
nothing here; that a second run asks it for nothing is tested, and seen in how long it takes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bench import container, fat, scale, scale_rows
from vertex_model_inference.sandbox.launcher import running

__all__ = ["Again", "main", "measure"]


class Again(msgspec.Struct, frozen=True):
    """One run of several. ``seconds``: of the whole command; ``cpu_s``: of its process; ``reused``: rows left alone."""

    what: str
    rows: int
    reused: int
    seconds: float
    cpu_s: float
    peak_mb: float
    message: str


def measure(rows: int, folder: Path | None = None) -> list[Again]:
    """Three runs over the same rows.

    Args:
        rows: At least 1.
        folder: Where all of it is kept; None: a temporary folder.

    Raises:
        AssertionError: A row was not predicted, or was done again.
    """
    found = []
    with (
        tempfile.TemporaryDirectory(prefix="vmi-rerun-", dir=folder) as name,
        container.serving() as models,
        fat.serving() as pictures,
    ):
        home = Path(name)
        base = scale_rows.port_base()
        model_run_id = scale_rows.seed(
            home / "state", f"http://127.0.0.1:{base}", scale_rows.rows_of(rows, pictures, 0)
        )
        with running(port_base=base, state=home / "state") as config:
            environment = {**config.environment(), "VMI_DATA_DIR": str(home / "vmi")}
            toml = scale_rows.toml(models, "online", 0)
            runs = (("first run", toml), ("nothing to do", toml), ("answers read again", f'{toml}unmapped = "drop"\n'))
            for what, text in runs:
                (home / "vmi.toml").write_text(text)
                status, seconds, usage, samples = scale._run(environment, model_run_id, home)
                counts = status["counts"]
                assert counts["predicted"] == rows, status
                assert counts["reused"] == (rows if what == "nothing to do" else 0), status
                peak = max((sample.most_mb for sample in samples), default=0.0)
                cpu = round(usage.ru_utime + usage.ru_stime, 1)
                found.append(Again(what, rows, counts["reused"], round(seconds, 1), cpu, peak, status["message"]))
    return found


def main(arguments: Sequence[str]) -> None:
    """``python -m bench rerun``."""
    parser = argparse.ArgumentParser(prog="python -m bench rerun", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000, metavar="N", help="data rows (10,000)")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where to keep it all; some 6 kB a row")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(arguments)
    found = measure(given.rows, given.folder)
    if given.json:
        print(json.dumps(msgspec.to_builtins(found)))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("run", "rows", "reused", "seconds", "CPU s", "peak MB"):
        table.add_column(column, justify="left" if column == "run" else "right")
    for each in found:
        figures = (f"{each.seconds:,.1f}", f"{each.cpu_s:,.1f}", f"{each.peak_mb:,.0f}")
        table.add_row(each.what, f"{each.rows:,}", f"{each.reused:,}", *figures)
    Console().print(table)
