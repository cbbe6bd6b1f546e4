"""``vmi gc``: remove what no run needs; without ``--yes`` only say what that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from vertex_model_inference.cli.console import console

if TYPE_CHECKING:
    from vertex_model_inference.runs.gc import Removable

__all__ = ["gc"]

_SHOWN = 20


def gc(
    yes: bool = typer.Option(False, "--yes", help="Remove it; otherwise it is only told."),
    older_than: float = typer.Option(30, "--older-than", min=0, help="Days since the end of a run."),
    json_: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Remove what no run needs: intermediate files of runs that ended long ago, and assets that no kept run refers to.

    Outcomes, status, spec and evaluation of every run stay, and so does what the next run of a model run and model
    builds on (rows, answers, predictions of the newest). Nothing of a run that has not ended is touched, and no asset
    while there is one. It can be stopped at any moment, and started again.

    Example: `vmi gc`, `vmi gc --older-than 90 --yes`
    """
    from datetime import timedelta

    import msgspec

    from vertex_model_inference.cli import logs
    from vertex_model_inference.runs.gc import collect, removable
    from vertex_model_inference.runs.surroundings import open_artifacts
    from vertex_model_inference.settings import load

    logs.to_stderr()
    store = open_artifacts(load())
    found = (collect if yes else removable)(store, timedelta(days=older_than))
    if json_:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    _show(found, done=yes, place=store.root)


def _show(found: Removable, *, done: bool, place: str) -> None:
    from rich.table import Table

    out = console()
    if found.runs:
        table = Table(box=None, pad_edge=False)
        table.add_column("run", no_wrap=True)
        table.add_column("ended", no_wrap=True)
        for column in ("files", "MB"):
            table.add_column(column, justify="right")
        table.add_column("")
        for item in found.runs[:_SHOWN]:
            stays = "what the next run needs stays" if item.next else ""
            table.add_row(item.run_id, item.ended_at[:10], f"{item.files:,}", f"{item.bytes / 1e6:,.1f}", stays)
        out.print(table)
        if len(found.runs) > _SHOWN:
            out.print(f"and {len(found.runs) - _SHOWN:,} more runs", highlight=False)
    files, size = sum(item.files for item in found.runs), sum(item.bytes for item in found.runs)
    word = "Removed" if done else "Would remove"
    out.print(
        f"{word} {files:,} intermediate files of {len(found.runs):,} runs, {size / 1e6:,.1f} MB.", highlight=False
    )
    if found.assets is None:
        names = ", ".join(found.going_on[:3]) + (", ..." if len(found.going_on) > 3 else "")
        out.print(
            f"Assets stay while a run has not ended: {names}. Wait for it, carry it on, or cancel it.", highlight=False
        )
    else:
        out.print(
            f"{word} {found.assets:,} assets that no kept run refers to, {found.asset_bytes / 1e6:,.1f} MB; "
            f"{found.kept_assets:,} stay.",
            highlight=False,
        )
    if not done and (files or found.assets):
        out.print(f"Nothing was removed from {place}. To remove it: vmi gc --yes", highlight=False)
