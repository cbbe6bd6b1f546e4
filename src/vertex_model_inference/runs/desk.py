"""Asks for runs that another process works on: the half of the engine that the webhook has in its own process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

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
from vertex_model_inference.runs.postgres import postgres_engine, unavailable
from vertex_model_inference.runs.started import Started
from vertex_model_inference.settings import Settings

__all__ = ["RunDesk"]

_REMEMBER_S = 1.0
"""So long a run that was seen to be active is taken to be so: redeliveries come in bursts and need no query each."""

_REMEMBER_MOST = 1000

_ANSWER_S = 4.0
"""Labelbox waits for the answer: connections and statements get less time than those of the engine."""

_INSIST_S, _PAUSE_S = 5.0, 0.5
"""A restart of the database is waited out; Labelbox does not say how long it waits, nor whether it calls again."""


class RunDesk:
    """Puts runs into the queue and joins those that are there; works on none.

    Args:
        settings: What is in force.

    Raises:
        DatabaseError: Postgres cannot be reached or used. The desk makes its tables where no engine has yet.
        sqlalchemy.exc.SQLAlchemyError: SQLite cannot be used. It must have been made by an engine before.
    """

    def __init__(self, settings: Settings) -> None:
        quiet()
        self._settings = settings
        self._shared = settings.shared_database
        self._client: Any = None
        if self._shared:
            self._engine = postgres_engine(settings.database_url, "desk", lease_s=_ANSWER_S, statement_s=_ANSWER_S)
        else:
            self._engine = sqlite_engine(settings.database_url)
        try:
            self._open()
        except SQLAlchemyError as error:
            self._engine.dispose()
            if self._shared:
                raise unavailable(error, settings.database_url) from None
            raise
        self._lock = threading.Lock()
        self._active: dict[tuple[str, str], tuple[str, float]] = {}
        self._stopped = False

    def _open(self) -> None:
        from dbos import DBOS, DBOSClient

        if self._shared:
            with self._engine.begin() as connection:
                there = connection.execute(text("SELECT to_regclass('dbos.dbos_migrations')")).scalar()
            if there is None:
                DBOS.migrate(self._engine.url.render_as_string(hide_password=False))
        self._client = DBOSClient(
            system_database_url=self._settings.database_url,
            system_database_engine=self._engine,
            application_name=APPLICATION,
            retry_connection_errors=not self._shared,  # it would try for ever, and Labelbox is waiting
        )

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
            DatabaseError: Postgres has not answered for five seconds.
            sqlalchemy.exc.SQLAlchemyError: SQLite refuses.
        """
        key = (model_run_id, option.name)
        known = self._known(key)
        if known is None:
            with self._lock:
                known = self._known(key) or self._insist(lambda: self._ask(key, option, model_id, rerun, before))
        return known

    def _insist(self, ask: Callable[[], Started]) -> Started:
        """Ask until the database has answered, for a while: asking twice is one run."""
        until = time.monotonic() + _INSIST_S
        while True:
            try:
                return ask()
            except SQLAlchemyError as error:
                if not self._shared:
                    raise
                problem = unavailable(error, self._settings.database_url)
                if not problem.retryable or time.monotonic() > until:
                    raise problem from None
                time.sleep(_PAUSE_S)

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
            self._engine.dispose()
