"""``vmi models``: what Labelbox's *Train Model* menu will show, and what it will not and why."""

from __future__ import annotations

import json

import typer

from vertex_model_inference.cli.console import console

__all__ = ["models"]


def models(json_: bool = typer.Option(False, "--json", help="Print JSON.")) -> None:
    """List the options of the *Train Model* menu, and the models that are left out of it with the reason.

    Example: `vmi models --json | jq -r '.left_out[] | "\\(.name): \\(.why)"'`
    """
    from vertex_model_inference import settings as module
    from vertex_model_inference.cli import logs
    from vertex_model_inference.webhook.wiring import catalog_of

    logs.to_stderr()
    settings = module.load()
    if not any(section.container for section in settings.models.values()):
        settings.require("project")
    options = catalog_of(settings).refresh()
    if json_:
        typer.echo(
            json.dumps(
                {
                    "available": [
                        {
                            "name": option.name,
                            "predictor": option.predictor,
                            "task": option.task,
                            "decoder": option.decoder,
                            "model": option.model.name if option.model else None,
                            "version": option.model.version if option.model else None,
                            "endpoint": option.endpoint,
                            "container": option.container,
                            "gemini": option.gemini.model if option.gemini else None,
                        }
                        for option in options.available
                    ],
                    "left_out": [{"name": each.name, "why": each.why} for each in options.left_out],
                },
                indent=2,
            )
        )
        return
    from rich.table import Table
    from rich.text import Text

    out = console()
    table = Table("Option", "Predictor", "Task", "Decoder", box=None, pad_edge=False)
    for option in options.available:
        decoder = option.decoder or "by its first answers"
        table.add_row(
            Text(option.name), option.predictor.value, option.task.value if option.task else "-", Text(decoder)
        )
    if options.available:
        out.print(table)
    else:
        out.print("No model can be run.")
    if options.left_out:
        out.print()
        left = Table("Left out", "Why", box=None, pad_edge=False)
        for each in options.left_out:
            left.add_row(Text(each.name), Text(each.why))
        out.print(left)
