"""Keeps a run's status true while it goes on: in ``status.json`` each second, in Labelbox every few.

Telling is never allowed to hurt the work: a status that cannot be written is logged and tried again at the next beat.
The last word (COMPLETE or FAILED) is a step of the run and not told from here.

After a crash, groups of a run can be carried on by another process than the run itself. Only the one that has the run
tells; the others' counts come to it with the groups' results.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from vertex_model_inference.errors import NotFoundError, VmiError
from vertex_model_inference.outcomes import Counts
from vertex_model_inference.runs.status import STEPS, RunState, RunStatus, StepProgress, now
from vertex_model_inference.spec import Files, RunSpec
from vertex_model_inference.steps.halting import Stop
from vertex_model_inference.waiting import Waits

if TYPE_CHECKING:
    from vertex_model_inference.labelbox.gateway import Labelbox
    from vertex_model_inference.storage.store import Store

__all__ = ["Progress", "progress_metadata", "read_status", "write_status"]

log = structlog.get_logger()

_ORDER = list(RunState)
_STATUS = msgspec.json.Decoder(RunStatus)
_FILE_EVERY_S = 1.0
_LAST_EVERY_S = 5.0
PATIENCE_S = 600.0
"""So long the last status file is tried to be written."""
_LABELBOX_EVERY_S = 4.0


class Progress:
    """One run's progress in this process; safe to call from several threads. Tells nobody before ``lead``.

    Args:
        spec: The run.
        store: Where ``status.json`` goes.
        labelbox: Where the pipeline status goes.
        run_url: Where people can look.
        watch: Called with every new status, for a progress bar in the same process.
        fresh: Whether this process may still tell; another may have the run by now.

    Attributes:
        status: As far as this process knows.
        carried_on: An earlier process began the run, or others did groups of it: this one has not seen all of it.
        waits: Where retries of the run note how long they sleep.
    """

    def __init__(
        self,
        spec: RunSpec,
        store: Store,
        labelbox: Labelbox,
        run_url: str,
        watch: Callable[[RunStatus], None] | None = None,
        fresh: Callable[[], bool] = lambda: True,
    ) -> None:
        self._spec = spec
        self._fresh = fresh
        self._store = store
        self._labelbox = labelbox
        self._run_url = run_url
        self._watch = watch
        self._lock = threading.RLock()
        self._io = threading.Lock()
        self._stop = threading.Event()
        self._live: dict[str, int] = dict.fromkeys(STEPS, 0)
        self._settled: dict[str, int] = dict.fromkeys(STEPS, 0)
        self._dirty = True
        self._told: tuple[str, Any] | None = None
        self._told_at = 0.0
        self.status = RunStatus(
            run_id=spec.run_id,
            model_run_id=spec.model_run_id,
            option=spec.option.name,
            created_at=spec.created_at,
            steps={step: StepProgress() for step in STEPS},
        )
        self._floor: dict[str, int] = dict.fromkeys(STEPS, 0)
        self._counts = Counts()
        self.carried_on = False
        self._written = False
        self.waits = Waits()
        self._waited_before: dict[str, float] = {}
        self._hushed = False
        self._thread: threading.Thread | None = None

    def lead(self) -> None:
        """This process has the run: take up what an earlier one left, and tell from now on."""
        if self._thread is not None:
            return
        files = Files(self._spec.run_id)
        before = None
        hushed = False
        try:
            before = read_status(self._store, self._spec.run_id)
            # Once the verdict is written, Labelbox may know the end: only the last step talks to it any more.
            hushed = before is not None and self._store.exists(files.verdict)
        except VmiError as error:
            # The run's own steps will meet the same trouble and end it in words.
            log.warning("status not read", run_id=self._spec.run_id, cause=str(error))
        with self._lock:
            if before is not None:
                self._take_up(before)
            self._hushed = hushed
            self._stop = threading.Event()
            self._thread = threading.Thread(target=self._beat, name=f"progress-{self._spec.run_id}", daemon=True)
            self._thread.start()

    def _take_up(self, before: RunStatus) -> None:
        """A run that goes on after a crash does not fall back behind what was told of it.

        What its remembered steps tell again comes up from nothing, so the old figures are the floor of the new ones.
        """
        self.carried_on = True
        status = self.status
        status.state = max(before.state, status.state, key=_ORDER.index)
        status.ended_at, status.message = before.ended_at, before.message
        status.export_complete = before.export_complete or status.export_complete
        status.jobs = {**before.jobs, **status.jobs}
        self._waited_before = before.waited
        status.counts = max(before.counts, self._counts, key=lambda counts: counts.ended)
        for step in STEPS:
            told = before.steps.get(step, StepProgress())
            status.steps[step].seconds += told.seconds
            status.steps[step].cpu_seconds += told.cpu_seconds
            self._floor[step] = told.done
            self._refresh(step)

    def tell(self, step: str, done: int) -> None:
        """``done`` more rows have passed ``step``; provisional until the step's result settles it."""
        with self._lock:
            self._live[step] += done
            self._refresh(step)

    def settle(self, step: str, done: int, seconds: float, cpu_seconds: float = 0.0) -> None:
        """A step has ended for a shard: ``done`` rows for good; ``seconds`` is 0 when its result was remembered."""
        with self._lock:
            self._live[step] = max(0, self._live[step] - done)
            self._settled[step] += done
            self.status.steps[step].seconds += seconds
            self.status.steps[step].cpu_seconds += cpu_seconds
            self._refresh(step)

    def _refresh(self, step: str) -> None:
        self.status.steps[step].done = max(self._floor[step], self._settled[step] + self._live[step])
        if step == "export":
            self.status.rows = self.status.steps[step].done
        self._dirty = True

    def stage(self, state: RunState) -> None:
        """The run has reached ``state``; earlier ones are never told again."""
        with self._lock:
            if _ORDER.index(state) <= _ORDER.index(self.status.state) and not (
                state is RunState.EXPORTING and self._told is None
            ):
                return
            self.status.state = max(state, self.status.state, key=_ORDER.index)
            self._dirty = True
        self._publish(to_labelbox=True)

    def halted(self, stop: Stop) -> None:
        """The run is being stopped."""
        with self._lock:
            self.status.halted = stop.words
            self._dirty = True

    def exported(self) -> None:
        """The whole export has been read."""
        with self._lock:
            self.status.export_complete = True
            self._dirty = True

    def ended(self, counts: Counts) -> None:
        """More rows have their outcome."""
        with self._lock:
            self._counts += counts
            self.status.counts = max(self.status.counts, self._counts, key=lambda known: known.ended)
            self._dirty = True

    def elsewhere(self, counts: Counts) -> None:
        """A group has ended in another process, which told nothing here."""
        with self._lock:
            self.carried_on = True
            for step in STEPS[1:]:
                self._settled[step] += counts.exported
                self._refresh(step)
        self.ended(counts)

    def job(self, name: str, state: str) -> None:
        """A batch prediction job is in this state."""
        with self._lock:
            self.status.jobs[name] = state
            self._dirty = True

    @staticmethod
    def last_status(spec: RunSpec, counts: Counts, left: int = 0) -> RunStatus:
        """The status of a run whose every row has its outcome, as the last step tells it.

        Args:
            spec: The run.
            counts: Its outcomes.
            left: Rows of them that were not done, since the run was stopped.
        """
        steps = {step: StepProgress(done=counts.exported - left) for step in STEPS}
        steps["export"].done = counts.exported
        return RunStatus(
            run_id=spec.run_id,
            model_run_id=spec.model_run_id,
            option=spec.option.name,
            rows=counts.exported,
            steps=steps,
            counts=counts,
        )

    def hush(self) -> None:
        """Tell Labelbox nothing more, once what is on its way has arrived: nothing may come after the last word."""
        with self._io:
            self._hushed = True

    def finish(self, state: RunState, counts: Counts, message: str) -> None:
        """Write the last status file; Labelbox was told by the run's last step."""
        self.close()
        with self._lock:
            if self.carried_on and state is RunState.COMPLETE:
                # Groups that had ended before, or ended in another process, told nothing here.
                for step in STEPS:
                    self._floor[step] = max(self._floor[step], counts.exported)
                    self._refresh(step)
            self.status.state = state
            self.status.counts = counts
            self.status.message = message
            self.status.ended_at = now()
            self._dirty = True
        # Nobody writes the file after this: else a run that ended while storage was away would seem to go on for ever.
        # Where there never was a file, none can.
        end = time.monotonic() + (PATIENCE_S if self._written or self.carried_on else 0.0)
        while not self._publish(to_labelbox=False, last=True) and time.monotonic() < end:
            time.sleep(min(_LAST_EVERY_S, max(0.0, end - time.monotonic())))

    def close(self) -> None:
        """Stop telling without an end, for a process that gives the run up."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)
            self._thread = None

    def metadata(self) -> Mapping[str, Any]:
        """What Labelbox shows beside the status: progress, counts and where to look."""
        return progress_metadata(self.status, self._run_url)

    def _waited(self) -> dict[str, float]:
        here, before = self.waits.totals(), self._waited_before
        return {key: here.get(key, 0.0) + before.get(key, 0.0) for key in sorted({*here, *before})}

    def _beat(self) -> None:
        while not self._stop.wait(_FILE_EVERY_S):
            self._publish(to_labelbox=time.monotonic() - self._told_at >= _LABELBOX_EVERY_S)

    def _publish(self, *, to_labelbox: bool, last: bool = False) -> bool:
        """Tell how far the run is; False when the file could not be written."""
        written = True
        with self._io:
            if (self._thread is None and not last) or not self._fresh():
                return True  # another process has the run
            with self._lock:
                dirty, self._dirty = self._dirty, False
                self.status.updated_at = now()
                self.status.waited = self._waited()
                raw = msgspec.json.encode(self.status)
                state, metadata = self.status.state, dict(self.metadata())
            # Written even when nothing changed: an old updated_at is how others see that nobody works on the run.
            try:
                if last:
                    self._store.put(Files(self._spec.run_id).end, raw)
                self._store.put(Files(self._spec.run_id).status, raw)
                self._written = True
            except VmiError as error:
                written = False
                log.warning("status not written", run_id=self._spec.run_id, cause=str(error))
            if dirty and self._watch is not None:
                self._watch(_STATUS.decode(raw))
            if not to_labelbox or self._hushed or state.ended or state is RunState.QUEUED:
                return written
            if self._told == (state.value, metadata):
                return written
            try:
                # An error message persists until it is set again: a new run starts with none.
                first = "" if self._told is None else None
                self._labelbox.set_status(self._spec.model_run_id, state.value, error_message=first, metadata=metadata)
                self._told = (state.value, metadata)
            except VmiError as error:
                log.warning("Labelbox status not set", run_id=self._spec.run_id, cause=str(error))
            self._told_at = time.monotonic()
        return written


def progress_metadata(status: RunStatus, run_url: str) -> dict[str, Any]:
    """The metadata of a status: flat JSON values, since Labelbox merges them key by key."""
    counts = status.counts
    return {
        "vmi_run": status.run_id,
        "vmi_run_url": run_url,
        "vmi_model": status.option,
        "vmi_rows": status.rows,
        "vmi_progress": {step: progress.done for step, progress in status.steps.items()},
        "vmi_outcomes": {
            "predicted": counts.predicted,
            "empty": counts.empty,
            "skipped": counts.skipped,
            "failed": counts.failed,
        },
        "vmi_reused": counts.reused,
        "vmi_annotations": counts.annotations,
    }


def write_status(store: Store, status: RunStatus) -> None:
    """Replace a run's status, where nobody works on it.

    Raises:
        StorageError: Storage did not answer.
    """
    if status.state.ended:
        store.put(Files(status.run_id).end, msgspec.json.encode(status))
    store.put(Files(status.run_id).status, msgspec.json.encode(status))


def read_status(store: Store, run_id: str, files: Files | None = None) -> RunStatus | None:
    """The status of a run, None when it has none yet.

    A request that a process had sent before it was cut off from the network can arrive when others have ended its run,
    and hide the end. So a run that seems to go on is looked at again.

    Args:
        store: The artifacts.
        run_id: The run.
        files: Its files, where they are elsewhere.

    Raises:
        StorageError: Storage did not answer.
        msgspec.MsgspecError: What is there is no status that this release can read.
    """
    files = files or Files(run_id)
    try:
        status = _STATUS.decode(store.get(files.status))
    except NotFoundError:
        return None
    if not status.state.ended:
        with contextlib.suppress(NotFoundError):
            return _STATUS.decode(store.get(files.end))
    return status
