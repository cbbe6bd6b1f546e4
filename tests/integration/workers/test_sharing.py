"""One run, several workers: its groups are spread over them."""

from __future__ import annotations

import json

import httpx2
import psycopg
from tests.integration.killing.conftest import Process, until

from .conftest import GROUPS, Yard

TOKEN = "a-token-for-the-pages"


def test_three_workers_share_one_run(yard: Yard) -> None:
    yard.environment["VMI_PAGES_TOKEN"] = TOKEN
    desk = yard.desk()
    names = {yard.name_of(process) for process in yard.workers(3)}
    run_id = yard.press(desk)
    yard.verify(run_id)
    done = yard.done_by(run_id)
    assert set(done) <= names
    assert len(done) >= 2, done
    assert sum(done.values()) == GROUPS
    told = command(yard, "workers", "--json")
    assert {each["id"]: each["state"] for each in json.loads(told)["workers"]} == dict.fromkeys(names, "alive")
    page = workers_page(desk)
    for name in names:
        assert name in command(yard, "status")
        assert name in page
    assert yard.server.password not in f"{told}{page}{command(yard, 'settings')}"


def test_workers_say_what_they_do_and_keep_within_the_limits_of_all(yard: Yard) -> None:
    yard.environment |= {"VMI_WORKER_GROUPS": "1", "VMI_TOTAL_GROUPS": "2", "VMI_GROUPS_PER_MINUTE": "1000"}
    reached = yard.hold("storage", "*/answers/*.jsonl", method="PUT", times=2, delay_s=6.0)
    desk, _ = yard.desk(), yard.workers(3)
    run_id = yard.press(desk)
    reached()
    seen = until("two groups are under way, the others wait", lambda: full(yard, run_id))
    assert sorted(seen) == [0, 1, 1]
    yard.verify(run_id)
    with psycopg.connect(yard.environment["VMI_DATABASE_URL"]) as connection:
        times = connection.execute(
            "SELECT started_at_epoch_ms, completed_at FROM dbos.workflow_status WHERE name = 'group'"
        ).fetchall()
        limits = connection.execute(
            "SELECT concurrency, worker_concurrency, rate_limit_max, rate_limit_period_sec FROM dbos.queues "
            "WHERE name = 'groups'"
        ).fetchall()
    assert limits == [(2, 1, 1000, 60.0)]
    moments = sorted([(begun, 1) for begun, _ in times] + [(ended, -1) for _, ended in times])
    under_way = most = 0
    for _, change in moments:
        under_way += change
        most = max(most, under_way)
    assert most == 2


def full(yard: Yard, run_id: str) -> list[int] | None:
    seen = yard.seen()
    groups = [each.groups.get(run_id, 0) for each in seen.workers]
    return groups if sum(groups) == 2 and seen.waiting_groups == GROUPS - 2 else None


def test_vmi_run_shares_its_groups_with_workers(yard: Yard) -> None:
    worker = yard.name_of(*yard.workers(1))
    process = yard.run()
    assert process.wait(90) == 0, process.said()
    status = json.loads(process.out.read_text())
    yard.verify(status["run_id"])
    assert worker in yard.done_by(status["run_id"])


def command(yard: Yard, *arguments: str) -> str:
    """What a `vmi` command prints."""
    process = yard.start(*arguments)
    assert process.wait(60) == 0, process.said()
    return process.said()


def workers_page(desk: Process) -> str:
    with httpx2.Client(base_url=desk.url(), timeout=60, trust_env=False) as client:
        assert client.post("/login", data={"token": TOKEN}).status_code == 303
        return client.get("/workers").raise_for_status().text
