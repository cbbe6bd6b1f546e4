"""``vmi resume``: carry on a run whose process died, here and now."""

from __future__ import annotations

import sys

import typer

__all__ = ["resume"]


def resume(
    run: str = typer.Argument(help="Run id or its beginning, or a model run id (its newest run)."),
    json_: bool = typer.Option(False, "--json", help="Print the run's status as JSON at the end, no progress."),
) -> None:
    """Carry on a run whose process died, from where it was.

    Nothing that was done is done again: a batch job that was submitted is waited for, a shard that was uploaded stays
    uploaded. A run that a living process works on, or will, is left to it.

    Exit code: as `vmi run`; 1 also when there is nothing to carry on.

    Example: `vmi resume cm1x9`
    """
    from vertex_model_inference.cli import logs, memory
    from vertex_model_inference.cli.leaving import leave
    from vertex_model_inference.cli.run import Bars, tell_end
    from vertex_model_inference.runs.reading import status_of
    from vertex_model_inference.runs.resume import claim
    from vertex_model_inference.runs.service import RunService
    from vertex_model_inference.runs.surroundings import Surroundings
    from vertex_model_inference.settings import load

    logs.to_stderr()
    memory.give_back()
    settings = load()
    settings.require("labelbox_api_key")
    surroundings = Surroundings(settings)
    shown = Bars(quiet=json_ or not sys.stderr.isatty())
    service = RunService(settings, role="run", surroundings=surroundings, watch=shown.update)
    try:
        run_id = shown.run_id = claim(service, surroundings.store, run)
        with shown:
            finished = service.wait(run_id)
        status = status_of(surroundings.store, run_id)
    except KeyboardInterrupt:
        typer.echo("\nInterrupted; the same command, or `vmi serve`, carries the run on.", err=True)
        service.stop()
        leave(130)
        raise
    finally:
        service.stop()
    tell_end(finished, status, json_=json_)
