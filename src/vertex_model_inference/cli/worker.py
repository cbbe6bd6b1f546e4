"""``vmi worker``: a process that works on runs beside others, on any machine that reaches the database."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from vertex_model_inference.errors import DatabaseError

__all__ = ["worker"]

_PAUSE_S = 2.0
_STOP_S = 25.0
"""After so long a worker that was told to stop does, whatever still holds it: the database may be away."""


def worker() -> None:
    """Work on runs until SIGTERM, beside any number of other workers.

    With Postgres in VMI_DATABASE_URL workers on all machines share the runs and the groups of each run. What a worker
    that dies has under way is taken up by the others; SIGTERM hands it back at once. Waits for a database that is away.

    Example: `VMI_DATABASE_URL=postgresql://vmi@db/vmi vmi worker`
    """
    import signal

    from vertex_model_inference import settings as module
    from vertex_model_inference.cli import logs, memory
    from vertex_model_inference.cli.leaving import leave
    from vertex_model_inference.errors import DatabaseError
    from vertex_model_inference.runs.service import RunService

    logs.to_stderr()
    memory.give_back()
    settings = module.load()
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    service = RunService(settings, role="worker", lost=_begin_anew)
    try:
        service.start()
    except DatabaseError as error:
        if not error.retryable:
            raise
        _wait(error, told)
    typer.echo(f"working as {service.executor_id}")
    sys.stdout.flush()
    told.wait()
    late = threading.Timer(_STOP_S, os._exit, (0,))
    late.daemon = True
    late.start()
    service.stop()
    leave(0)


def _wait(error: DatabaseError, told: threading.Event) -> None:
    """Begin anew after a while: a half-started engine is better thrown away than mended."""
    import structlog

    structlog.get_logger("vmi.workers").warning("waiting for the database", cause=str(error), in_s=_PAUSE_S)
    if told.wait(_PAUSE_S):
        os._exit(0)
    _begin_anew()


def _begin_anew() -> None:
    """Become a fresh process with the same pid: nothing of what was under way may go on."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  # our own command line
