"""Who is alive, on Postgres: each process that works on runs holds a lease in a table, and renews it.

A lease and not a session's advisory lock: the server keeps the lock of a process that is frozen, or that hangs behind a
proxy, as long as somebody's kernel answers keepalives; and it drops the locks of all processes when it is restarted, so
that the first to come back would take the others for dead. A lease that is not renewed runs out, whatever the reason,
by the clock of the server alone. The price is a small statement every fifth of a lease.

The holder is as strict with itself: it counts from before it asked for the renewal, so it always takes its lease for
over before the others can. Until it is renewed it begins nothing that cannot be taken back (``Lease.check``).
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from vertex_model_inference import __version__
from vertex_model_inference.runs.postgres import postgres_engine, unavailable

if TYPE_CHECKING:
    import sqlalchemy

__all__ = ["TABLE", "Lease", "since_boot"]

log = structlog.get_logger("vmi.workers")

TABLE = "vmi.workers"

_BEATS = 5  # renewals in a lease
_SAFE = 2 / 3  # of a lease: what is begun later may still be under way when it ends
_MIGRATION = 7_021_968_403  # of pg_advisory_xact_lock: one process at a time makes the table
_KEPT = "1 day"

_SCHEMA = "CREATE SCHEMA IF NOT EXISTS vmi"
_MAKE = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} ("
    "id text PRIMARY KEY, role text NOT NULL, host text NOT NULL, pid integer NOT NULL, version text NOT NULL, "
    "begun_at timestamptz NOT NULL DEFAULT now(), expires_at timestamptz NOT NULL, "
    "ended_at timestamptz, ending text)"
)
_EXPIRY = "clock_timestamp() + :lease * interval '1 second'"
_TAKE = (
    f"INSERT INTO {TABLE} (id, role, host, pid, version, expires_at) "  # noqa: S608  # constants
    f"VALUES (:id, :role, :host, :pid, :version, {_EXPIRY})"
)
_RENEW = f"UPDATE {TABLE} SET expires_at = {_EXPIRY} WHERE id = :id AND ended_at IS NULL RETURNING id"  # noqa: S608
_END = f"UPDATE {TABLE} SET ended_at = clock_timestamp(), ending = 'left' WHERE id = :id AND ended_at IS NULL"  # noqa: S608
_DECLARE = (
    f"UPDATE {TABLE} SET ended_at = clock_timestamp(), ending = 'lost' "  # noqa: S608
    "WHERE ended_at IS NULL AND expires_at < clock_timestamp() AND id <> :id RETURNING id"
)
_FORGET = f"DELETE FROM {TABLE} WHERE ended_at < clock_timestamp() - interval '{_KEPT}'"  # noqa: S608
_ALIVE = f"SELECT id FROM {TABLE} WHERE ended_at IS NULL"  # noqa: S608
_WORKING = (
    f"SELECT 1 FROM {TABLE} WHERE ended_at IS NULL AND expires_at > clock_timestamp() "  # noqa: S608
    "AND role = ANY(:roles) LIMIT 1"
)


def since_boot() -> float:
    """Seconds on a clock that nobody sets and that also counts the time a machine sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


class Lease:
    """This process's place among those that work on runs. Safe to use from several threads.

    Args:
        url: Of the Postgres database.
        role: ``serve``, ``worker`` or ``run``; part of the id.
        lease_s: Seconds after which the silent are taken for dead.
        lost: Called once, in a thread, when others have taken this process for dead: its work is theirs now.
        clock: Seconds; see ``since_boot``.

    Attributes:
        id: The executor id: no other process ever had it.
        beat_s: Seconds between renewals.
    """

    def __init__(
        self,
        url: str,
        role: str,
        *,
        lease_s: float,
        lost: Callable[[], None],
        clock: Callable[[], float] = since_boot,
    ) -> None:
        host = re.sub(r"[^A-Za-z0-9.-]+", "-", socket.gethostname())[:60] or "host"
        self.id = f"{role}-{host}-{os.getpid()}-{secrets.token_hex(3)}"
        self.beat_s = lease_s / _BEATS
        self._url = url
        self._role = role
        self._host = host
        self._lease_s = lease_s
        self._lost = lost
        self._clock = clock
        self._state = threading.Condition()
        self._renewed_at = float("-inf")
        self._steady_since = float("inf")
        self._ended = False
        self._stop = threading.Event()
        self._engine = postgres_engine(url, f"lease {role}", lease_s=lease_s, pool=1, statement_s=max(1.0, lease_s / 3))
        self._thread = threading.Thread(target=self._keep, name="vmi-lease", daemon=True)

    # -- holding it ---------------------------------------------------------------------------------------------------

    def take(self) -> None:
        """Take a place and begin to renew it; makes the table where there is none.

        Raises:
            DatabaseError: The database does not answer, or the role may not make the table.
        """
        import sqlalchemy

        asked = self._clock()
        try:
            with self._engine.begin() as connection:
                self._make(connection)
                connection.execute(
                    sqlalchemy.text(_TAKE),
                    {
                        "id": self.id,
                        "role": self._role,
                        "host": self._host,
                        "pid": os.getpid(),
                        "version": __version__,
                        "lease": self._lease_s,
                    },
                )
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise unavailable(error, self._url) from None
        self._note(asked)
        self._thread.start()

    @staticmethod
    def _make(connection: sqlalchemy.Connection) -> None:
        import sqlalchemy

        there = connection.execute(sqlalchemy.text("SELECT to_regclass(:table)"), {"table": TABLE}).scalar()
        if there is None:
            # IF NOT EXISTS alone fails when two begin at the same time.
            connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION})
            for statement in (_SCHEMA, _MAKE):
                connection.execute(sqlalchemy.text(statement))

    def fresh(self) -> bool:
        """Whether nobody can take this process for dead for a while yet: a third of a lease."""
        with self._state:
            return self._is_fresh()

    def _is_fresh(self) -> bool:
        return not self._ended and self._clock() - self._renewed_at < self._lease_s * _SAFE

    def check(self) -> None:
        """Return while the lease is fresh; wait for its renewal otherwise.

        Does not return when the lease is lost: others do this process's work, and it is about to end.
        """
        with self._state:
            if self._is_fresh():
                return
            log.warning("waiting for the database before going on", executor=self.id)
            while not self._is_fresh():
                self._state.wait(self.beat_s)

    def leave(self) -> None:
        """Give the place up, so that others need not wait until it runs out. A second call does nothing."""
        import sqlalchemy

        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(self._lease_s)
        with self._state:
            ended, self._ended = self._ended, True
        if not ended and self._renewed_at > float("-inf"):
            try:
                with self._engine.begin() as connection:
                    connection.execute(sqlalchemy.text(_END), {"id": self.id})
            except sqlalchemy.exc.SQLAlchemyError as error:
                log.warning("could not sign off; others notice in a while", cause=str(unavailable(error, self._url)))
        self._engine.dispose()

    def _note(self, asked: float) -> None:
        with self._state:
            if asked - self._renewed_at > self._lease_s / 2:
                self._steady_since = asked
            self._renewed_at = asked
            self._state.notify_all()

    def _keep(self) -> None:
        import sqlalchemy

        told = False
        while not self._stop.wait(self.beat_s):
            asked = self._clock()
            try:
                with self._engine.begin() as connection:
                    held = connection.execute(sqlalchemy.text(_RENEW), {"id": self.id, "lease": self._lease_s}).scalar()
            except sqlalchemy.exc.SQLAlchemyError as error:
                if not told:
                    log.warning("the lease was not renewed", cause=str(unavailable(error, self._url)))
                told = True
                continue
            if held is None:
                with self._state:
                    self._ended = True
                log.error("this process was taken for dead; others do its work", executor=self.id)
                self._lost()
                return
            if told:
                log.info("the lease is renewed again")
            told = False
            self._note(asked)

    # -- the others ---------------------------------------------------------------------------------------------------

    def alive(self) -> set[str]:
        """Executor ids that nobody may take work from; those whose lease has run out are declared lost first.

        After the database itself was away all leases may have run out. So nobody is declared lost before this process
        has had the database for half a lease without a break: the others have renewed theirs by then.

        Raises:
            DatabaseError: The database does not answer.
        """
        import sqlalchemy

        with self._state:
            steady = self._clock() - self._steady_since >= self._lease_s / 2
        try:
            with self._engine.begin() as connection:
                if steady:
                    lost = connection.execute(sqlalchemy.text(_DECLARE), {"id": self.id}).scalars().all()
                    for name in lost:
                        log.warning("a worker was not heard of and counts as dead", executor=name)
                    connection.execute(sqlalchemy.text(_FORGET))
                return set(connection.execute(sqlalchemy.text(_ALIVE)).scalars())
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise unavailable(error, self._url) from None

    def anyone_working(self, roles: tuple[str, ...]) -> bool:
        """Whether another process of one of the roles is alive.

        Raises:
            DatabaseError: The database does not answer.
        """
        import sqlalchemy

        try:
            with self._engine.begin() as connection:
                found = connection.execute(sqlalchemy.text(_WORKING), {"roles": list(roles)}).scalar()
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise unavailable(error, self._url) from None
        return found is not None
