"""A run that is cancelled from another process: it stops spending, ends once, and every exported row says how."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from vertex_model_inference.models import ModelOption
from vertex_model_inference.outcomes import OutcomeStatus
from vertex_model_inference.runs.cancel import ABANDONED_S, cancel_run
from vertex_model_inference.runs.desk import RunDesk
from vertex_model_inference.runs.reading import idle_seconds, outcomes_of
from vertex_model_inference.runs.status import RunState, RunStatus
from vertex_model_inference.settings import Settings, load
from vertex_model_inference.webhook.wiring import catalog_of

from .conftest import FOREVER_S, ROWS, Arena, until

BY = "the lead"
HAPPENED = {"answer_after_s": FOREVER_S}


@pytest.fixture
def settings(arena: Arena) -> Settings:
    """Of another machine: it shares the store, and neither the data directory nor the database."""
    elsewhere = arena.folder / "elsewhere"
    elsewhere.mkdir()
    return load({**arena.environment, "VMI_DATA_DIR": str(elsewhere / "vmi")}, elsewhere)


def stuck(arena: Arena, state: str) -> None:
    arena.http.post(
        f"{arena.config.vertex_url}/_sandbox/mischief", json={"stuck": state, "times": 1}
    ).raise_for_status()


def until_job(arena: Arena, run_id: str, state: str) -> None:
    until(f"a job is {state}", lambda: any(job["state"] == f"JOB_STATE_{state}" for job in arena.jobs(run_id)))


def until_abandoned(arena: Arena, run_id: str) -> None:
    def look() -> bool:
        status = arena.status(run_id)
        return status is not None and idle_seconds(status) >= ABANDONED_S

    until("nobody works on it", look)


def check_cancelled(arena: Arena, run_id: str) -> RunStatus:
    """Nothing was predicted: every row says why, the job was stopped once, and Labelbox knows."""
    status = arena.ended(run_id)
    assert (status.state, status.counts.exported, status.counts.skipped) == (RunState.CANCELLED, ROWS, ROWS)
    assert BY in (status.message or "")
    outcomes = list(outcomes_of(arena.store, run_id))
    assert Counter(outcome.data_row_id for outcome in outcomes).most_common(1)[0][1] == 1
    assert {(item.status, item.code, item.retryable) for item in outcomes} == {
        (OutcomeStatus.SKIPPED, "cancelled", True)
    }
    run = arena.in_labelbox()
    assert run["status"] == "FAILED"
    assert run["error_message"] == status.message
    assert run["counts"]["predictions"] == 0
    return status


@pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
def test_the_job_is_cancelled_from_elsewhere(arena: Arena, settings: Settings, state: str) -> None:
    stuck(arena, state)
    served = arena.serve()
    run_id = arena.press(served)
    until_job(arena, run_id, state)
    done = cancel_run(settings, arena.model_run_id, by=BY, why="the wrong ontology", store=arena.store)
    assert (done.run_id, done.asked, done.abandoned) == (run_id, True, False)
    status = check_cancelled(arena, run_id)
    assert "the wrong ontology" in (status.message or "")
    assert [job["state"] for job in arena.jobs(run_id)] == ["JOB_STATE_CANCELLED"]
    assert set(status.jobs.values()) == {"CANCELLED"}

    again = cancel_run(settings, run_id, by="somebody else", store=arena.store)
    assert (again.asked, again.state) == (False, RunState.CANCELLED)
    assert "ended already" in again.words

    # The same button does the rows after all.
    second = arena.press(served)
    assert second != run_id
    ended = arena.ended(second)
    assert (ended.state, ended.counts.predicted) == (RunState.COMPLETE, ROWS)
    assert served.terminate() == 0


MOMENTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "job-submitted": ("vertex", "batchPredictionJobs.create", HAPPENED),
    "staging": ("storage", "*/staged/00000.jsonl", {"method": "PUT"}),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_cancelled_while_nobody_works_on_it(arena: Arena, settings: Settings, name: str) -> None:
    """kill -9, cancel, and a new process: it ends cancelled, and no job is left that costs."""
    server, match, more = MOMENTS[name]
    if name == "job-submitted":
        stuck(arena, "RUNNING")
    reached = arena.hold(server, match, **more)
    served = arena.serve()
    run_id = arena.press(served)
    reached()
    served.kill()
    arena.release()
    until_abandoned(arena, run_id)
    done = cancel_run(settings, run_id, by=BY, store=arena.store)
    assert (done.asked, done.abandoned) == (True, True)
    assert f"vmi resume {run_id}" in done.words
    jobs = 1 if name == "job-submitted" else 0
    # Its job stops at once, not only when somebody carries the run on.
    until("the job stops", lambda: [job["state"] for job in arena.jobs(run_id)] == ["JOB_STATE_CANCELLED"] * jobs)

    resumed = arena.start("resume", run_id, "--json")
    assert resumed.wait(60) == 1
    assert '"state": "CANCELLED"' in resumed.said()
    check_cancelled(arena, run_id)
    assert len(arena.jobs(run_id)) == jobs


def test_killed_while_it_is_being_cancelled(arena: Arena, settings: Settings) -> None:
    """Vertex was asked to stop the job, and the process died before it heard so: the next one ends the run."""
    stuck(arena, "RUNNING")
    served = arena.serve()
    run_id = arena.press(served)
    until_job(arena, run_id, "RUNNING")
    reached = arena.hold("vertex", "batchPredictionJobs.cancel", **HAPPENED)
    cancel_run(settings, run_id, by=BY, store=arena.store)
    reached()
    served.kill()
    arena.release()
    carried = arena.serve()
    check_cancelled(arena, run_id)
    assert [job["state"] for job in arena.jobs(run_id)] == ["JOB_STATE_CANCELLED"]
    assert carried.terminate() == 0


def test_a_run_in_the_queue_is_cancelled_before_its_turn(arena: Arena) -> None:
    """Nobody has begun it: there is no status of it, only its place in the engine's database."""
    served = arena.serve()
    served.url()
    until("the engine has made its database", lambda: (arena.folder / "vmi" / "vmi.sqlite").exists())
    arena.menu(served)
    assert served.terminate() == 0
    settings = load(arena.environment, arena.folder)
    option = catalog_of(settings).refresh().find(arena.seeded.display_name)
    assert isinstance(option, ModelOption)
    desk = RunDesk(settings)
    try:
        run_id = desk.start_run(arena.model_run_id, option).run_id
    finally:
        desk.stop()
    done = cancel_run(settings, run_id, by=BY)
    assert (done.run_id, done.asked, done.state) == (run_id, True, None)
    carried = arena.serve()
    status = arena.ended(run_id)
    assert (status.state, status.counts.exported) == (RunState.CANCELLED, 0)
    assert "were not read" in (status.message or "")
    assert arena.jobs(run_id) == []
    assert carried.terminate() == 0


def test_resume_leaves_a_living_run_and_one_that_ended_alone(arena: Arena, settings: Settings) -> None:
    stuck(arena, "RUNNING")
    served = arena.serve()
    run_id = arena.press(served)
    until_job(arena, run_id, "RUNNING")
    refused = arena.start("resume", run_id)
    assert refused.wait(60) == 1
    assert "A living process works on run" in refused.said()
    cancel_run(settings, run_id, by=BY, store=arena.store)
    check_cancelled(arena, run_id)
    refused = arena.start("resume", run_id)
    assert refused.wait(60) == 1
    assert "has ended (CANCELLED)" in refused.said()
    assert served.terminate() == 0
