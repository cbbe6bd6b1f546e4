"""kill -9 of `vmi serve` in the middle of each step: the next start carries on, and nothing happens twice."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from .conftest import FOREVER_S, Arena


class Moment(NamedTuple):
    """A request at which the process is killed: its server, operation or path, and more of the fault rule."""

    server: str
    match: str
    more: dict[str, Any]


LOST: dict[str, Any] = {}  # the request never arrives
HAPPENED = {"answer_after_s": FOREVER_S}  # it happens, but nobody hears of it

MOMENTS = {
    "export-start": Moment("labelbox", "exportDataRowsInModelRunPyApi", LOST),
    "export-read": Moment("labelbox", "GetExportFileFromOffsetPyApi", LOST),
    "assets": Moment("storage", "*/staged/00001.jsonl", {"method": "PUT"}),
    "instances": Moment("storage", "*/00000.instances.jsonl", {"method": "PUT"}),
    "submit-lost": Moment("vertex", "batchPredictionJobs.create", LOST),
    "submit-happened": Moment("vertex", "batchPredictionJobs.create", HAPPENED),
    "job-running": Moment("vertex", "batchPredictionJobs.get", {"after": 1}),
    "collect": Moment("storage", "*/answers/00001.jsonl", {"method": "PUT"}),
    "decode": Moment("storage", "*/predictions/00001.ndjson", {"method": "PUT"}),
    "upload-lost": Moment("labelbox", "createMEAPredictionImportByFilePyApi", {"after": 1}),
    "upload-happened": Moment("labelbox", "createMEAPredictionImportByFilePyApi", {"after": 1, **HAPPENED}),
    "outcomes": Moment("storage", "*/outcomes/00001.jsonl", {"method": "PUT"}),
    "finish-told": Moment("labelbox", "setPipelineStatusPyApi", {"contains": '"COMPLETE"', **HAPPENED}),
    "finish": Moment("storage", "*/outcomes/00002.jsonl", {"method": "GET"}),
}


# Several moments in one run: each process is killed at the next.
CHAINS = (
    ("export-start", "assets", "submit-lost", "collect"),
    ("export-read", "instances", "submit-happened"),
    ("job-running", "decode", "upload-lost"),
    ("upload-happened", "outcomes", "finish"),
    ("finish-told",),
)


@pytest.mark.parametrize("names", CHAINS, ids=" ".join)
def test_killed_in(names: tuple[str, ...], arena: Arena) -> None:
    run_id = ""
    for name in names:
        moment = MOMENTS[name]
        reached = arena.hold(moment.server, moment.match, **moment.more)
        served = arena.serve()
        run_id = run_id or arena.press(served)
        reached()
        served.kill()
        arena.release()
    arena.serve()
    arena.check(run_id)


def test_killed_with_several_jobs_under_way(arena: Arena) -> None:
    arena.environment["VMI_JOB_ROWS"] = "25"
    run_id = ""
    for server, match, more in (
        ("vertex", "batchPredictionJobs.create", {"after": 1, **HAPPENED}),
        ("storage", "*/answers/00002.jsonl", {"method": "PUT"}),
        ("storage", "*/outcomes/00001.jsonl", {"method": "GET"}),
    ):
        reached = arena.hold(server, match, **more)
        served = arena.serve()
        run_id = run_id or arena.press(served)
        reached()
        served.kill()
        arena.release()
    arena.environment["VMI_JOB_ROWS"] = "50"  # what the run began with counts
    arena.serve()
    arena.check(run_id, jobs=3)


def test_every_moment_is_tried() -> None:
    assert sorted(name for names in CHAINS for name in names) == sorted(MOMENTS)
