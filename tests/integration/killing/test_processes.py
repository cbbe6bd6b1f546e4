"""Runs and the processes that come and go: `vmi run`, SIGTERM, several `vmi serve` on one data directory."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from .conftest import ROWS, Arena, Process


def start_run(arena: Arena, reached: Callable[[], None]) -> tuple[Process, str]:
    """A `vmi run` that is at the moment which is held; with its run's id."""
    process = arena.run()
    reached()
    [job] = [job for job in arena.all_jobs() if arena.model_run_id in job["displayName"]]
    return process, job["displayName"].removeprefix("vmi-").rsplit("-", 1)[0]


def test_a_killed_vmi_run_is_carried_on_by_the_same_command(arena: Arena) -> None:
    first, run_id = start_run(arena, arena.hold("storage", "*/predictions/00001.ndjson", method="PUT"))
    first.kill()
    second = arena.run()
    assert second.wait(60) == 0, second.said()
    assert f"carries on run {run_id}" in second.err.read_text()
    status = json.loads(second.out.read_text())
    assert (status["run_id"], status["state"], status["counts"]["predicted"]) == (run_id, "COMPLETE", ROWS)
    arena.check(run_id)


def test_a_killed_vmi_run_is_adopted_by_vmi_serve(arena: Arena) -> None:
    served = arena.serve()
    served.url()
    first, run_id = start_run(arena, arena.hold("storage", "*/predictions/00001.ndjson", method="PUT"))
    first.kill()
    arena.ended(run_id, 20)
    arena.check(run_id)


def test_vmi_run_carries_on_what_a_killed_vmi_serve_left(arena: Arena) -> None:
    reached = arena.hold("storage", "*/answers/00001.jsonl", method="PUT")
    served = arena.serve()
    run_id = arena.press(served)
    reached()
    served.kill()
    process = arena.run()
    assert process.wait(60) == 0, process.said()
    arena.check(run_id)


def test_who_waits_for_a_run_takes_it_over_when_its_process_dies(arena: Arena) -> None:
    first, run_id = start_run(arena, arena.hold("storage", "*/predictions/00001.ndjson", method="PUT"))
    waiting = arena.run()
    arena.until_said(waiting, f"joins run {run_id}")
    first.kill()
    assert waiting.wait(60) == 0, waiting.said()
    arena.check(run_id)


@pytest.mark.parametrize(
    ("server", "match"),
    [
        ("storage", "*/staged/00001.jsonl"),
        ("vertex", "batchPredictionJobs.get"),
        ("labelbox", "createMEAPredictionImportByFile*"),
    ],
    ids=["assets", "job", "upload"],
)
def test_sigterm_hands_over(server: str, match: str, arena: Arena) -> None:
    reached = arena.hold(server, match, after=1 if server == "vertex" else 0)
    first = arena.serve()
    run_id = arena.press(first)
    reached()
    assert first.terminate() == 0
    assert "Traceback" not in first.said()
    status = arena.status(run_id)
    assert status is not None
    assert not status.state.ended
    second = arena.serve()
    arena.check(run_id)
    assert second.terminate() == 0
    assert "Traceback" not in second.said()


def test_two_serve_on_one_data_directory(arena: Arena) -> None:
    reached = arena.hold("storage", "*/predictions/00001.ndjson", method="PUT")
    one, two = arena.serve(), arena.serve()
    run_id = arena.press(one)
    assert arena.press(two) == run_id
    reached()
    # Either may have taken it from the queue; the one that did not carries it on.
    owner, other = (one, two) if arena.works_on(one, run_id) else (two, one)
    owner.kill()
    arena.ended(run_id, 20)
    assert other.popen.poll() is None
    arena.check(run_id)


def test_a_restarted_serve_beside_another(arena: Arena) -> None:
    """Run and groups may land in different processes: both go on, one of them tells."""
    reached = arena.hold("storage", "*/answers/00001.jsonl", method="PUT")
    first = arena.serve()
    run_id = arena.press(first)
    reached()
    first.kill()
    both = [arena.serve(), arena.serve()]
    arena.check(run_id)
    assert [process.terminate() for process in both] == [0, 0]
    arena.check(run_id)  # nobody wrote over the end
