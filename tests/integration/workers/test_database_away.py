"""The database stops, or stops answering, for longer than a lease: everybody waits, nobody is taken for dead."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from tests.integration.killing.conftest import until
from tests.postgres import Postgres

from .conftest import LEASE_S, Yard

AWAY_S = 10.0


def restart(server: Postgres) -> None:
    server.stop()
    time.sleep(AWAY_S)
    server.start()


def crash(server: Postgres) -> None:
    server.crash()
    time.sleep(AWAY_S)
    server.start()


def freeze(server: Postgres) -> None:
    server.freeze()
    time.sleep(AWAY_S)
    server.thaw()


@pytest.mark.parametrize("away", [restart, crash, freeze])
def test_a_run_goes_on_after_the_database_was_away(away: Callable[[Postgres], None], yard: Yard) -> None:
    assert AWAY_S > 2 * LEASE_S
    reached = yard.hold("storage", "*/answers/00002.jsonl", method="PUT", delay_s=3.0)
    desk, workers = yard.desk(), yard.workers(3)
    names = [yard.name_of(process) for process in workers]
    run_id = yard.press(desk)
    reached()
    away(yard.server)
    yard.ended(run_id, 90)
    yard.verify(run_id)
    assert [yard.name_of(process) for process in workers] == names
    assert {yard.state_of(name).state for name in names} == {"alive"}


def test_the_webhook_says_when_to_come_back(yard: Yard) -> None:
    desk, _ = yard.desk(), yard.workers(1)
    yard.menu(desk)
    until("the desk is open", lambda: yard.http.get(f"{desk.url()}/models").status_code == 200)
    yard.server.stop()
    try:
        refused = yard.post(desk)
    finally:
        yard.server.start()
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "10"), refused.text
    assert refused.json()["error"]["code"] == "database"
    assert yard.server.password not in refused.text
    again = yard.post(desk)
    assert again.status_code == 200, again.text
    yard.verify(again.json()["runId"])


def test_everything_is_started_while_the_database_is_away(yard: Yard) -> None:
    yard.server.stop()
    try:
        desk, worker = yard.desk(), yard.worker()
        yard.until_said(desk, "waiting for the database")
        yard.until_said(worker, "waiting for the database")
    finally:
        yard.server.start()
    yard.name_of(worker)
    yard.verify(yard.press(desk))


def test_sigterm_while_the_database_is_away_is_bounded(yard: Yard) -> None:
    reached = yard.hold("vertex", "batchPredictionJobs.get", after=2, times=0)
    desk, [worker] = yard.desk(), yard.workers(1)
    run_id = yard.press(desk)
    reached()
    yard.server.stop()
    try:
        assert worker.terminate() == 0  # within 30 s
    finally:
        yard.server.start()
    yard.release()
    yard.workers(1)
    yard.ended(run_id, 90)
    yard.verify(run_id)
