"""A run over any number of synthetic data rows: rows a second, CPU by step, memory over the run, the database's size.

``python -m bench scale --rows 100000``. The rows are short texts, written straight into the database of a sandbox
before it starts (the SDK's way in would take longer than the run); everything from the export on goes through the
sandbox's own servers. The model is a container that answers at once, so what is measured is everything around a model.
The sandbox's servers share the cores; their CPU is told apart, since it is more than the engine's own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from bench import container, fat
from bench.scale_rows import OPTION, port_base, register, rows_of, seed, toml
from bench.serve import environment_with
from bench.watching import Sample, Watch, cpu_of_children
from vertex_model_inference.sandbox.launcher import running

__all__ = ["Scale", "main", "measure"]


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """What one run came to.

    Attributes:
        rows: Data rows. ``predictor``: ``online`` (a container) or ``batch`` (batch prediction jobs).
        seeding_s: Seconds to write the rows into the sandbox; not part of ``seconds``.
        seconds: From the start of ``vmi run`` to its end.
        export_wait_s: Of these, until the first row was exported: imports, and the sandbox writing the export's files.
        rows_per_s: Of the whole.
        cpu_s: CPU seconds of the engine's process.
        cpu_per_1000: CPU milliseconds for 1,000 rows by step (the step's own thread), and ``other``: storage client's
            threads, the engine's bookkeeping, imports.
        peak_mb: Most resident memory of the engine's process; ``mb_at``: at tenths of the run's rows.
        database_mb: Of the engine's SQLite files; ``artifacts_mb``: of the run's files.
        overlap: Share of the time after the first exported row in which export, predict and upload all moved.
        sandbox_cpu_s: CPU seconds of the sandbox's servers and the model, by name.
        waited: Of the run's status.
        samples: At most 200, evenly spread.
    """

    rows: int
    predictor: str
    seeding_s: float
    seconds: float
    export_wait_s: float
    rows_per_s: float
    cpu_s: float
    cpu_per_1000: dict[str, float]
    peak_mb: float
    mb_at: list[float]
    database_mb: float
    artifacts_mb: float
    overlap: float
    sandbox_cpu_s: dict[str, float]
    waited: dict[str, float]
    samples: list[Sample]


def _run(environment: dict[str, str], run_id: str, folder: Path) -> tuple[dict[str, Any], float, Any, list[Sample]]:
    """The status, seconds, resource usage, and samples of ``vmi run``."""
    with (folder / "status.json").open("wb") as out, (folder / "log").open("wb") as log:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "vertex_model_inference", "run", run_id, "--model", OPTION, "--json"],
            env=environment_with(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=log,
        )
        watch = Watch(process.pid, environment, folder)
        _, code, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        watch.close()
        process.returncode = os.waitstatus_to_exitcode(code)
    assert process.returncode == 0, (folder / "log").read_text()[-3000:]
    return json.loads((folder / "status.json").read_bytes()), seconds, usage, watch.samples


def _overlap(samples: Sequence[Sample]) -> float:
    """Share of the time, from the first exported row to the last uploaded, in which all three steps moved on.

    In pieces of three seconds or a hundredth, whichever is more: the status is told once a second, a shard at a time.
    """
    if not samples:
        return 0.0
    last = samples[-1].done["upload"]
    busy = [sample for sample in samples if sample.done["export"] and sample.done["upload"] < last]
    piece = max(3.0, samples[-1].at / 100)
    marks = busy[:1]
    for sample in busy:
        if sample.at - marks[-1].at >= piece:
            marks.append(sample)
    moved = [all(b.done[step] > a.done[step] for step in ("export", "predict", "upload")) for a, b in pairwise(marks)]
    return round(sum(moved) / len(moved), 3) if moved else 0.0


def _mb_at_tenths(samples: Sequence[Sample], rows: int) -> list[float]:
    """Resident MB when each tenth of the rows was uploaded."""
    found = []
    for tenth in range(1, 11):
        after = [sample.mb for sample in samples if sample.done["upload"] >= rows * tenth / 10]
        found.append(after[0] if after else samples[-1].mb if samples else 0.0)
    return found


def _megabytes(folder: Path, pattern: str) -> float:
    return round(sum(path.stat().st_size for path in folder.glob(pattern)) / 1e6, 2)


def measure(
    rows: int, predictor: str = "online", folder: Path | None = None, asset_bytes: int = 0, shard_rows: int = 1000
) -> Scale:
    """One run over ``rows`` rows in a sandbox of its own.

    Args:
        rows: At least 1.
        predictor: ``online`` or ``batch``.
        folder: Where all of it is kept, some 3 kB a row; None: a temporary folder.
        asset_bytes: Of a picture each, fetched over http, copied, and sent to the model whole; 0: texts.
        shard_rows: Of the engine's settings; with fewer, more of few rows are under way at once.

    Raises:
        AssertionError: A row was not predicted.
    """
    with (
        tempfile.TemporaryDirectory(prefix="vmi-scale-", dir=folder) as name,
        container.serving() as models,
        fat.serving() as pictures,
    ):
        home = Path(name)
        base = port_base()
        started = time.perf_counter()
        model_run_id = seed(home / "state", f"http://127.0.0.1:{base}", rows_of(rows, pictures, asset_bytes))
        seeding = time.perf_counter() - started
        with running(port_base=base, state=home / "state") as config:
            (home / "vmi.toml").write_text(toml(models, predictor, asset_bytes))
            if predictor == "batch":
                register(config, models)
            environment = {**config.environment(), "VMI_DATA_DIR": str(home / "vmi")}
            environment["VMI_SHARD_ROWS"] = str(shard_rows)
            before = cpu_of_children()
            status, seconds, usage, samples = _run(environment, model_run_id, home)
            after = cpu_of_children()
            database = _megabytes(home / "vmi", "vmi.sqlite*")
            artifacts = 0.0
            for entry in _Artifacts(environment, home).entries():
                artifacts += entry / 1e6
    counts = status["counts"]
    assert counts["predicted"] == rows, status
    cpu = usage.ru_utime + usage.ru_stime
    per_step = {step: each["cpu_seconds"] * 1e6 / rows for step, each in status["steps"].items()}
    per_step["other"] = cpu * 1e6 / rows - sum(per_step.values())
    first = next((sample.at for sample in samples if sample.done["export"]), 0.0)
    every = max(1, len(samples) // 200)
    return Scale(
        rows=rows,
        predictor=predictor,
        seeding_s=round(seeding, 1),
        seconds=round(seconds, 1),
        export_wait_s=round(first, 1),
        rows_per_s=round(rows / seconds, 1),
        cpu_s=round(cpu, 1),
        cpu_per_1000={step: round(value, 1) for step, value in per_step.items()},
        peak_mb=max((sample.most_mb for sample in samples), default=0.0),
        mb_at=_mb_at_tenths(samples, rows),
        database_mb=database,
        artifacts_mb=round(artifacts, 1),
        overlap=_overlap(samples),
        sandbox_cpu_s={name: round(after[name] - before.get(name, 0.0), 1) for name in after},
        waited=status["waited"],
        samples=samples[::every],
    )


class _Artifacts:
    """Sizes of the run's files."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        from vertex_model_inference.runs.surroundings import open_artifacts
        from vertex_model_inference.settings import load

        self._store = open_artifacts(load(environment, folder))

    def entries(self) -> Iterator[int]:
        for entry in self._store.entries("runs"):
            yield entry.size


def _timeline(scale: Scale, width: int = 60) -> Iterator[str]:
    """A line for each step: where in the run's time it moved on."""
    end = scale.seconds
    for step in ("export", "assets", "predict", "decode", "upload"):
        cells = [" "] * width
        for a, b in pairwise(scale.samples):
            if b.done[step] > a.done[step]:
                for cell in range(int(a.at / end * width), min(width, int(b.at / end * width) + 1)):
                    cells[cell] = "#"
        yield f"{step:>8} |{''.join(cells)}|"
    yield f"{'':>8}  0{f'{end:,.0f} s':>{width - 1}}"


def _print(scale: Scale, out: Console) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in (
        ("rows", f"{scale.rows:,} ({scale.predictor})"),
        ("written into the sandbox in", f"{scale.seeding_s:,.1f} s"),
        ("vmi run, start to end", f"{scale.seconds:,.1f} s"),
        ("of it before the first exported row", f"{scale.export_wait_s:,.1f} s"),
        ("rows a second", f"{scale.rows_per_s:,.0f}"),
        ("engine's CPU", f"{scale.cpu_s:,.1f} s"),
        *((f"  ms of CPU for 1,000 rows: {step}", f"{ms:,.1f}") for step, ms in scale.cpu_per_1000.items()),
        ("engine's peak memory", f"{scale.peak_mb:,.0f} MB"),
        ("  at each tenth of the rows, MB", " ".join(f"{mb:.0f}" for mb in scale.mb_at)),
        ("engine's database", f"{scale.database_mb:,.2f} MB"),
        ("run's files", f"{scale.artifacts_mb:,.1f} MB"),
        ("export, predict and upload all moving", f"{scale.overlap:.0%} of the time"),
        *((f"  CPU of the sandbox: {name}", f"{seconds:,.1f} s") for name, seconds in scale.sandbox_cpu_s.items()),
        *((f"  waited, {cause}", f"{seconds:,.1f} s") for cause, seconds in scale.waited.items()),
    ):
        table.add_row(name, value)
    out.print(table, highlight=False)
    for line in _timeline(scale):
        out.print(line, highlight=False, markup=False)


def main(arguments: Sequence[str]) -> None:
    """``python -m bench scale``."""
    parser = argparse.ArgumentParser(prog="python -m bench scale", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000, metavar="N", help="data rows (10,000)")
    parser.add_argument("--predictor", choices=("online", "batch"), default="online")
    parser.add_argument("--asset-bytes", type=int, default=0, metavar="N", help="a picture of N bytes each, not a text")
    parser.add_argument("--shard-rows", type=int, default=1000, metavar="N", help="rows in a shard (1,000)")
    parser.add_argument("--folder", type=Path, help="where the sandbox and the run are kept meanwhile")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    given = parser.parse_args(arguments)
    if given.rows < 1:
        parser.error("--rows must be at least 1")
    scale = measure(given.rows, given.predictor, given.folder, given.asset_bytes, given.shard_rows)
    _print(scale, Console(width=140))
    if given.json:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(scale)) + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])
