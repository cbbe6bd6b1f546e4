"""The engine's database as both halves see it: the desk that asks for runs, and the engine that works on them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from vertex_model_inference.runs.postgres import postgres_engine
from vertex_model_inference.runs.started import Started
from vertex_model_inference.settings import Settings
from vertex_model_inference.spec import ARTIFACTS_VERSION, run_id_of

__all__ = [
    "ACTIVE",
    "APPLICATION",
    "GROUPS",
    "QUEUE",
    "WORKFLOW",
    "WORKFLOW_VERSION",
    "database_engine",
    "next_run",
    "queued",
    "quiet",
    "sqlite_engine",
]

WORKFLOW_VERSION = f"2.{ARTIFACTS_VERSION}"
"""Its first number is raised when the order of steps changes so that runs begun by an older release cannot be carried
on. DBOS leaves runs of other versions alone; see ``releases.py``.
"""

APPLICATION = "vmi"
QUEUE = "runs"
GROUPS = "groups"
"""The queue of runs' groups, on a database that several machines share."""
WORKFLOW = "run"
_ANSWER_S = 4.0  # somebody waits
ACTIVE = ("PENDING", "ENQUEUED", "DELAYED")


def quiet() -> None:
    """Let DBOS and SQLAlchemy log errors only."""
    for name in ("dbos", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.ERROR)


def sqlite_engine(url: str) -> Any:
    """SQLite so that a killed process loses nothing and commits cost no flush of the disk: WAL, synchronous=NORMAL.

    A power cut can take the last steps' memory with it; they are then done again, which every step allows.

    Returns:
        The ``sqlalchemy.Engine``, None for databases other than SQLite. Whoever asks for it disposes of it.
    """
    import sqlalchemy

    if not url.startswith("sqlite"):
        return None
    engine = sqlalchemy.create_engine(url, connect_args={"check_same_thread": False})

    @sqlalchemy.event.listens_for(engine, "connect")
    def _tune(connection: Any, _record: Any) -> None:
        connection.isolation_level = "IMMEDIATE"
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA busy_timeout=30000")
        connection.execute("PRAGMA foreign_keys=ON")

    return engine


def database_engine(settings: Settings, purpose: str) -> Any:
    """Connections to the engine's database.

    Args:
        settings: What is in force.
        purpose: What for; a Postgres server shows it.

    Returns:
        The ``sqlalchemy.Engine``. Whoever asks for it disposes of it.
    """
    if settings.shared_database:
        return postgres_engine(settings.database_url, purpose, lease_s=settings.lease_s)
    return sqlite_engine(settings.database_url)


def next_run(dbos: Any, model_run_id: str, option: str) -> Started:
    """The run of a model run and option to join (``joined``), or the id of the one to begin.

    Args:
        dbos: ``DBOS`` or a ``DBOSClient``.
        model_run_id: Labelbox's id.
        option: Name of the model option.
    """
    prefix = run_id_of(model_run_id, option, 0).rsplit("-", 1)[0] + "-"
    found = [
        status
        for status in dbos.list_workflows(workflow_id_prefix=prefix, name=WORKFLOW, load_input=False, load_output=False)
        if status.workflow_id[len(prefix) :].isdigit()
    ]
    latest = max(found, key=lambda status: int(status.workflow_id[len(prefix) :]), default=None)
    if latest is None:
        return Started(run_id_of(model_run_id, option, 0), joined=False)
    if latest.status in ACTIVE:
        return Started(latest.workflow_id, joined=True)
    return Started(run_id_of(model_run_id, option, int(latest.workflow_id[len(prefix) :]) + 1), joined=False)


def queued(url: str, run_id: str) -> bool:
    """Whether the engine's database has an active run of this id; False also where no engine has made a database.

    Args:
        url: SQLAlchemy's, of the database.
        run_id: The whole id.
    """
    import sqlalchemy
    from sqlalchemy.exc import SQLAlchemyError

    parsed = sqlalchemy.make_url(url)
    if parsed.get_backend_name() == "sqlite" and not (parsed.database and Path(parsed.database).exists()):
        return False
    quiet()
    engine = sqlite_engine(url) or postgres_engine(url, "look", lease_s=_ANSWER_S, pool=1, statement_s=_ANSWER_S)
    try:
        from dbos import DBOSClient

        client = DBOSClient(
            system_database_url=url,
            system_database_engine=engine,
            application_name=APPLICATION,
            retry_connection_errors=False,
        )
        try:
            found = client.list_workflows(workflow_ids=[run_id], name=WORKFLOW, load_input=False, load_output=False)
        finally:
            client.destroy()
    except SQLAlchemyError:
        return False
    finally:
        engine.dispose()
    return any(status.status in ACTIVE for status in found)
