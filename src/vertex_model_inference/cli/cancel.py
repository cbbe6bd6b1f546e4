"""``vmi cancel``: stop a run that goes on, from any machine that shares its store."""

from __future__ import annotations

import getpass
import socket
import time
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from vertex_model_inference.runs.status import RunStatus
    from vertex_model_inference.storage.store import Store

__all__ = ["cancel", "somebody"]

_WAIT_S = 60.0
_LOOK_S = 0.5


def cancel(
    run: str = typer.Argument(help="Run id or its beginning, or a model run id (its newest run)."),
    why: str = typer.Option("", "--why", help="Why, for those who look at the run later."),
    wait: bool = typer.Option(True, "--wait/--no-wait", help="Wait until the run has ended, a minute at most."),
    json_: bool = typer.Option(False, "--json", help="Print the run's status as JSON at the end."),
) -> None:
    """Stop a run: nothing more is sent to the model, and its jobs at Vertex are cancelled.

    Rows that have an answer are kept and uploaded; the others end as skipped (cancelled), to be done by a later run.
    Works from any machine that shares the runs' store, and on runs whose process has died.

    Exit code: 0 the run has ended, or is going to; 1 there is no such run, or Vertex would not stop a job.

    Example: `vmi cancel cm1x9 --why "wrong ontology"`
    """
    from vertex_model_inference.cli import logs
    from vertex_model_inference.runs.cancel import abandoned, cancel_run
    from vertex_model_inference.runs.reading import status_of
    from vertex_model_inference.runs.surroundings import open_artifacts
    from vertex_model_inference.settings import load

    logs.to_stderr()
    settings = load()
    store = open_artifacts(settings)
    done = cancel_run(settings, run, by=somebody(), why=why, store=store)
    typer.echo(done.words, err=json_)
    if done.state is None:
        return
    status = status_of(store, done.run_id)
    if wait and not done.abandoned and not status.state.ended:
        status = _until_quiet(store, done.run_id)
        if not status.state.ended and abandoned(status):
            # Its process died just before: now that this is sure, what it left at Vertex is stopped from here.
            typer.echo(cancel_run(settings, done.run_id, by=somebody(), store=store).words, err=json_)
        elif not status.state.ended:
            typer.echo(f"It still ends what it had begun; `vmi status {done.run_id}` shows how far it is.", err=True)
    if json_:
        import msgspec

        typer.echo(msgspec.json.format(msgspec.json.encode(status)).decode())
    elif status.state.ended and done.asked:
        typer.echo(f"{status.state.value}: {status.message}")


def somebody() -> str:
    """Who sits here, as people are named in a run's files: user and machine."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        user = "somebody"
    return f"{user}@{socket.gethostname()}"


def _until_quiet(store: Store, run_id: str) -> RunStatus:
    """The run's status once it has ended, or nobody works on it, or a minute is over."""
    from vertex_model_inference.runs.cancel import abandoned
    from vertex_model_inference.runs.reading import status_of

    end = time.monotonic() + _WAIT_S
    while True:
        status = status_of(store, run_id)
        if status.state.ended or abandoned(status) or time.monotonic() > end:
            return status
        time.sleep(_LOOK_S)
