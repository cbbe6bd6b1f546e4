"""The lease itself, against a real server."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest
from tests.integration.killing.conftest import until
from tests.postgres import Postgres

from vertex_model_inference.errors import DatabaseError
from vertex_model_inference.runs.leases import Lease, since_boot

LEASE_S = 3.0

Take = Callable[..., Lease]


@pytest.fixture
def url(workers_server: Postgres) -> str:
    database = f"vmi_{secrets.token_hex(4)}"
    server = workers_server
    with psycopg.connect(server.url_at("127.0.0.1", server.port, "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database}")
    return server.url_at("127.0.0.1", server.port, database)


@pytest.fixture
def take(url: str) -> Iterator[Take]:
    taken: list[Lease] = []

    def one(lost: Callable[[], None] = lambda: None, clock: Callable[[], float] = since_boot) -> Lease:
        lease = Lease(url, "worker", lease_s=LEASE_S, lost=lost, clock=clock)
        taken.append(lease)
        lease.take()
        return lease

    yield one
    for lease in taken:
        lease.leave()


def expire(url: str, lease: Lease) -> None:
    """As if it had not been renewed for long."""
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE vmi.workers SET expires_at = now() - interval '1 minute' WHERE id = %s", (lease.id,))


def declare(url: str, lease: Lease) -> None:
    """As another process does that takes it for dead."""
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE vmi.workers SET ended_at = now(), ending = 'lost' WHERE id = %s", (lease.id,))


def test_who_renews_is_alive_and_who_leaves_is_not(take: Take) -> None:
    one, other = take(), take()
    assert one.id != other.id
    assert one.alive() == {one.id, other.id}
    assert one.fresh()
    one.check()
    assert one.anyone_working(("worker",))
    assert not one.anyone_working(("serve",))
    other.leave()
    assert one.alive() == {one.id}
    assert not other.fresh()


def test_many_begin_at_once_on_an_empty_database(url: str, take: Take) -> None:
    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(take().alive()) == 9


def test_nobody_is_declared_lost_by_one_who_has_just_come(url: str, take: Take) -> None:
    now = 0.0
    one, other = take(), take(clock=lambda: now)
    one._stop.set()
    one._thread.join(30)
    expire(url, one)
    assert one.id in other.alive()  # it may have been the database that was away
    other._steady_since = -LEASE_S
    assert one.id not in other.alive()


def test_who_was_declared_lost_is_told_and_never_goes_on(url: str, take: Take) -> None:
    told = threading.Event()
    lease = take(told.set)
    declare(url, lease)
    assert told.wait(30)
    assert not lease.fresh()
    waiting = threading.Thread(target=lease.check, daemon=True)
    waiting.start()
    waiting.join(LEASE_S)
    assert waiting.is_alive()


def test_it_is_stale_by_its_own_clock_before_others_can_take_it_for_dead(take: Take) -> None:
    late = 0.0
    lease = take(clock=lambda: since_boot() + late)
    assert lease.fresh()
    late = LEASE_S * 0.9  # the process was frozen for so long
    assert not lease.fresh()
    late = 0.0
    until("it is renewed", lease.fresh)


def test_a_server_that_refuses_says_what_to_do(workers_server: Postgres) -> None:
    server = workers_server
    missing = Lease(server.url_at("127.0.0.1", server.port, "nothing"), "worker", lease_s=5, lost=lambda: None)
    with pytest.raises(DatabaseError, match="createdb") as caught:
        missing.take()
    assert not caught.value.retryable
    missing.leave()
    wrong = server.url_at("127.0.0.1", server.port).replace(server.password, "wrong-secret")
    lease = Lease(wrong, "worker", lease_s=5, lost=lambda: None)
    with pytest.raises(DatabaseError, match="Correct the user and password") as caught:
        lease.take()
    assert "wrong-secret" not in str(caught.value)
    lease.leave()
