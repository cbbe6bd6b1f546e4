"""The boundary between steps of a process that is told to stop."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from vertex_model_inference.fencing import fenced, may_go_on
from vertex_model_inference.runs.gate import Gate


def test_it_waits_for_the_steps_under_way() -> None:
    gate, inside, end = Gate(), threading.Event(), threading.Event()

    def step() -> None:
        with gate.step("decode"):
            inside.set()
            assert end.wait(30)

    with ThreadPoolExecutor(2) as pool:
        under_way = pool.submit(step)
        assert inside.wait(30)
        assert not gate.close(0.01)
        closing = pool.submit(gate.close, 30.0)
        end.set()
        assert closing.result(30)
        under_way.result(30)


def test_nothing_passes_once_it_is_closed() -> None:
    gate, passed = Gate(), threading.Event()
    assert gate.close(0)

    def step() -> None:
        with gate.step("decode"):
            passed.set()

    threading.Thread(target=step, daemon=True).start()
    assert not passed.wait(0.1)


def test_a_look_at_a_job_is_not_waited_for() -> None:
    gate = Gate()
    with gate.step("poll"):
        assert gate.close(0)


def test_a_step_that_fails_counts_as_ended() -> None:
    gate = Gate()
    try:
        with gate.step("decode"):
            raise ValueError
    except ValueError:
        pass
    assert gate.close(0)


def test_the_fence_is_asked_within_its_block_only() -> None:
    asked: list[str] = []
    may_go_on()
    with fenced(lambda: asked.append("outer")):
        may_go_on()
        with fenced(lambda: asked.append("inner")):
            may_go_on()
        may_go_on()
    may_go_on()
    assert asked == ["outer", "inner", "outer"]
