"""A run that another release of ours began and left."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from vertex_model_inference.runs.progress import read_status, write_status
from vertex_model_inference.runs.status import RunState

from .conftest import ROWS, Arena, until


def left_by(arena: Arena, version: str) -> str:
    """A run whose process was killed, as if ``version`` of the workflow had begun it some minutes ago."""
    arena.http.post(
        f"{arena.config.vertex_url}/_sandbox/mischief", json={"stuck": "RUNNING", "times": 1}
    ).raise_for_status()
    served = arena.serve()
    run_id = arena.press(served)
    until("the job is there", lambda: arena.jobs(run_id))
    served.kill()
    with closing(sqlite3.connect(Path(arena.folder) / "vmi" / "vmi.sqlite")) as db, db:
        db.execute("UPDATE workflow_status SET application_version = ?", (version,))
    status = read_status(arena.store, run_id)
    assert status is not None
    write_status(arena.store, msgspec.structs.replace(status, updated_at="2026-01-01T00:00:00.000Z"))
    return run_id


def test_an_older_one_s_run_is_ended_in_words_and_the_button_works_again(arena: Arena) -> None:
    run_id = left_by(arena, "1")
    served = arena.serve()
    status = arena.ended(run_id)
    assert status.state is RunState.FAILED
    assert "older release of vmi (its workflow has version 1)" in (status.message or "")
    assert arena.in_labelbox()["error_message"] == status.message
    second = arena.press(served)
    assert second != run_id
    ended = arena.ended(second)
    assert (ended.state, ended.counts.predicted) == (RunState.COMPLETE, ROWS)
    assert served.terminate() == 0


def test_a_newer_one_s_run_is_left_to_it(arena: Arena) -> None:
    run_id = left_by(arena, "99.1")
    for refused in (arena.start("resume", run_id), arena.run()):
        assert refused.wait(60) == 1
        assert f"Run {run_id} was begun by a newer release of vmi" in refused.said()
        assert "Traceback" not in refused.said()
    status = arena.status(run_id)
    assert status is not None
    assert not status.state.ended
