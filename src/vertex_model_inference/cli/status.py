"""``vmi status`` and ``vmi outcomes``: what ran, and how each row ended."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import typer

from vertex_model_inference.cli.console import console

if TYPE_CHECKING:
    from vertex_model_inference.runs.status import RunStatus
    from vertex_model_inference.settings import Settings

__all__ = ["OutcomeFormat", "outcomes", "status"]

_STALE_S = 30.0


class OutcomeFormat(StrEnum):
    """How outcomes are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def status(
    run: str | None = typer.Argument(None, help="Run id or its beginning, or a model run id; all runs when left out."),
    json_: bool = typer.Option(False, "--json", help="As JSON."),
) -> None:
    """Show the runs, or one run step by step.

    Example: `vmi status`, `vmi status cm1x9`
    """
    import msgspec

    from vertex_model_inference.runs.reading import all_runs, status_of
    from vertex_model_inference.runs.surroundings import open_artifacts
    from vertex_model_inference.settings import load

    settings = load()
    store = open_artifacts(settings)
    found: Any = all_runs(store) if run is None else status_of(store, run)
    if json_:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    elif run is None:
        _list(found)
        _workers(settings)
    else:
        _one(found)


def _workers(settings: Settings) -> None:
    """Who works on runs, where that can be several machines; the runs are shown also when the database is away."""
    if not settings.shared_database:
        return
    from vertex_model_inference.cli.workers import show
    from vertex_model_inference.errors import DatabaseError
    from vertex_model_inference.runs.workers import read_workers

    typer.echo()
    try:
        show(read_workers(settings))
    except DatabaseError as error:
        typer.echo(f"vmi: {error}", err=True)


_ABANDONED = "No process works on it: start `vmi serve`, or `vmi resume RUN`, to carry it on."


def _abandoned(status: RunStatus) -> bool:
    from vertex_model_inference.runs.reading import idle_seconds

    return not status.state.ended and idle_seconds(status) >= _STALE_S


def _list(runs: list[RunStatus]) -> None:
    from rich.table import Table

    if not runs:
        typer.echo("No runs yet. Press Train Model in Labelbox, or: vmi run MODEL_RUN_ID --model OPTION")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("run", no_wrap=True, overflow="ignore")
    for column in ("state", "model", "created"):
        table.add_column(column, no_wrap=True)
    for column in ("rows", "predicted", "empty", "skipped", "failed"):
        table.add_column(column, justify="right", no_wrap=True)
    for item in runs:
        counts = item.counts
        numbers = (item.rows, counts.predicted, counts.empty, counts.skipped, counts.failed)
        state = f"{item.state.value}*" if _abandoned(item) else item.state.value
        table.add_row(item.run_id, state, item.option, item.created_at[:19], *(f"{n:,}" for n in numbers))
    out = console()
    out.print(table)
    if any(_abandoned(item) for item in runs):
        out.print(f"* {_ABANDONED}", highlight=False)


def _one(item: RunStatus) -> None:
    from rich.table import Table

    out = console()
    out.print(f"[bold]{item.run_id}[/bold]  {item.state.value}", highlight=False)
    if item.halted and not item.state.ended:
        out.print(f"Being stopped. {item.halted}", highlight=False)
    if _abandoned(item):
        out.print(_ABANDONED, highlight=False)
    out.print(f"model run {item.model_run_id}, model {item.option}, {item.rows:,} data rows", highlight=False)
    table = Table(box=None, pad_edge=False)
    table.add_column("step")
    for column in ("rows", "seconds", "rows/s"):
        table.add_column(column, justify="right")
    for step, progress in item.steps.items():
        rate = f"{progress.done / progress.seconds:,.0f}" if progress.seconds > 0.05 else ""
        table.add_row(step, f"{progress.done:,}", f"{progress.seconds:.1f}", rate)
    out.print(table)
    for name, state in item.jobs.items():
        out.print(f"{state:>12}  {name}", highlight=False)
    counts = item.counts
    out.print(
        f"predicted {counts.predicted:,}, empty {counts.empty:,}, skipped {counts.skipped:,}, failed {counts.failed:,};"
        f" {counts.annotations:,} annotations",
        highlight=False,
    )
    if counts.reused:
        out.print(f"{counts.reused:,} of them as an earlier run left them; nothing was done for these", highlight=False)
    if item.waited:
        said = ", ".join(f"{seconds:,.1f} s ({cause})" for cause, seconds in item.waited.items())
        out.print(f"waited for others before trying again: {said}", highlight=False)
    if item.message:
        out.print(item.message, highlight=False)


def outcomes(
    run: str = typer.Argument(help="Run id or its beginning, or a model run id."),
    failed: bool = typer.Option(False, "--failed", help="Only rows that failed."),
    format_: OutcomeFormat = typer.Option(OutcomeFormat.TABLE, "--format", help="table, json (one a line) or csv."),
    json_: bool = typer.Option(False, "--json", help="The same as --format json."),
    limit: int | None = typer.Option(None, help="At most this many rows.", min=1),
) -> None:
    """Show how each data row of a run ended: predicted, empty, skipped or failed, and why.

    Example: `vmi outcomes cm1x9 --failed --format csv > failed.csv`
    """
    from itertools import islice

    import msgspec

    from vertex_model_inference.runs.reading import outcomes_of, status_of
    from vertex_model_inference.runs.surroundings import open_artifacts
    from vertex_model_inference.settings import load

    store = open_artifacts(load())
    run_id = status_of(store, run).run_id
    found = islice(outcomes_of(store, run_id, failed=failed), limit)
    if json_ or format_ is OutcomeFormat.JSON:
        for item in found:
            typer.echo(msgspec.json.encode(item).decode())
        return
    if format_ is OutcomeFormat.CSV:
        import csv

        writer = csv.writer(sys.stdout)
        writer.writerow(("data_row_id", "global_key", "status", "annotations", "step", "code", "message", "retryable"))
        for item in found:
            writer.writerow(
                (
                    item.data_row_id,
                    item.global_key or "",
                    item.status.value,
                    item.annotations,
                    item.step or "",
                    item.code or "",
                    item.message or "",
                    str(item.retryable).lower(),
                )
            )
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("data row", no_wrap=True)
    table.add_column("key", overflow="fold")
    table.add_column("status")
    table.add_column("n", justify="right")
    table.add_column("why", overflow="fold")
    for item in found:
        why = f"{item.step}/{item.code}: {item.message}" if item.code else (item.message or "")
        table.add_row(item.data_row_id, item.global_key or "", item.status.value, str(item.annotations), why)
    console().print(table)
