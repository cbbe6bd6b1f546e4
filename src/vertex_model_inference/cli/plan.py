"""``vmi plan``: what a run would do, take and cost, before it is begun."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from vertex_model_inference.cli.console import console

if TYPE_CHECKING:
    from vertex_model_inference.runs.plan import Plan

__all__ = ["plan"]


def plan(
    model_run_id: str = typer.Argument(help="Labelbox's id of the model run."),
    model: str = typer.Option(..., "--model", "-m", help="Option of the Train Model menu; `vmi models` lists them."),
    again: bool = typer.Option(False, "--again", help="As if all rows were to be done again."),
    json_: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Tell what a run would do: rows, how many are done already, bytes to copy, jobs, time and cost.

    The model run is exported and its rows are looked up; nothing is copied, sent to the model or uploaded. Bytes are
    estimated from the sizes of at most 40 assets, time and cost from earlier runs of the model and a dated price table.

    Exit code: 1 when something would keep the run from ending well; else 0.

    Example: `vmi plan cm1x9... --model "digits classifier"`
    """
    import msgspec

    from vertex_model_inference.cli import logs
    from vertex_model_inference.cli.run import must_exist, option_named
    from vertex_model_inference.runs.plan import plan_run
    from vertex_model_inference.runs.surroundings import Surroundings
    from vertex_model_inference.settings import load
    from vertex_model_inference.webhook.wiring import catalog_of

    logs.to_stderr()
    settings = load()
    settings.require("labelbox_api_key")
    option = option_named(catalog_of(settings).refresh(), model)
    surroundings = Surroundings(settings)
    try:
        must_exist(settings, surroundings.labelbox, model_run_id)
        found = plan_run(surroundings, model_run_id, option, rerun="all" if again else None)
    finally:
        surroundings.close()
    if json_:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        _show(found)
    raise typer.Exit(1 if found.problems else 0)


def _show(found: Plan) -> None:
    from rich.table import Table

    out = console()
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column("what", no_wrap=True)
    table.add_column("value", overflow="fold")
    kinds = ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in found.media.items())
    unreadable = f"; {found.unreadable:,} lines of the export cannot be read" if found.unreadable else ""
    table.add_row("data rows", f"{found.rows:,}{f' ({kinds})' if kinds else ''}{unreadable}")
    table.add_row("as they were", f"{found.as_they_were:,}  nothing is done for these")
    if found.read_again:
        table.add_row("read again", f"{found.read_again:,}  their kept answers, without the model")
    table.add_row("to the model", f"{found.to_model:,}{_jobs(found)}")
    for reason, count in found.not_taken.items():
        table.add_row("not taken", f"{count:,}  {reason}")
    table.add_row("to copy", _copies(found))
    table.add_row("time", f"about {_span(found.seconds)}, {found.pace}" if found.seconds is not None else found.pace)
    table.add_row("cost", _cost(found))
    out.print(table, highlight=False)
    if found.running is not None:
        out.print(f"Run {found.running} is going on; a new request would join it.", highlight=False)
    for note in found.notes:
        out.print(f"Note: {note}", highlight=False)
    for problem in found.problems:
        out.print(f"Problem: {problem}", highlight=False, style="red")


def _jobs(found: Plan) -> str:
    return f", in {found.jobs:,} batch job{'s' if found.jobs > 1 else ''}" if found.jobs else ""


def _copies(found: Plan) -> str:
    copies = found.copies
    parts = [f"{copies.rows:,} assets"]
    if copies.rows and copies.bytes is not None:
        parts.append(f"about {copies.bytes / 1e6:,.1f} MB (estimated from the sizes of {copies.asked:,})")
    elif copies.rows:
        parts.append("how many bytes is unknown: no server told a size")
    if copies.there:
        parts.append(f"{copies.there:,} more were copied before")
    if copies.in_place:
        parts.append(f"{copies.in_place:,} are read where they are")
    return "; ".join(parts)


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"


def _cost(found: Plan) -> str:
    cost = found.cost
    money = "unknown" if cost.usd is None else f"about ${cost.usd:,.2f}"
    dated = f" Price of {cost.as_of} ({cost.source})." if cost.as_of else ""
    return f"{money}: {cost.how}.{dated}"
