"""``vmi report``: a run in one file that can be mailed, or attached to a build."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from vertex_model_inference.pages.report import Report

__all__ = ["report"]

_TOO_LOW = 3


def report(
    run: str = typer.Argument(help="Run id or its beginning, a model run id, or the folder of a run (also gs://)."),
    output: str | None = typer.Option(None, "--output", "-o", help="File to write; - for stdout; by default RUN.html."),
    split: str | None = typer.Option(None, help="Measure only training, validation, test or unassigned rows; or all."),
    rows: int = typer.Option(6, help="So many of the most telling rows of each kind are shown.", min=0, max=24),
    fail_under: str | None = typer.Option(
        None, help="Figures to reach, e.g. f1=.8,map=.5 or digit:accuracy=.9; exit code 3 when one is not."
    ),
) -> None:
    """Write a run's report: one HTML file with outcomes, failures, figures, curves and the most telling rows.

    The file holds everything it shows, asks no server for anything, and contains no secret.

    Example: `vmi report cm1x9 -o report.html --fail-under f1=.8`
    """
    from vertex_model_inference.evaluation.gates import parse_gates
    from vertex_model_inference.pages.report import make_report
    from vertex_model_inference.runs.reading import open_run
    from vertex_model_inference.settings import load

    gates = parse_gates(fail_under) if fail_under is not None else ()
    settings = load()
    store, files = open_run(settings, run)
    made = make_report(store, files, settings, split=split, gates=gates, rows=rows)
    _write(made, output or f"{files.folder.rsplit('/', 1)[-1]}.html")
    low = [one for one in made.gates if not one.passed]
    for one in low:
        typer.secho(f"vmi: {one}.", fg="red", err=True)
    if low:
        raise typer.Exit(_TOO_LOW)


def _write(made: Report, output: str) -> None:
    from vertex_model_inference.errors import RequestError

    if output == "-":
        sys.stdout.write(made.html)
        return
    path = Path(output)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(made.html, encoding="utf-8")
        part.replace(path)  # whole or not at all
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RequestError(
            f"The report cannot be written to {output}: {error.strerror}.", hint="Name another file with -o."
        ) from None
    typer.echo(f"{path} ({path.stat().st_size / 1e6:.1f} MB)", err=True)
