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
    "finish": Moment("storage", "*/outcomes/00002.jsonl", {"method": "GET"}),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_killed_in(name: str, arena: Arena) -> None:
    moment = MOMENTS[name]
    reached = arena.hold(moment.server, moment.match, **moment.more)
    first = arena.serve()
    run_id = arena.press(first)
    reached()
    first.kill()
    arena.serve()
    arena.check(run_id)
