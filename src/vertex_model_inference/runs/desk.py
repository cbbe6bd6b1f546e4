"""Asks for runs that another process works on: the half of the engine that the webhook has in its own process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import msgspec

from vertex_model_inference.models import ModelOption
from vertex_model_inference.runs.asking import spec_of
from vertex_model_inference.runs.database import (
    APPLICATION,
    QUEUE,
    WORKFLOW,
    WORKFLOW_VERSION,
    next_run,
    quiet,
    sqlite_engine,
)
from vertex_model_inference.runs.started import Started
from vertex_model_inference.settings import Settings

__all__ = ["RunDesk"]

_REMEMBER_S = 1.0
"""So long a run that was seen to be active is taken to be so: redeliveries come in bursts and need no query each."""

_REMEMBER_MOST = 1000


class RunDesk:
    """Puts runs into the queue and joins those that are there; works on none.

    Args:
        settings: What is in force.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: The database cannot be reached. It must have been made by an engine before:
            the desk makes no tables.
    """

    def __init__(self, settings: Settings) -> None:
        from dbos import DBOSClient

        quiet()
        self._settings = settings
        self._engine = sqlite_engine(settings.database_url)
        self._client = DBOSClient(
            system_database_url=settings.database_url,
            system_database_engine=self._engine,
            application_name=APPLICATION,
        )
        self._lock = threading.Lock()
        self._active: dict[tuple[str, str], tuple[str, float]] = {}
        self._stopped = False

    def start_run(
        self,
        model_run_id: str,
        option: ModelOption,
        *,
        model_id: str | None = None,
        rerun: str | None = None,
        before: Callable[[str], None] | None = None,
    ) -> Started:
        """Put a run into the queue, or join the one of this model run and option that is under way.

        Args:
            model_run_id: Labelbox's id.
            option: The model.
            model_id: Labelbox's model, where it is known.
            rerun: As of ``RunSpec``; None: as the model's section has it.
            before: Called with a new run's id before it can begin.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: The database refuses.
        """
        key = (model_run_id, option.name)
        known = self._known(key)
        if known is None:
            with self._lock:
                known = self._known(key) or self._ask(key, option, model_id, rerun, before)
        return known

    def _known(self, key: tuple[str, str]) -> Started | None:
        run_id, until = self._active.get(key, ("", 0.0))
        return Started(run_id, joined=True) if time.monotonic() < until else None

    def _ask(
        self,
        key: tuple[str, str],
        option: ModelOption,
        model_id: str | None,
        rerun: str | None,
        before: Callable[[str], None] | None,
    ) -> Started:
        from dbos import error

        asked = time.monotonic()
        started = next_run(self._client, key[0], key[1])
        if not started.joined:
            spec = spec_of(self._settings, started.run_id, key[0], option, model_id, rerun=rerun)
            if before is not None:
                before(started.run_id)
            try:
                self._client.enqueue(
                    {
                        "workflow_name": WORKFLOW,
                        "queue_name": QUEUE,
                        "workflow_id": started.run_id,
                        "workflow_id_reuse_policy": "reject",
                        "app_version": WORKFLOW_VERSION,
                    },
                    msgspec.json.encode(spec).decode(),
                )
            except error.DBOSWorkflowIDInUseError:  # another process was faster
                started = Started(started.run_id, joined=True)
        if len(self._active) >= _REMEMBER_MOST:
            self._active.clear()  # it spares queries, it need not be complete
        self._active[key] = (started.run_id, asked + _REMEMBER_S)
        return started

    def stop(self) -> None:
        """Close the database. A second call does nothing."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            self._client.destroy()
            if self._engine is not None:
                self._engine.dispose()
