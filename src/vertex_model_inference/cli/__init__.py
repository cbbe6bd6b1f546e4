"""The ``vmi`` command: one file per subcommand, each importing what it needs only when it runs."""

from __future__ import annotations

import sys

import typer

from vertex_model_inference import __version__
from vertex_model_inference.cli import (
    cancel,
    check,
    compare,
    demo,
    engine,
    evaluate,
    gc,
    models,
    pages,
    plan,
    report,
    resume,
    retry,
    run,
    sandbox,
    sandbox_seed,
    serve,
    settings,
    status,
    worker,
    workers,
)
from vertex_model_inference.errors import VmiError

__all__ = ["app", "main", "sandbox_seed"]

app = typer.Typer(
    name="vmi",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Vertex AI predictions on Labelbox model runs.",
)
app.command()(serve.serve)
app.command()(worker.worker)
app.command(hidden=True)(engine.engine)
app.command()(demo.demo)
app.command()(plan.plan)
app.command()(run.run)
app.command()(resume.resume)
app.command()(cancel.cancel)
app.command()(retry.retry)
app.command()(status.status)
app.command()(status.outcomes)
app.command()(workers.workers)
app.command()(evaluate.evaluate)
app.command()(compare.compare)
app.command()(report.report)
app.command()(pages.pages)
app.command()(models.models)
app.command()(check.check)
app.command()(gc.gc)
app.command()(settings.settings)
app.add_typer(sandbox.app, name="sandbox")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"vmi {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Vertex AI predictions on Labelbox model runs."""


def main() -> None:
    """Run the command line; errors of ours become one sentence on stderr and exit code 1, never a stack trace."""
    try:
        app()
    except VmiError as error:
        typer.secho(f"vmi: {error}", fg="red", err=True)
        sys.exit(1)
