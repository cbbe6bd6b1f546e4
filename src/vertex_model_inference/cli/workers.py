"""``vmi workers``: who works on runs, and on what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from vertex_model_inference.cli.console import console

if TYPE_CHECKING:
    from vertex_model_inference.runs.workers import Worker, Workers

__all__ = ["show", "workers"]

_RECENT_S = 3600.0


def workers(json_: bool = typer.Option(False, "--json", help="As JSON, those of the last day too.")) -> None:
    """Show the processes that share the work through Postgres: who is alive, and what they do.

    Example: `vmi workers`
    """
    import msgspec

    from vertex_model_inference.runs.workers import read_workers
    from vertex_model_inference.settings import load

    found = read_workers(load())
    if json_:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        show(found)


def show(found: Workers) -> None:
    """Print those that are alive, and those that ended within the hour.

    Args:
        found: All of them.
    """
    from rich.table import Table

    out = console()
    shown = [each for each in found.workers if each.ended_s is None or each.ended_s < _RECENT_S]
    if shown:
        table = Table(box=None, pad_edge=False)
        for column in ("worker", "state", "host", "since"):
            table.add_column(column, no_wrap=True)
        table.add_column("works on", overflow="fold")
        for each in shown:
            table.add_row(each.id, _state(each), each.host, each.begun_at, _work(each))
        out.print(table)
    if not found.alive:
        out.print("No worker is alive: start `vmi worker` or `vmi serve`.", highlight=False)
    if found.waiting_runs or found.waiting_groups:
        out.print(f"In the queue: {found.waiting_runs:,} runs, {found.waiting_groups:,} groups.", highlight=False)


def _state(worker: Worker) -> str:
    if worker.ended_s is not None:
        return f"{worker.state} {worker.ended_s:,.0f} s ago"
    return worker.state


def _work(worker: Worker) -> str:
    leads = [f"leads {run}" for run in worker.runs]
    groups = [f"{number} group{'' if number == 1 else 's'} of {run}" for run, number in sorted(worker.groups.items())]
    return "; ".join([*leads, *groups])
