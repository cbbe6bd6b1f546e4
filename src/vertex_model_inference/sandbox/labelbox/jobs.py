"""Background work: imports, exports and looking at assets, in threads; picked up again after a restart."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

import orjson

from vertex_model_inference.sandbox.labelbox import annotation_job, assets, copy_job, data_row_job, export_job
from vertex_model_inference.sandbox.labelbox.fetch import Fetcher
from vertex_model_inference.sandbox.labelbox.store import Row, Store

__all__ = ["Jobs"]

_ASSETS_A_PAGE = 256


class Jobs:
    """Runs what requests have started.

    Args:
        store: What the server keeps.
        fetcher: Reads URLs.
    """

    def __init__(self, store: Store, fetcher: Fetcher) -> None:
        self._store = store
        self._fetcher = fetcher
        # Apart, so that imports that are told to take long keep no export waiting.
        self._imports = ThreadPoolExecutor(4, "labelbox-import")
        self._tasks = ThreadPoolExecutor(2, "labelbox-task")
        self._looker = ThreadPoolExecutor(1, "labelbox-look")
        self._lookers = ThreadPoolExecutor(4, "labelbox-asset")
        self._stopping = threading.Event()
        self._looking = threading.Lock()
        self._more = False
        self._busy = False
        self._looked = threading.Condition(self._looking)

    def resume(self) -> None:
        """Start again what was in progress when the server ended."""
        for row in self._store.imports.running():
            self.start_import(row["id"])
        for row in self._store.tasks.running():
            self.start_task(row["id"])
        self.look_at_assets()

    def close(self) -> None:
        """Stop after the current piece of each job; what is unfinished is resumed at the next start."""
        self._stopping.set()
        with self._looked:
            self._looked.notify_all()
        for pool in (self._imports, self._tasks, self._looker):
            pool.shutdown(wait=True, cancel_futures=True)
        self._lookers.shutdown(wait=True, cancel_futures=True)

    @staticmethod
    def _submit(pool: ThreadPoolExecutor, work: Callable[[], None], failed: Callable[[str], None]) -> Future[None]:
        def run() -> None:
            try:
                work()
            except InterruptedError:
                pass  # the server is stopping; the job is resumed at the next start
            except Exception as error:  # noqa: BLE001  # a job must never leave its customer waiting forever
                traceback.print_exc(file=sys.stderr)
                failed(f"Internal error: {type(error).__name__}: {error}")

        return pool.submit(run)

    def start_import(self, import_id: str) -> None:
        """Process an annotation import."""
        started = time.monotonic()

        def work() -> None:
            row = self._store.imports.get(import_id)
            if row is None or row["state"] != "RUNNING":
                return
            least: float = self._store.setting("settings", {}).get("import_seconds") or 0
            if self._stopping.wait(max(0.0, least - (time.monotonic() - started))):
                raise InterruptedError
            if row["kind"] == "mea-to-mal":
                copy_job.run(self._store, row, self._stopping)
            else:
                annotation_job.run(self._store, self._fetcher, row, self._stopping)

        self._submit(self._imports, work, lambda message: self._store.imports.fail(import_id, message))

    def start_task(self, task_id: str, wait_s: float = 0.0) -> None:
        """Process a task.

        Args:
            task_id: Of the task.
            wait_s: Seconds to wait for its end here, so that the SDK finds small tasks done at its first look.
        """

        def work() -> None:
            row = self._store.tasks.get(task_id)
            if row is not None and row["status"] == "IN_PROGRESS":
                self._run_task(row)

        future = self._submit(self._tasks, work, lambda message: self._store.tasks.fail(task_id, message))
        if wait_s:
            wait([future], wait_s)

    def _run_task(self, row: Row) -> None:
        payload = orjson.loads(row["payload"])
        if row["type"] == "adv-upsert-data-rows":
            data_row_job.run(self._store, row["id"], payload["manifest"], self._stopping)
            self.look_at_assets()
        elif row["type"] == "export-data-rows":
            export_job.run(self._store, row["id"], payload, self._stopping)

    # -- assets -----------------------------------------------------------------------------------------------------
    def look_at_assets(self) -> None:
        """See to it that every unprocessed data row is looked at."""
        with self._looking:
            self._more = True
            if self._busy or self._stopping.is_set():
                return
            self._busy = True
        self._looker.submit(self._look_all)

    def wait_for_assets(self, done: Callable[[], bool], seconds: float) -> bool:
        """Wait until ``done()``, looking again after each page of assets; returns what it said last."""
        end = time.monotonic() + seconds
        while True:
            if done():
                return True
            with self._looked:
                left = end - time.monotonic()
                if left <= 0 or not self._busy or self._stopping.is_set():
                    break
                self._looked.wait(min(left, 1.0))
        return done()

    def _look(self, row: Row) -> assets.Looked:
        try:
            return assets.look(row, self._fetcher)
        except Exception:  # noqa: BLE001  # one strange asset must not keep all others from being looked at
            traceback.print_exc(file=sys.stderr)
            return assets.Looked(row["media_type"], None, None, row["id"])

    def _look_all(self) -> None:
        while not self._stopping.is_set():
            with self._looking:
                self._more = False
            rows: list[Row] = []
            try:
                rows = self._store.data_rows.unprocessed(_ASSETS_A_PAGE)
                if rows:
                    self._store.data_rows.set_processed(list(self._lookers.map(self._look, rows)))
            except RuntimeError:  # the pool is shut down: the server is stopping
                break
            with self._looked:
                self._looked.notify_all()
                if not rows and not self._more:
                    self._busy = False
                    return
        with self._looked:
            self._busy = False
            self._looked.notify_all()
