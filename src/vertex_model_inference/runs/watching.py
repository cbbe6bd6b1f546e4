"""Watches for the mark that stops a run: one thread for a run and process, whatever number of rows is under way."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from vertex_model_inference.errors import VmiError
from vertex_model_inference.runs.marks import read_mark, stop_of
from vertex_model_inference.steps.halting import Halt, Stop
from vertex_model_inference.storage.store import Store

__all__ = ["Watcher"]

log = structlog.get_logger()

_EVERY_S = 1.0


class Watcher:
    """Looks for a run's mark, at once and then every second until ``close``.

    Args:
        store: Where the run's files are.
        run_id: The run.
        halt: Set once the mark is there.
        seen: Called then, with why.
        every_s: Seconds between two looks.
    """

    def __init__(
        self, store: Store, run_id: str, halt: Halt, seen: Callable[[Stop], None], every_s: float = _EVERY_S
    ) -> None:
        self._store = store
        self._run_id = run_id
        self._halt = halt
        self._seen = seen
        self._every_s = every_s
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Look once, so that a run that was stopped before does not spend a cent more, and go on in the background."""
        if not self._look():
            self._thread = threading.Thread(target=self._watch, name=f"watch-{self._run_id}", daemon=True)
            self._thread.start()

    def shut(self) -> None:
        """Look no more, from the next time on."""
        self._closed.set()

    def close(self) -> None:
        """Look no more, and wait for a look that is under way."""
        self.shut()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(5)

    def _watch(self) -> None:
        while not self._closed.wait(self._every_s) and not self._look():
            pass

    def _look(self) -> bool:
        try:
            mark = read_mark(self._store, self._run_id)
        except VmiError as error:
            log.warning("cannot see whether the run is cancelled", run_id=self._run_id, cause=str(error))
            return False
        if mark is None:
            return False
        stop = stop_of(mark)
        log.info("the run is stopped", run_id=self._run_id, code=stop.code, by=mark.by)
        self._halt.set(stop)
        self._seen(stop)
        return True
