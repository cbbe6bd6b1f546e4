"""How processes know of each other: lock files on one machine (SQLite), leases in the database on many (Postgres)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from vertex_model_inference.runs.executors import Executor, anyone_alive, dead_executors
from vertex_model_inference.runs.leases import Lease
from vertex_model_inference.settings import Settings

__all__ = ["SERVING", "LeasePresence", "LockPresence", "Presence", "presence_of"]

SERVING = ("serve", "worker")
"""Roles that work on whatever is in the queue."""

_LOOK_S = 5.0


class Presence(Protocol):
    """This process among those that work on runs.

    Attributes:
        id: The executor id.
        look_s: Seconds between looks for the dead.
        shared: Runs' groups go into a queue that all processes work on.
    """

    id: str
    look_s: float
    shared: bool

    def serving(self) -> bool:
        """Whether a process is alive that works on whatever is in the queue."""

    def dead(self, pending: Callable[[], Iterable[str]]) -> list[str]:
        """Executors whose runs may be taken over; call ``taken`` for each when that is done.

        Args:
            pending: Gives the executor ids of all workflows that somebody works on, or did.
        """

    def taken(self, name: str) -> None:
        """The runs of a dead executor have been taken over."""

    def fresh(self) -> bool:
        """Whether nobody can take this process for dead right now."""

    def check(self) -> None:
        """Return when this process may do what cannot be taken back; see ``fencing``."""

    def release(self) -> None:
        """Sign off: from now on others may take this process's runs."""


class LockPresence:
    """By locks on files, which the operating system frees when their process ends, however it ends."""

    shared = False
    look_s = _LOOK_S

    def __init__(self, folder: Path, role: str) -> None:
        self._folder = folder
        self._own = Executor(folder, role, numbered=True)
        self._dead: dict[str, Executor] = {}
        self.id = self._own.id

    def serving(self) -> bool:
        """See ``Presence``."""
        return any(anyone_alive(self._folder, role) for role in SERVING)

    def dead(self, pending: Callable[[], Iterable[str]]) -> list[str]:  # noqa: ARG002  # the locks say it all
        """See ``Presence``. Until ``taken`` nobody else can take them over."""
        found = dict(dead_executors(self._folder, self.id))
        self._dead |= found
        return list(found)

    def taken(self, name: str) -> None:
        """See ``Presence``."""
        self._dead.pop(name).release()

    def fresh(self) -> bool:
        """Always: a lock is held until the process ends."""
        return True

    def check(self) -> None:
        """Nothing to wait for."""

    def release(self) -> None:
        """See ``Presence``."""
        self._own.release()


class LeasePresence:
    """By leases in the Postgres database that all processes share."""

    shared = True

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self.id = lease.id
        self.look_s = lease.beat_s
        self.fresh = lease.fresh
        self.check = lease.check
        self.release = lease.leave

    def serving(self) -> bool:
        """See ``Presence``."""
        return self._lease.anyone_working(SERVING)

    def dead(self, pending: Callable[[], Iterable[str]]) -> list[str]:
        """See ``Presence``. Two may take over the same executor at once: the engine gives each run to one of them."""
        # Asked first: who takes up a run after this and before the leases are read is alive in them.
        working = set(pending())
        return sorted(working - self._lease.alive()) if working else []

    def taken(self, name: str) -> None:
        """See ``Presence``."""


def presence_of(settings: Settings, role: str, lost: Callable[[], None]) -> Presence:
    """Take this process's place among the others.

    Args:
        settings: What is in force.
        role: ``serve``, ``worker`` or ``run``.
        lost: Called, in a thread, when others have taken this process for dead.

    Raises:
        ConflictError: No lock is free.
        DatabaseError: The database does not answer.
        SettingsError: The database's URL is none.
    """
    if not settings.shared_database:
        return LockPresence(settings.data_dir.absolute() / "executors", role)
    lease = Lease(settings.database_url, role, lease_s=settings.lease_s, lost=lost)
    lease.take()
    return LeasePresence(lease)
