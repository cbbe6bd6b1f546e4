"""A run that is asked for many times."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import msgspec

from .conftest import Arena


def test_fifty_posts_at_once_are_one_run_and_a_later_one_another(arena: Arena) -> None:
    served = arena.serve()
    arena.menu(served)
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: arena.post(served), range(50)))
    assert {answer.status_code for answer in answers} == {200}
    [run_id] = {answer.json()["runId"] for answer in answers}
    assert run_id.endswith("-0")
    assert [answer.json()["joined"] for answer in answers].count(False) == 1
    arena.check(run_id)

    again = arena.post(served).json()
    assert again["runId"] == f"{run_id.removesuffix('-0')}-1"
    assert not again["joined"]
    second = arena.ended(again["runId"])
    first = arena.ended(run_id).counts
    assert (second.state, second.counts) == ("COMPLETE", msgspec.structs.replace(first, reused=first.exported))
    assert (len(arena.jobs(run_id)), len(arena.jobs(again["runId"]))) == (1, 0)  # nothing was new, nothing is done
    assert served.terminate() == 0
