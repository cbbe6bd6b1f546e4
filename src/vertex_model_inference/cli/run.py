"""``vmi run``: one run in this process, with progress."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from vertex_model_inference.labelbox.gateway import Labelbox
    from vertex_model_inference.models import ModelOption
    from vertex_model_inference.runs.flow import Finished
    from vertex_model_inference.runs.service import RunService
    from vertex_model_inference.runs.started import Started
    from vertex_model_inference.runs.status import RunStatus
    from vertex_model_inference.runs.surroundings import Surroundings
    from vertex_model_inference.settings import Settings
    from vertex_model_inference.vertex.options import Options

__all__ = ["exit_code", "follow", "must_exist", "option_named", "run", "tell_end"]


def run(
    model_run_id: str = typer.Argument(help="Labelbox's id of the model run."),
    model: str = typer.Option(..., "--model", "-m", help="Option of the Train Model menu; `vmi models` lists them."),
    again: bool = typer.Option(False, "--again", help="All rows, also those that are as they were."),
    json_: bool = typer.Option(False, "--json", help="Print the run's status as JSON at the end, no progress."),
) -> None:
    """Run a model over a model run's data rows and upload its predictions.

    After an earlier run only what is new, failed or changed is done. Joins the run if it is under way already, and
    carries it on if its process was killed.

    Exit code: 0 every row predicted (or empty), 3 finished with failed or skipped rows, 1 failed, cancelled or
    stopped at a budget.

    Example: `vmi run cm1x9... --model "digits classifier"`
    """
    from vertex_model_inference.cli import logs, memory
    from vertex_model_inference.runs.surroundings import Surroundings
    from vertex_model_inference.settings import load
    from vertex_model_inference.webhook.wiring import catalog_of

    logs.to_stderr()
    memory.give_back()
    settings = load()
    settings.require("labelbox_api_key")
    option = option_named(catalog_of(settings).refresh(), model)
    surroundings = Surroundings(settings)
    must_exist(settings, surroundings.labelbox, model_run_id)

    def start(service: RunService) -> Started:
        return service.start_run(model_run_id, option, rerun="all" if again else None)

    follow(settings, surroundings, start, json_=json_)


def follow(
    settings: Settings, surroundings: Surroundings, start: Callable[[RunService], Started], *, json_: bool
) -> None:
    """Start a run in this process, show how far it is, and leave with its exit code when it has ended.

    Args:
        settings: What is in force.
        surroundings: The gateways.
        start: Starts the run, or joins it.
        json_: Print the run's status as JSON at the end, no progress.
    """
    from vertex_model_inference.cli.leaving import leave
    from vertex_model_inference.runs.reading import status_of
    from vertex_model_inference.runs.service import RunService

    shown = Bars(quiet=json_ or not sys.stderr.isatty())
    service = RunService(settings, role="run", surroundings=surroundings, watch=shown.update, lost=_lost)
    service.start()
    try:
        started = start(service)
        shown.run_id = started.run_id
        if started.joined:
            carried = service.take_over(started.run_id)
            word = "carries on" if carried else "joins"
            typer.echo(f"vmi {word} run {started.run_id}, which was begun earlier.", err=True)
        with shown:
            if started.joined and not carried:
                shown.follow(lambda: status_of(surroundings.store, started.run_id))
            finished = service.wait(started.run_id)
        status = status_of(surroundings.store, started.run_id)
    except KeyboardInterrupt:
        typer.echo("\nInterrupted; the same command, or `vmi serve`, carries the run on.", err=True)
        service.stop()
        leave(130)
        raise
    finally:
        service.stop()
    tell_end(finished, status, json_=json_)


def tell_end(finished: Finished, status: RunStatus, *, json_: bool) -> NoReturn:
    """Say how a run ended, and leave with its exit code."""
    from vertex_model_inference.cli.leaving import leave

    if json_:
        import msgspec

        typer.echo(msgspec.json.format(msgspec.json.encode(status)).decode())
    else:
        typer.echo(f"{finished.state}: {finished.message}")
        typer.echo(f"Outcomes: vmi outcomes {status.run_id}{' --failed' if finished.counts.failed else ''}")
    leave(exit_code(finished))
    raise typer.Exit(exit_code(finished))


def _lost() -> None:
    """This process was frozen, or cut off from the database, for so long that another has the run."""
    import os

    typer.echo("vmi: this process was taken for dead, and another carries the run on: see `vmi status`.", err=True)
    sys.stderr.flush()
    os._exit(1)


def must_exist(settings: Settings, labelbox: Labelbox, model_run_id: str) -> None:
    """Make sure that there is something to run on, before a run is begun that could only fail.

    Raises:
        NotFoundError: Labelbox knows no such model run.
        LabelboxError: Nothing answers at its address, or it does not take the key.
    """
    import asyncio

    import httpx2

    from vertex_model_inference.errors import LabelboxError, NotFoundError
    from vertex_model_inference.labelbox.lookup import ModelRunLookup

    assert settings.labelbox_api_key is not None, "required by the command"
    lookup = ModelRunLookup(settings.labelbox_api_key, settings.labelbox_graphql)

    async def ask() -> bool | None:
        try:
            return await lookup(model_run_id)
        finally:
            await lookup.close()

    exists = asyncio.run(ask())
    if exists is False:
        raise NotFoundError(
            f"Labelbox knows no model run {model_run_id}.",
            hint="Check the id, and that LABELBOX_API_KEY belongs to the same organization.",
        )
    if exists is None:
        # The patience that a run has with an outage is not for somebody who waits at a terminal.
        try:
            httpx2.get(settings.labelbox_url, timeout=5)
        except httpx2.ConnectError:
            raise LabelboxError(
                f"Nothing answers at {settings.labelbox_url}, where Labelbox should be.",
                code="labelbox_unavailable",
                hint="Check VMI_LABELBOX_URL and the network.",
                retryable=True,
            ) from None
        except httpx2.HTTPError:
            pass  # slow or odd: the next call finds out
        labelbox.model_run(model_run_id)


def option_named(options: Options, name: str) -> ModelOption:
    """The menu's option of that name.

    Raises:
        UnknownOptionError: There is none; the message says what there is.
    """
    from vertex_model_inference.errors import UnknownOptionError

    found = options.find(name)
    if found is not None:
        return found
    why = next((f" It is left out: {each.why}" for each in options.left_out if each.name == name), "")
    known = ", ".join(repr(known) for known in options.names) or "none"
    raise UnknownOptionError(
        f"There is no option {name!r}.{why}", hint=f"Options are {known}; `vmi models` says why others are left out."
    )


def exit_code(finished: Finished) -> int:
    """0 every row predicted or empty, 3 finished with other rows, 1 failed."""
    if finished.state != "COMPLETE":
        return 1
    return 3 if finished.counts.failed or finished.counts.skipped else 0


class Bars:
    """A progress bar for each step; on a terminal only."""

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from vertex_model_inference.runs.status import STEPS

        self.run_id: str | None = None
        self._quiet = quiet
        self._progress = Progress(
            TextColumn("{task.description:>8}"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:>12}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._tasks = {step: self._progress.add_task(step, total=None, rate="") for step in STEPS}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Bars:
        if not self._quiet:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5)
        if not self._quiet:
            self._progress.stop()

    def update(self, status: RunStatus) -> None:
        if self._quiet or self.run_id not in (None, status.run_id):
            return
        total = status.rows if status.rows and status.export_complete else None
        for step, task in self._tasks.items():
            progress = status.steps[step]
            rate = f"{progress.done / progress.seconds:,.0f} rows/s" if progress.seconds > 0.05 else ""
            self._progress.update(task, completed=progress.done, total=total, rate=rate)

    def follow(self, read: object) -> None:
        """Show a run that another process works on, from its status file."""
        assert callable(read)

        def watch() -> None:
            while not self._stop.wait(1.0):
                self.update(read())

        self._thread = threading.Thread(target=watch, daemon=True)
        self._thread.start()
