"""kill -9 of the engine alone, which is a child of `vmi serve`, and of `vmi serve`, whose child must not stay."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from .conftest import Arena, Process, until


def engine_of(served: Process) -> int:
    """The process id of the engine that `vmi serve` has now."""

    def look() -> int | None:
        tasks = Path(f"/proc/{served.popen.pid}/task")
        children = [int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()]
        return next((pid for pid in children if is_engine(pid)), None)

    return until("vmi serve has an engine", look)


def is_engine(pid: int) -> bool:
    """Whether the process is an engine and alive; a zombie has no command line."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"vertex_model_inference" in words and b"engine" in words


@pytest.mark.parametrize("number", ["SIGKILL", "SIGSEGV"])
def test_a_killed_engine_is_started_again_while_the_webhook_answers(number: str, arena: Arena) -> None:
    reached = arena.hold("storage", "*/answers/00001.jsonl", method="PUT")
    served = arena.serve()
    run_id = arena.press(served)
    reached()
    first = engine_of(served)
    arena.release()
    os.kill(first, signal.Signals[number])
    until("the engine is gone", lambda: not is_engine(first))
    assert arena.http.get(f"{served.url()}/healthz").status_code == 200
    again = arena.post(served)
    assert (again.status_code, again.json()["runId"], again.json()["joined"]) == (200, run_id, True)
    arena.check(run_id)
    assert engine_of(served) != first
    assert f"signal {number}" in served.said()
    assert served.terminate() == 0


def test_a_run_posted_while_there_is_no_engine_waits_for_the_next(arena: Arena) -> None:
    served = arena.serve()
    arena.menu(served)
    arena.until_said(served, "the engine works")
    first = engine_of(served)
    os.kill(first, signal.SIGKILL)
    until("the engine is gone", lambda: not is_engine(first))
    answer = arena.post(served)
    assert (answer.status_code, answer.json()["joined"]) == (200, False), answer.text
    arena.check(answer.json()["runId"])


def test_nothing_is_left_of_a_killed_vmi_serve(arena: Arena) -> None:
    reached = arena.hold("vertex", "batchPredictionJobs.get", after=1)
    served = arena.serve()
    run_id = arena.press(served)
    reached()
    engine = engine_of(served)
    served.kill()
    until("the engine is gone too", lambda: not is_engine(engine), 10)
    arena.release()
    arena.serve()
    arena.check(run_id)


def test_sigterm_takes_the_engine_along(arena: Arena) -> None:
    served = arena.serve()
    served.url()
    arena.until_said(served, "the engine works")
    engine = engine_of(served)
    assert served.terminate() == 0
    assert not is_engine(engine)


def test_an_engine_that_cannot_start_is_told_once_and_refused_in_words(arena: Arena) -> None:
    arena.folder.joinpath("a file").touch()
    arena.environment["VMI_DATABASE_URL"] = f"sqlite:///{arena.folder}/a file/vmi.sqlite"
    served = arena.serve()
    arena.menu(served)
    answer = arena.post(served)
    assert answer.status_code == 500, answer.text
    assert "The engine could not be started" in answer.json()["error"]["message"]
    assert arena.http.get(f"{served.url()}/healthz").status_code == 200
    assert served.said().count('"event": "the engine did not start"') == 1
    assert "is started again" not in served.said()
    assert served.terminate() == 0
