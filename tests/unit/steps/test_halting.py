"""The flag that halts a run, and who looks at it."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from vertex_model_inference.errors import StorageError
from vertex_model_inference.outcomes import OutcomeStatus
from vertex_model_inference.runs.marks import CancelMark, read_mark, stop_of, write_mark
from vertex_model_inference.runs.watching import Watcher
from vertex_model_inference.spec import Files
from vertex_model_inference.steps.halting import Halt, HaltedError, Stop, unless_halted
from vertex_model_inference.storage.places import open_store
from vertex_model_inference.storage.store import Store

STOP = Stop("cancel", "cancelled", "short", "long", status=OutcomeStatus.SKIPPED)
MARK = CancelMark(by="me", at="2026-01-01T00:00:00Z", why="a reason")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path), endpoint=None, token=lambda: ("", None))


def test_the_first_reason_stays() -> None:
    halt = Halt()
    halt.check()
    assert not halt.wait(0)
    halt.set(STOP)
    halt.set(STOP._replace(code="budget"))
    assert halt.stop is STOP
    assert halt.wait(60)
    with pytest.raises(HaltedError, match="short") as raised:
        halt.check()
    assert (raised.value.error_code, raised.value.retryable) == ("cancelled", True)


def test_a_sleeper_is_woken() -> None:
    halt = Halt()
    threading.Timer(0.05, halt.set, (STOP,)).start()
    begun = time.monotonic()
    assert asyncio.run(halt.sleep(60))
    assert time.monotonic() - begun < 30
    assert not asyncio.run(Halt().sleep(0.01))


def test_work_that_hangs_is_left_when_the_run_is_halted() -> None:
    halt = Halt()
    cleaned = []

    async def hang() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)
        return "never"

    threading.Timer(0.05, halt.set, (STOP,)).start()
    assert asyncio.run(unless_halted(halt, hang(), grace_s=0.1)) is None
    assert cleaned == [True]


def test_work_that_ends_in_time_counts_though_the_run_is_halted() -> None:
    async def work() -> str:
        await asyncio.sleep(0.05)
        return "done"

    halt = Halt()
    halt.set(STOP)
    assert asyncio.run(unless_halted(halt, work(), grace_s=60)) == "done"


def test_errors_of_the_work_are_the_callers() -> None:
    async def work() -> str:
        raise StorageError("away")

    with pytest.raises(StorageError):
        asyncio.run(unless_halted(Halt(), work()))


def test_a_mark_is_written_once(store: Store) -> None:
    assert read_mark(store, "r") is None
    assert write_mark(store, "r", MARK) is None
    assert write_mark(store, "r", CancelMark(by="another", at="later")) == MARK
    assert read_mark(store, "r") == MARK
    stop = stop_of(MARK)
    assert (stop.code, stop.status, stop.retryable) == ("cancelled", OutcomeStatus.SKIPPED, True)
    assert stop.words == "The run was cancelled by me at 2026-01-01T00:00:00Z: a reason."


@pytest.mark.parametrize("raw", [b"", b"null", b"\xff", b'{"by": 3}', b"[" * 100_000])
def test_a_mark_that_cannot_be_read_stops_all_the_same(store: Store, raw: bytes) -> None:
    store.put(Files("r").cancel, raw)
    mark = read_mark(store, "r")
    assert mark is not None
    assert stop_of(mark).code == "cancelled"


def test_a_watcher_sees_a_mark_that_was_there_and_one_that_comes(store: Store) -> None:
    seen: list[Stop] = []
    halt, came = Halt(), threading.Event()

    def note(stop: Stop) -> None:
        seen.append(stop)
        came.set()

    watcher = Watcher(store, "r", halt, note, every_s=0.01)
    watcher.begin()
    assert halt.stop is None
    write_mark(store, "r", MARK)
    assert came.wait(30)
    watcher.close()
    assert [stop.code for stop in seen] == ["cancelled"]

    late = Halt()
    Watcher(store, "r", late, seen.append).begin()
    assert late.stop is not None, "a run that is carried on is stopped before it does anything"


class Away(Store):
    """Storage that does not answer at first."""

    failures = 3

    def get(self, path: str) -> bytes:
        if self.failures:
            self.failures -= 1
            raise StorageError("Storage is away.", retryable=True)
        return super().get(path)


def test_a_watcher_outlives_storage_that_is_away(store: Store) -> None:
    write_mark(store, "r", MARK)
    away = Away(store.root, store.objects)
    halt, came = Halt(), threading.Event()
    watcher = Watcher(away, "r", halt, lambda _: came.set(), every_s=0.01)
    watcher.begin()
    assert came.wait(30)
    watcher.close()
