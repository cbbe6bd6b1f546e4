"""Reads who works on runs, and on what, from the Postgres database that the workers share."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from vertex_model_inference.errors import SettingsError
from vertex_model_inference.runs.database import APPLICATION, GROUPS, QUEUE, WORKFLOW, quiet
from vertex_model_inference.runs.leases import TABLE
from vertex_model_inference.runs.postgres import postgres_engine, unavailable
from vertex_model_inference.settings import Settings

__all__ = ["Worker", "Workers", "read_workers"]

_ANSWER_S = 4.0  # somebody waits at a terminal or a page

_READ = (
    "SELECT id, role, host, pid, version, to_char(begun_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), "  # noqa: S608
    "CASE WHEN ended_at IS NOT NULL THEN ending WHEN expires_at < clock_timestamp() THEN 'silent' ELSE 'alive' END, "
    "extract(epoch FROM expires_at - clock_timestamp())::float8, "
    "extract(epoch FROM clock_timestamp() - ended_at)::float8 "
    f"FROM {TABLE} ORDER BY begun_at"
)


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A process that works on runs, or did within the last day.

    Attributes:
        id: Executor id.
        role: ``serve``, ``worker`` or ``run``: the command it was started with.
        host: Name of its machine.
        pid: Its process id there.
        version: Of this package, as it runs there.
        begun_at: RFC 3339, UTC.
        state: ``alive``; ``silent``: its lease ran out, others are about to take its work; ``lost``: they have;
            ``left``: it was told to stop.
        lease_s: Seconds until its lease runs out, negative when it has; None when it has ended.
        ended_s: Seconds since it ended.
        runs: Ids of the runs that it leads.
        groups: Run id -> groups of that run it works on.
    """

    id: str
    role: str
    host: str
    pid: int
    version: str
    begun_at: str
    state: str
    lease_s: float | None = None
    ended_s: float | None = None
    runs: tuple[str, ...] = ()
    groups: dict[str, int] = {}


class Workers(msgspec.Struct, frozen=True, kw_only=True):
    """All of them, and what nobody has begun yet.

    Attributes:
        workers: In the order in which they began.
        waiting_runs: Runs in the queue.
        waiting_groups: Groups in the queue.
    """

    workers: tuple[Worker, ...] = ()
    waiting_runs: int = 0
    waiting_groups: int = 0

    @property
    def alive(self) -> int:
        """How many are alive."""
        return sum(worker.state == "alive" for worker in self.workers)


def read_workers(settings: Settings) -> Workers:
    """Who works on runs, and on what.

    Raises:
        SettingsError: The engine's database is SQLite.
        DatabaseError: The database does not answer.
    """
    from dbos import DBOSClient
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    if not settings.shared_database:
        raise SettingsError(
            "The engine's database is SQLite: its runs are worked on by processes of this machine only.",
            code="settings_database",
            hint="Set VMI_DATABASE_URL to a Postgres URL to have workers on several machines.",
        )
    quiet()
    engine = postgres_engine(settings.database_url, "workers", lease_s=_ANSWER_S, pool=1, statement_s=_ANSWER_S)
    try:
        with engine.begin() as connection:
            if connection.execute(text("SELECT to_regclass(:table)"), {"table": TABLE}).scalar() is None:
                return Workers()
            rows = connection.execute(text(_READ)).all()
        client = DBOSClient(
            system_database_url=settings.database_url,
            system_database_engine=engine,
            application_name=APPLICATION,
            retry_connection_errors=False,
        )
        try:
            found = client.list_workflows(status=["PENDING", "ENQUEUED"], load_input=False, load_output=False)
        finally:
            client.destroy()
    except SQLAlchemyError as error:
        raise unavailable(error, settings.database_url) from None
    finally:
        engine.dispose()
    return _told(rows, found)


def _told(rows: Any, found: list[Any]) -> Workers:
    runs: dict[str, list[str]] = {}
    groups: dict[str, Counter[str]] = {}
    for each in found:
        if each.status != "PENDING":
            continue
        if each.name == WORKFLOW:
            runs.setdefault(each.executor_id, []).append(each.workflow_id)
        else:
            # The engine names a child after its parent: "<run id>-<number of the call>".
            groups.setdefault(each.executor_id, Counter())[each.workflow_id.rpartition("-")[0]] += 1
    workers = tuple(
        Worker(
            id=id_,
            role=role,
            host=host,
            pid=pid,
            version=version,
            begun_at=begun_at,
            state=state,
            lease_s=None if ended_s is not None else round(lease_s, 1),
            ended_s=None if ended_s is None else round(ended_s, 1),
            runs=tuple(sorted(runs.get(id_, ()))),
            groups=dict(groups.get(id_, {})),
        )
        for id_, role, host, pid, version, begun_at, state, lease_s, ended_s in rows
    )
    waiting = Counter(each.queue_name for each in found if each.status == "ENQUEUED")
    return Workers(workers=workers, waiting_runs=waiting[QUEUE], waiting_groups=waiting[GROUPS])
