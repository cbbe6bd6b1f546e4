"""What ``vmi gc`` removes, on a folder of made-up runs: never what a run needs."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from vertex_model_inference.errors import ConflictError
from vertex_model_inference.runs import gc
from vertex_model_inference.runs.status import RunState, RunStatus
from vertex_model_inference.spec import Files, Staged, run_id_of
from vertex_model_inference.storage import sweeping
from vertex_model_inference.storage.places import open_store
from vertex_model_inference.storage.store import Store
from vertex_model_inference.storage.sweeping import generation, sweep, wait_while_swept
from vertex_model_inference.vertex.auth import GoogleAuth

_MONTH = timedelta(days=30)
_KEPT = (
    "spec.json", "status.json", "fingerprints.json", "evaluation.json", "outcomes/00000.jsonl", "frames/v.json", "new/a"
)  # fmt: skip
_NEXT = ("rows/00000.jsonl", "staged/00000.jsonl", "answers/00000.jsonl", "predictions/00000.ndjson", "decoder.json")
_PASSING = ("jobs/00000.instances.jsonl", "ended/predict-00000.jsonl", "before.npy", "batches/00000.json")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "files"), endpoint=None, token=GoogleAuth(None))


def _run(
    store: Store, name: str, attempt: int, *, days: int = 40, state: RunState = RunState.COMPLETE, asset: str = ""
) -> str:
    run_id = run_id_of(name, "model", attempt)
    folder = Files(run_id).folder
    for path in (*_KEPT, *_NEXT, *_PASSING):
        store.put(f"{folder}/{path}", b"1\n")
    staged = Staged(data_row_id="a", uri=store.uri(asset) if asset else "gs://elsewhere/a.png")
    store.put(f"{folder}/staged/00000.jsonl", msgspec.json.encode(staged) + b"\n")
    if asset:
        store.put(asset, b"picture")
    at = (datetime.now(UTC) - timedelta(days=days)).isoformat()
    status = RunStatus(
        run_id=run_id,
        model_run_id=name,
        option="model",
        state=state,
        created_at=at,
        updated_at=at,
        ended_at=at if state.ended else None,
        export_complete=state is RunState.COMPLETE,
    )
    store.put(f"{folder}/status.json", msgspec.json.encode(status))
    return run_id


def _files(store: Store, run_id: str) -> set[str]:
    folder = Files(run_id).folder
    return {entry.path.removeprefix(f"{folder}/") for entry in store.entries(folder)}


def test_the_newest_keeps_what_the_next_needs(store: Store) -> None:
    first, second, third = (
        _run(store, "one", 0, asset="assets/aa/first.png"),
        _run(store, "one", 1, asset="assets/bb/second.png"),
        _run(store, "one", 2, state=RunState.FAILED, asset="assets/cc/third.png"),
    )
    young = _run(store, "two", 0, days=3, asset="assets/dd/young.png")
    store.put("assets/ee/nobodys.png", b"12345")
    looked = gc.removable(store, _MONTH)
    assert _files(store, first) == {*_KEPT, *_NEXT, *_PASSING}, "looking removes nothing"
    done = gc.collect(store, _MONTH)
    assert _files(store, first) == set(_KEPT)
    assert _files(store, second) == {*_KEPT, *_NEXT}, "the newest that ended well"
    assert _files(store, third) == {*_KEPT, *_NEXT}, "and those after it"
    assert _files(store, young) == {*_KEPT, *_NEXT, *_PASSING}
    left = {entry.path for entry in store.entries("assets")}
    assert left == {"assets/bb/second.png", "assets/cc/third.png", "assets/dd/young.png"}
    assert (looked.runs, looked.assets, looked.asset_bytes) == (done.runs, done.assets, done.asset_bytes)
    assert (done.assets, done.removed_assets, done.kept_assets) == (2, 2, 3)
    again = gc.collect(store, _MONTH)
    assert (again.runs, again.assets) == ((), 0)


def test_a_run_that_goes_on_loses_nothing_and_no_asset_goes(store: Store) -> None:
    old = _run(store, "one", 0)
    newest = _run(store, "one", 1)
    going = _run(store, "two", 0, state=RunState.PREDICTING)
    store.put("runs/three-00000000-0/spec.json", b"{}")  # it has only just begun
    store.put("assets/ee/nobodys.png", b"12345")
    done = gc.collect(store, timedelta(0))
    assert done.assets is None
    assert set(done.going_on) == {going, "three-00000000-0"}
    assert _files(store, going) == {*_KEPT, *_NEXT, *_PASSING}
    assert _files(store, old) == set(_KEPT)
    assert _files(store, newest) == {*_KEPT, *_NEXT}
    assert store.exists("assets/ee/nobodys.png")
    assert generation(store) == ""


def test_a_run_waits_while_assets_are_removed_and_believes_no_older_index(store: Store) -> None:
    passed = threading.Event()

    def begin() -> None:
        wait_while_swept(store)
        passed.set()

    with sweep(store):
        thread = threading.Thread(target=begin)
        thread.start()
        assert not passed.wait(0.7)
        with pytest.raises(ConflictError), sweep(store):
            pass
        with pytest.raises(ConflictError):
            wait_while_swept(store, patience_s=0)
    assert passed.wait(10)
    thread.join()
    first = generation(store)
    assert first
    with sweep(store):
        assert generation(store) != first


def test_one_that_was_killed_stops_nobody(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("sweeping.json", b'{"who": "dead", "at": "2020-01-01T00:00:00+00:00"}')
    wait_while_swept(store)
    with sweep(store) as going:
        monkeypatch.setattr(sweeping, "_RENEW_S", 0.0)
        going.go_on()
        store.put("sweeping.json", b'{"who": "other", "at": "2020-01-01T00:00:00+00:00"}')
        with pytest.raises(ConflictError):
            going.go_on()


def test_a_run_that_began_meanwhile_is_seen(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("assets/ee/nobodys.png", b"12345")
    real = sweep

    def beginning(store: Store) -> object:
        _run(store, "late", 0, state=RunState.EXPORTING)
        return real(store)

    monkeypatch.setattr(gc, "sweep", beginning)
    done = gc.collect(store, _MONTH)
    assert done.going_on
    assert store.exists("assets/ee/nobodys.png")
