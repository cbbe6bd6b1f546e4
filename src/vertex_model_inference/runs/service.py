"""Starts, joins and carries on runs: the durable engine of a process, DBOS on SQLite or Postgres.

The run is a workflow, its groups are child workflows, their steps are DBOS steps. DBOS is imported when the engine
starts (0.7 s), never by the command line or the webhook before that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import msgspec
import structlog

from vertex_model_inference.errors import NotFoundError
from vertex_model_inference.models import ModelOption
from vertex_model_inference.outcomes import Counts
from vertex_model_inference.runs.asking import spec_of
from vertex_model_inference.runs.database import (
    ACTIVE,
    APPLICATION,
    QUEUE,
    WORKFLOW,
    WORKFLOW_VERSION,
    next_run,
    quiet,
    sqlite_engine,
)
from vertex_model_inference.runs.executors import Executor, anyone_alive, dead_executors
from vertex_model_inference.runs.flow import Finished, Group, group_flow, run_flow
from vertex_model_inference.runs.progress import Progress
from vertex_model_inference.runs.releases import check_release, end_older
from vertex_model_inference.runs.started import Started
from vertex_model_inference.runs.status import RunStatus
from vertex_model_inference.runs.surroundings import Surroundings
from vertex_model_inference.settings import Settings
from vertex_model_inference.spec import read_spec
from vertex_model_inference.steps.context import Context

__all__ = ["RunService"]

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger()

_RUNS_AT_ONCE = 4
_ADOPT_EVERY_S = 5.0
_RECOVERIES = 1_000_000  # a run may be killed any number of times


class RunService:
    """The engine of this process. One per process, since DBOS is.

    Args:
        settings: What is in force.
        role: ``"serve"``: works on queued runs and takes over those of dead processes; ``"run"``: works only on what
            it is told to.
        surroundings: The gateways; made from the settings when None.
        watch: Called with each new status of a run of this process.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        role: str = "serve",
        surroundings: Surroundings | None = None,
        watch: Callable[[RunStatus], None] | None = None,
    ) -> None:
        self.settings = settings
        self._role = role
        self._watch = watch
        self._surroundings = surroundings
        self._locks = settings.data_dir.absolute() / "executors"
        self._executor: Executor | None = None
        self._stop = threading.Event()
        self._start_lock = threading.Lock()
        self._adopter: threading.Thread | None = None
        self._run_workflow: Any = None
        self._group_workflow: Any = None
        self._dbos: Any = None
        self._engine: Any = None

    def start(self) -> None:
        """Open the database, take up what this executor left unfinished, and begin to work.

        Raises:
            SettingsError: A setting that runs need is missing.
            ConflictError: Another process works under this name.
        """
        self.settings.require("labelbox_api_key")
        if self._surroundings is None:
            self._surroundings = Surroundings(self.settings)
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        self._executor = Executor(self._locks, self._role, numbered=True)
        self._launch()
        if self._role == "serve":
            self._adopter = threading.Thread(target=self._adopt, name="adopt-runs", daemon=True)
            self._adopter.start()

    def _launch(self) -> None:
        from dbos import DBOS

        quiet()
        assert self._executor is not None
        config: Any = {
            "name": APPLICATION,
            "system_database_url": self.settings.database_url,
            "executor_id": self._executor.id,
            "application_version": WORKFLOW_VERSION,
            "run_admin_server": False,
            "log_level": "ERROR",
            "notification_listener_polling_interval_sec": 0.1,
        }
        self._engine = sqlite_engine(self.settings.database_url)
        if self._engine is not None:
            config["system_database_engine"] = self._engine
        DBOS(config=config)
        self._dbos = DBOS

        # DBOS wants plain functions: it marks them.
        def run(raw: str) -> Finished:
            return self._work(raw)

        def group(raw: str, group: Group, staged: bool) -> Counts:
            return self._work_group(raw, group, staged=staged)

        self._run_workflow = DBOS.workflow(name=WORKFLOW, max_recovery_attempts=_RECOVERIES)(run)
        self._group_workflow = DBOS.workflow(name="group", max_recovery_attempts=_RECOVERIES)(group)
        DBOS.listen_queues([QUEUE] if self._role == "serve" else [])
        DBOS.launch()
        DBOS.register_queue(QUEUE, worker_concurrency=_RUNS_AT_ONCE, polling_interval_sec=0.1)

    def stop(self) -> None:
        """Let go: unfinished runs stay in the database for the next process. A second call does nothing."""
        if self._stop.is_set():
            return
        self._stop.set()
        if self._adopter is not None:
            self._adopter.join(10)
        if self._surroundings is not None:
            self._surroundings.hush()
        if self._dbos is not None:
            self._dbos.destroy(destroy_registry=True)
        if self._engine is not None:
            self._engine.dispose()
        if self._surroundings is not None:
            self._surroundings.close()
        if self._executor is not None:
            self._executor.release()  # last: from now on others may carry on our runs

    # -- asking for runs ----------------------------------------------------------------------------------------------

    def start_run(
        self,
        model_run_id: str,
        option: ModelOption,
        *,
        model_id: str | None = None,
        rerun: str | None = None,
        before: Callable[[str], None] | None = None,
    ) -> Started:
        """Start a run, or join the one of this model run and option that is under way.

        Args:
            model_run_id: Labelbox's id.
            option: The model.
            model_id: Labelbox's model, where it is known.
            rerun: As of ``RunSpec``; None: as the model's section has it.
            before: Called with a new run's id before it can begin.

        Raises:
            LabelboxError, StorageError: Never here; what goes wrong is the run's own end.
        """
        from dbos import SetWorkflowID

        with self._start_lock:
            started = next_run(self._dbos, model_run_id, option.name)
            if started.joined:
                return started
            spec = spec_of(self.settings, started.run_id, model_run_id, option, model_id, rerun=rerun)
            if before is not None:
                before(started.run_id)
            raw = msgspec.json.encode(spec).decode()
            with SetWorkflowID(started.run_id):
                if self._role == "serve":
                    self._dbos.enqueue_workflow(QUEUE, self._run_workflow, raw)
                else:
                    self._dbos.start_workflow(self._run_workflow, raw)
            return started

    def wait(self, run_id: str) -> Finished:
        """Wait until the run has ended, in whatever process it is.

        Raises:
            VmiError: The run ended in an error of ours.
        """
        done = threading.Event()

        def watch() -> None:
            # Who waits for another process's run takes it over when that process dies.
            while not done.wait(_ADOPT_EVERY_S) and not self._stop.is_set():
                try:
                    self.take_over(run_id)
                except Exception as error:  # noqa: BLE001  # the next beat tries again
                    log.warning("could not look after the run", run_id=run_id, cause=type(error).__name__)

        threading.Thread(target=watch, name=f"look-after-{run_id}", daemon=True).start()
        try:
            finished: Finished = self._dbos.retrieve_workflow(run_id).get_result(polling_interval_sec=0.2)
        finally:
            done.set()
        return finished

    def take_over(self, run_id: str) -> bool:
        """Carry on a run that nobody works on; False when somebody does or will, or when it has ended.

        Raises:
            NotFoundError: There is no such run.
        """
        assert self._executor is not None
        status = self._dbos.get_workflow_status(run_id)
        if status is None:
            raise NotFoundError(f"There is no run {run_id}.", hint="`vmi status` lists the runs.")
        if status.status not in ACTIVE:
            return False
        self._check_release(run_id, status.app_version)
        if status.executor_id == self._executor.id and status.status == "PENDING":
            return True
        self._recover_dead()
        if anyone_alive(self._locks, "serve"):
            return False  # its queue, its adopter
        status = self._dbos.get_workflow_status(run_id)
        if status.status == "ENQUEUED" and status.queue_name == QUEUE:
            self._dbos.resume_workflow(run_id)  # into the queue that every process works on
        return bool(status.status == "ENQUEUED")

    # -- working ------------------------------------------------------------------------------------------------------

    def _work(self, raw: str) -> Finished:
        spec = read_spec(raw)
        assert self._surroundings is not None
        context, progress = self._surroundings.of(spec, self._watch)
        try:
            return run_flow(_Durable(self), context, progress)
        finally:
            self._surroundings.forget(spec.run_id)

    def _work_group(self, raw: str, group: Group, *, staged: bool) -> Counts:
        spec = read_spec(raw)
        assert self._surroundings is not None
        context, progress = self._surroundings.of(spec, self._watch, lead=False)
        try:
            return group_flow(_Durable(self), context, progress, group, staged=staged)
        finally:
            self._surroundings.forget(spec.run_id, lead=False)

    def _adopt(self) -> None:
        while not self._stop.wait(_ADOPT_EVERY_S):
            try:
                self._recover_dead()
                if self._surroundings is not None:
                    end_older(self._dbos, self._surroundings)
            except Exception as error:  # noqa: BLE001  # the next beat tries again; a dead adopter would adopt nothing
                log.warning("could not look for abandoned runs", cause=type(error).__name__)

    def _check_release(self, run_id: str, version: str | None) -> None:
        """Refuse, or end, a run that another release of ours began and that nobody works on any more."""
        assert self._surroundings is not None
        check_release(self._dbos, self._surroundings, run_id, version)

    def _recover_dead(self) -> list[str]:
        """Take over the runs of processes that have died; returns their executor ids."""
        assert self._executor is not None
        names = []
        for name, held in dead_executors(self._locks, self._executor.id):
            pending = self._dbos.list_workflows(executor_id=name, status="PENDING", load_input=False, load_output=False)
            if pending:
                log.info("taking over runs", executor=name, workflows=len(pending))
                self._dbos._recover_pending_workflows([name])  # noqa: SLF001  # DBOS has no public call for it
                names.append(name)
            held.release()
        return names


class _Durable:
    """Steps as DBOS steps, groups as child workflows."""

    def __init__(self, service: RunService) -> None:
        self._service = service

    def step(self, name: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        started = time.monotonic()
        result: T = self._service._dbos.run_step({"name": name}, function, *args, **kwargs)  # noqa: SLF001
        log.debug("step", step=name, seconds=round(time.monotonic() - started, 3))
        return result

    def group(
        self,
        context: Context,
        progress: Progress,  # noqa: ARG002
        group: Group,
        *,
        staged: bool = False,
    ) -> Callable[[], Counts]:
        raw = msgspec.json.encode(context.spec).decode()
        service = self._service
        handle = service._dbos.start_workflow(service._group_workflow, raw, group, staged)  # noqa: SLF001

        def wait() -> Counts:
            counts: Counts = handle.get_result(polling_interval_sec=0.2)
            return counts

        return wait
