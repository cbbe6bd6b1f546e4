"""Workers that die, freeze, or are told to stop: another goes on, and nothing happens twice."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from tests.integration.killing.conftest import FOREVER_S, until

from .conftest import LEASE_S, Yard, last_one, leader

HAPPENED = {"answer_after_s": FOREVER_S}


@pytest.mark.parametrize(
    ("server", "match", "more"),
    [
        ("vertex", "batchPredictionJobs.create", HAPPENED),
        ("storage", "*/answers/00003.jsonl", {"method": "PUT"}),
        ("labelbox", "createMEAPredictionImportByFilePyApi", {"after": 2, **HAPPENED}),
    ],
    ids=["submit", "answers", "upload"],
)
def test_a_killed_worker_is_replaced(server: str, match: str, more: dict[str, Any], yard: Yard) -> None:
    reached = yard.hold(server, match, **more)
    desk, workers = yard.desk(), yard.workers(3)
    run_id = yard.press(desk)
    reached()
    victim, name = last_one(yard, workers, run_id)
    victim.kill()
    until("it is taken for dead", lambda: yard.state_of(name).state == "lost", 30)  # as the operator is promised
    until("another has its work", lambda: not yard.state_of(name).groups, 30)
    yard.verify(run_id)


def test_a_killed_leader_is_replaced(yard: Yard) -> None:
    reached = yard.hold("storage", "*/predictions/00002.ndjson", method="PUT")
    desk, workers = yard.desk(), yard.workers(3)
    run_id = yard.press(desk)
    reached()
    victim, _ = leader(yard, workers, run_id)
    holder, _ = last_one(yard, workers, run_id)
    victim.kill()
    if holder is not victim:
        holder.kill()
    yard.ended(run_id, 90)
    yard.verify(run_id)


def test_when_all_are_killed_the_next_goes_on(yard: Yard) -> None:
    reached = yard.hold("labelbox", "createMEAPredictionImportByFilePyApi", after=1, **HAPPENED)
    desk, workers = yard.desk(), yard.workers(2)
    run_id = yard.press(desk)
    reached()
    for process in workers:
        process.kill()
    yard.workers(1)
    yard.ended(run_id, 90)
    yard.verify(run_id)


def test_a_frozen_worker_comes_back_and_does_no_harm(yard: Yard) -> None:
    reached = yard.hold("storage", "*/answers/00001.jsonl", method="PUT")
    desk, workers = yard.desk(), yard.workers(2)
    run_id = yard.press(desk)
    reached()
    victim, name = last_one(yard, workers, run_id)
    os.kill(victim.popen.pid, signal.SIGSTOP)
    yard.ended(run_id, 90)
    yard.verify(run_id)
    os.kill(victim.popen.pid, signal.SIGCONT)
    until("it begins anew under another name", lambda: yard.name_of(victim) != name)
    assert "was taken for dead" in victim.said()
    assert yard.state_of(name).state == "lost"
    assert yard.state_of(yard.name_of(victim)).state == "alive"
    yard.verify(run_id)


def test_a_frozen_worker_that_wakes_while_another_does_its_work(yard: Yard) -> None:
    """It was frozen before it sent its job, and wakes when the other is about to send the same one."""
    reached = yard.hold("vertex", "batchPredictionJobs.list", delay_s=LEASE_S + 3.0)
    desk, workers = yard.desk(), yard.workers(2)
    run_id = yard.press(desk)
    reached()
    victim, name = last_one(yard, workers, run_id)
    os.kill(victim.popen.pid, signal.SIGSTOP)
    until("it is taken for dead", lambda: yard.state_of(name).state == "lost", 30)
    os.kill(victim.popen.pid, signal.SIGCONT)
    yard.ended(run_id, 90)
    yard.verify(run_id)
    until("it begins anew", lambda: yard.name_of(victim) != name)


def test_sigterm_hands_back_at_once(yard: Yard) -> None:
    reached = yard.hold("vertex", "batchPredictionJobs.get", after=3)
    desk, workers = yard.desk(), yard.workers(2)
    run_id = yard.press(desk)
    reached()
    victim, name = last_one(yard, workers, run_id)
    assert victim.terminate() == 0
    assert yard.state_of(name).state == "left"
    yard.ended(run_id, 90)
    yard.verify(run_id)
    assert "taking over" not in "".join(process.said() for process in workers)  # nobody had to notice anything


def test_sigterm_in_the_middle_of_a_step_is_bounded(yard: Yard) -> None:
    reached = yard.hold("storage", "*/answers/00001.jsonl", method="PUT")
    desk, workers = yard.desk(), yard.workers(2)
    run_id = yard.press(desk)
    reached()
    victim, _ = last_one(yard, workers, run_id)
    assert victim.terminate() == 0  # within 30 s
    assert "left in the middle" in victim.said()
    yard.ended(run_id, 90)
    yard.verify(run_id)
