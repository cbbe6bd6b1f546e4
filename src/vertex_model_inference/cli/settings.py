"""``vmi settings``: what is in force, and where each value came from."""

from __future__ import annotations

import json

import typer

from vertex_model_inference.cli.console import console

__all__ = ["settings"]


def settings(
    json_: bool = typer.Option(False, "--json", help="Print JSON: name -> variable, value, source."),
) -> None:
    """Show every setting, its value and its source; secrets are masked.

    The environment comes first, then `.env`, then `vmi.toml`, then defaults.

    Example: `VMI_REGION=europe-west4 vmi settings`
    """
    from vertex_model_inference import settings as module
    from vertex_model_inference.settings_sources import FIELDS

    loaded = module.load()
    shown, origins = loaded.shown(), loaded.sources()
    known = {field.name: field for field in FIELDS}
    if json_:
        table = {
            name: {
                "variable": known[name].variable if name in known else None,
                "value": value,
                "source": origins[name],
            }
            for name, value in shown.items()
        }
        typer.echo(json.dumps(table, indent=2))
        return
    from rich.table import Column, Table
    from rich.text import Text

    out = console()
    wide = out.width >= 120  # the values matter more than what they mean
    table_ = Table("Setting", Column("Value", overflow="fold"), "Source", box=None, pad_edge=False)
    if wide:
        table_.add_column("Meaning")
    for name, value in shown.items():
        if name == "models":
            text, meaning = ", ".join(value) or "-", 'sections [models."Name"] of vmi.toml'
        else:
            text = ", ".join(value) if isinstance(value, list) else "-" if value is None else str(value)
            meaning = known[name].help
        variable = known[name].variable if name in known else "models"
        cells = (variable, text or "-", origins[name], meaning)[: 4 if wide else 3]
        table_.add_row(*(Text(cell) for cell in cells))
    out.print(table_)
