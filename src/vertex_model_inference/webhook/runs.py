"""What the webhook needs of the engine: to start a run, and nothing more."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

import structlog

from vertex_model_inference.errors import VmiError
from vertex_model_inference.models import ModelOption
from vertex_model_inference.runs.started import Started

__all__ = ["Engine", "LazyRuns", "Runs"]

log = structlog.get_logger("vmi.engine")


class Runs(Protocol):
    """Starts runs."""

    def start_run(self, model_run_id: str, option: ModelOption, *, model_id: str | None = None) -> Started:
        """Start a run, or join the one that goes on for the same model run and option. Returns at once
        with the run's id, and whether it was under way already.

        Args:
            model_run_id: Labelbox's id.
            option: The chosen model.
            model_id: Labelbox's model, where the request names it.

        Raises:
            VmiError: The run cannot be started.
        """
        ...


class Engine(Protocol):
    """The engine behind it, which can be stopped."""

    def start_run(
        self,
        model_run_id: str,
        option: ModelOption,
        *,
        model_id: str | None = None,
        rerun: str | None = None,
        before: Callable[[str], None] | None = None,
    ) -> Started:
        """As of ``Runs``; ``rerun`` and ``before`` as of ``runs.again.Asker``."""
        ...

    def stop(self) -> None:
        """Stop taking work; runs go on at the next start."""
        ...


class LazyRuns:
    """An engine that is made in a background thread, so that the server answers before the engine is imported.

    A run that is posted meanwhile waits for it, at most ``wait_s``.

    Args:
        make: Makes the engine; called once, in a thread of its own.
        wait_s: How long ``start_run`` waits for the engine.
        interrupt: Called by ``stop``, first: a ``make`` that still waits for something gives up.
    """

    def __init__(
        self, make: Callable[[], Engine], wait_s: float = 30.0, interrupt: Callable[[], None] | None = None
    ) -> None:
        self._make = make
        self._interrupt = interrupt
        self._stopping = False
        self._wait_s = wait_s
        self._done = threading.Event()
        self._engine: Engine | None = None
        self._problem: VmiError | None = None
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start to make the engine; a second call does nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="vmi-engine", daemon=True)
            self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether the engine is there and well."""
        return self._engine is not None

    @property
    def problem(self) -> VmiError | None:
        """Why there is no engine, once that is known."""
        return self._problem

    def start_run(
        self,
        model_run_id: str,
        option: ModelOption,
        *,
        model_id: str | None = None,
        rerun: str | None = None,
        before: Callable[[str], None] | None = None,
    ) -> Started:
        """See ``Engine.start_run``.

        Raises:
            VmiError: ``engine_starting`` (retryable) or why the engine could not be made.
        """
        if not self._done.wait(self._wait_s):
            raise VmiError(
                "The engine is still starting.", code="engine_starting", hint="Try again in a minute.", retryable=True
            )
        if self._engine is None:
            raise self._problem or VmiError("The engine could not be started.", code="engine")
        return self._engine.start_run(model_run_id, option, model_id=model_id, rerun=rerun, before=before)

    def stop(self) -> None:
        """Stop the engine, also one that is just being made."""
        self._stopping = True
        if self._interrupt is not None:
            self._interrupt()
        if self._thread is not None:
            self._thread.join(self._wait_s)
        if self._engine is not None:
            self._engine.stop()

    def _run(self) -> None:
        try:
            self._engine = self._make()
        except VmiError as error:
            self._problem = error
            if not self._stopping:
                log.error("the engine did not start", error=error.message, hint=error.hint)  # noqa: TRY400 - explained
        except Exception as error:
            self._problem = VmiError(
                f"The engine could not be started ({type(error).__name__}).",
                code="engine",
                hint="The server's log has the cause.",
            )
            log.exception("the engine did not start")
        finally:
            self._done.set()
