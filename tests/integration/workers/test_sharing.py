"""One run, several workers: its groups are spread over them."""

from __future__ import annotations

from .conftest import GROUPS, Yard


def test_three_workers_share_one_run(yard: Yard) -> None:
    desk = yard.desk()
    names = {yard.name_of(process) for process in yard.workers(3)}
    run_id = yard.press(desk)
    yard.verify(run_id)
    done = yard.done_by(run_id)
    assert set(done) <= names
    assert len(done) >= 2, done
    assert sum(done.values()) == GROUPS
