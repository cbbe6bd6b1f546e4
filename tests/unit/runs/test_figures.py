"""What a model used for a row, from a run's files."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from vertex_model_inference.outcomes import Counts
from vertex_model_inference.prices import Figures
from vertex_model_inference.runs.figures import figures_of, last_pace, pace_of
from vertex_model_inference.runs.status import RunState, RunStatus, StepProgress
from vertex_model_inference.spec import Answer, Files
from vertex_model_inference.storage.places import open_store
from vertex_model_inference.storage.store import Store
from vertex_model_inference.vertex.auth import GoogleAuth


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path), endpoint=None, token=GoogleAuth(None))


def _status(run_id: str, rows: int, reused: int = 0, **fields: object) -> RunStatus:
    usual = {
        "model_run_id": "m",
        "option": "model",
        "state": RunState.COMPLETE,
        "created_at": "2026-01-01T00:00:00.000Z",
        "ended_at": "2026-01-01T00:01:40.000Z",
        "steps": {"predict": StepProgress(done=rows, seconds=50.0)},
        "counts": Counts(exported=rows, predicted=rows, reused=reused),
    }
    return RunStatus(run_id=run_id, **{**usual, **fields})  # type: ignore[arg-type]


def test_tokens_of_gemini_and_seconds_of_jobs(store: Store) -> None:
    used = b'{"usageMetadata": {"promptTokenCount": 1000, "candidatesTokenCount": 20, "thoughtsTokenCount": 30}}'
    lines = [msgspec.json.encode(Answer(data_row_id=str(n), prediction=msgspec.Raw(used))) for n in range(3)]
    store.put_lines(Files("g").shard("answers", 0), lines)
    assert figures_of(store, _status("g", 100)) == Figures(
        rows=3, input_tokens=1000, output_tokens=50, node_seconds=0.5
    )
    store.put_lines(Files("c").shard("answers", 0), [b'{"data_row_id":"a","prediction":[1]}'])
    assert figures_of(store, _status("c", 100)) == Figures(rows=100, node_seconds=0.5)


def test_the_pace_is_of_rows_that_the_model_was_sent(store: Store) -> None:
    pace = pace_of(store, _status("r", 100, reused=80))
    assert pace is not None
    assert (pace.rows, pace.seconds) == (20, 100.0)
    assert pace_of(store, _status("r", 100, reused=95)) is None
    for number, (state, rows) in enumerate(((RunState.COMPLETE, 50), (RunState.FAILED, 50), (RunState.COMPLETE, 2))):
        status = _status(f"m-{number}", rows, state=state, created_at=f"2026-01-01T00:00:0{number}.000Z")
        store.put(Files(status.run_id).status, msgspec.json.encode(status))
    found = last_pace(store, "model")
    assert found is not None
    assert found.run_id == "m-0"
    assert last_pace(store, "another") is None
