"""The end of a run is in its status file also when storage was away at that moment."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from vertex_model_inference.errors import StorageError
from vertex_model_inference.models import ModelOption, Predictor
from vertex_model_inference.outcomes import Counts
from vertex_model_inference.runs import progress as module
from vertex_model_inference.runs.progress import Progress
from vertex_model_inference.runs.status import RunState, RunStatus
from vertex_model_inference.spec import RunSpec


class _Away:
    """Storage that is away for so many writes."""

    def __init__(self, writes: int) -> None:
        self.left = writes
        self.written: list[bytes] = []

    def put(self, path: str, data: bytes) -> None:
        if self.left:
            self.left -= 1
            raise StorageError(f"Storage could not write {path}: away", retryable=True)
        self.written.append(data)


def _finish(store: Any) -> None:
    option = ModelOption(name="m", predictor=Predictor.CONTAINER)
    spec = RunSpec(run_id="r-0", model_run_id="r", option=option, created_at="2026-01-01T00:00:00Z")
    labelbox: Any = None  # told by the run's last step, not from here
    Progress(spec, store, labelbox, "http://run").finish(RunState.FAILED, Counts(exported=3, failed=3), "over")


def test_it_is_written_when_storage_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LAST_EVERY_S", 0.0)
    store = _Away(3)
    _finish(store)
    [raw] = store.written
    status = msgspec.json.decode(raw, type=RunStatus)
    assert (status.state, status.message, status.counts.failed) == (RunState.FAILED, "over", 3)


def test_it_is_given_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    store = _Away(1_000_000)
    _finish(store)
    assert store.written == []
    assert store.left == 999_999
