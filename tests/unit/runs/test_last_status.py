"""The end of a run is in its status file also when storage was away at that moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from vertex_model_inference.errors import StorageError
from vertex_model_inference.models import ModelOption, Predictor
from vertex_model_inference.outcomes import Counts
from vertex_model_inference.runs import progress as module
from vertex_model_inference.runs.progress import Progress, read_status, write_status
from vertex_model_inference.runs.status import RunState, RunStatus
from vertex_model_inference.spec import RunSpec
from vertex_model_inference.storage.places import open_store


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


def _finish(store: Any, *, carried_on: bool = True) -> None:
    option = ModelOption(name="m", predictor=Predictor.CONTAINER)
    spec = RunSpec(run_id="r-0", model_run_id="r", option=option, created_at="2026-01-01T00:00:00Z")
    labelbox: Any = None  # told by the run's last step, not from here
    progress = Progress(spec, store, labelbox, "http://run")
    progress.carried_on = carried_on
    progress.finish(RunState.FAILED, Counts(exported=3, failed=3), "over")


def test_it_is_written_when_storage_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LAST_EVERY_S", 0.0)
    store = _Away(3)
    _finish(store)
    assert len(store.written) == 2  # end.json and status.json
    [raw] = set(store.written)
    status = msgspec.json.decode(raw, type=RunStatus)
    assert (status.state, status.message, status.counts.failed) == (RunState.FAILED, "over", 3)


def test_it_is_given_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    store = _Away(1_000_000)
    _finish(store)
    assert store.written == []
    assert store.left == 999_999


def test_where_there_never_was_a_file_nobody_waits() -> None:
    store = _Away(1_000_000)
    _finish(store, carried_on=False)
    assert store.left == 999_999


def test_a_late_write_does_not_hide_the_end(tmp_path: Path) -> None:
    store = open_store(str(tmp_path), endpoint=None, token=lambda: ("", None))
    going = RunStatus(run_id="r-0", model_run_id="r", option="m", state=RunState.PREDICTING)
    write_status(store, going)
    assert read_status(store, "r-0") == going
    ended = msgspec.structs.replace(going, state=RunState.COMPLETE, message="over")
    write_status(store, ended)
    write_status(store, going)  # as it arrives from a machine that was cut off
    assert read_status(store, "r-0") == ended
