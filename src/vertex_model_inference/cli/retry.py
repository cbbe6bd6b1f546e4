"""``vmi retry``: the failed rows of an ended run again, or named ones; all others keep their outcome."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from vertex_model_inference.runs.service import RunService
    from vertex_model_inference.runs.started import Started

__all__ = ["retry"]


def retry(
    run: str = typer.Argument(help="Run id or its beginning, or a model run id (its newest run)."),
    failed: bool = typer.Option(False, "--failed", help="All rows that failed; so it is by default."),
    retryable: bool = typer.Option(
        False, "--retryable", help="Only failed rows of which the run says that trying again can help."
    ),
    rows: Path | None = typer.Option(
        None,
        "--rows",
        help="Rows of this file (- for stdin), however they ended: a data row id or global key a line, CSV or JSON.",
    ),
    json_: bool = typer.Option(False, "--json", help="Print the run's status as JSON at the end, no progress."),
) -> None:
    """Try rows of an ended run again: those that failed, or those named in a file.

    Begins a new run; all other rows keep the outcome they have. The model is taken as it is set now, so what was
    corrected in vmi.toml counts. Rows whose answer is kept and still good are not sent to the model again, except named
    ones.

    Exit code: as of `vmi run`.

    Example: `vmi retry cm1x9`, `vmi retry cm1x9 --rows rows.csv`
    """
    from vertex_model_inference.cli import logs, memory
    from vertex_model_inference.cli.run import follow
    from vertex_model_inference.errors import RequestError
    from vertex_model_inference.runs.again import option_of, read_names, retry_run, to_retry
    from vertex_model_inference.runs.surroundings import Surroundings
    from vertex_model_inference.settings import load
    from vertex_model_inference.webhook.wiring import catalog_of

    if sum((failed, retryable, rows is not None)) > 1:
        raise RequestError("--failed, --retryable and --rows exclude each other.", hint="Give one of them.")
    logs.to_stderr()
    memory.give_back()
    settings = load()
    settings.require("labelbox_api_key")
    names = None
    if rows is not None:
        try:
            names = read_names(sys.stdin.read() if str(rows) == "-" else rows.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise RequestError(f"{rows} cannot be read: {error}.", hint="Name a text file.") from None
    surroundings = Surroundings(settings)
    status = to_retry(surroundings.store, run)
    option = catalog_of(settings).refresh().find(status.option)
    if option is None:
        typer.echo(f"{status.option!r} is no option any more; the model is taken as the run had it.", err=True)
        option = option_of(surroundings.store, status.run_id)
    chosen = option

    def start(service: RunService) -> Started:
        only = "retryable" if retryable else "failed"
        return retry_run(service, surroundings.store, status.run_id, option=chosen, only=only, names=names)

    follow(settings, surroundings, start, json_=json_)
