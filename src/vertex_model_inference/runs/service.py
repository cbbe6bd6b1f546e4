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

from vertex_model_inference.errors import NotFoundError, SettingsError
from vertex_model_inference.fencing import fenced
from vertex_model_inference.models import ModelOption
from vertex_model_inference.outcomes import Counts
from vertex_model_inference.runs.asking import spec_of
from vertex_model_inference.runs.database import (
    ACTIVE,
    APPLICATION,
    GROUPS,
    QUEUE,
    WORKFLOW,
    WORKFLOW_VERSION,
    database_engine,
    next_run,
    quiet,
)
from vertex_model_inference.runs.flow import Finished, Group, group_flow, run_flow
from vertex_model_inference.runs.gate import Gate
from vertex_model_inference.runs.postgres import unavailable
from vertex_model_inference.runs.presence import SERVING, Presence, presence_of
from vertex_model_inference.runs.progress import Progress
from vertex_model_inference.runs.releases import check_release, end_older
from vertex_model_inference.runs.started import Started
from vertex_model_inference.runs.status import RunStatus
from vertex_model_inference.runs.surroundings import Surroundings
from vertex_model_inference.settings import Settings
from vertex_model_inference.spec import read_spec
from vertex_model_inference.steps.context import Context

__all__ = ["LET_GO_S", "RunService"]

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger()

_RUNS_AT_ONCE = 4
_POLL_S = 0.1
_SHARED_POLL_S = 0.25  # of each queue by each process: the server has other things to do
LET_GO_S = 10.0
"""So long a process that is told to stop waits for the steps that are under way."""
_PUT_BACK_S = 5.0
_RECOVERIES = 1_000_000  # a run may be killed any number of times


class RunService:
    """The engine of this process. One per process, since DBOS is.

    Args:
        settings: What is in force.
        role: ``"serve"`` and ``"worker"``: works on queued runs and takes over those of dead processes; ``"run"``:
            works only on the runs it is told to, and on a shared database on groups of any run while it is there.
        surroundings: The gateways; made from the settings when None.
        watch: Called with each new status of a run of this process.
        lost: Called, in a thread, when this process was taken for dead and others do its work: it is to end at once.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        role: str = "serve",
        surroundings: Surroundings | None = None,
        watch: Callable[[RunStatus], None] | None = None,
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self._role = role
        self._watch = watch
        self._surroundings = surroundings
        self._lost = lost
        self._gate = Gate()
        self._presence: Presence | None = None
        self._groups_here: set[tuple[str, int]] = set()
        self._stop = threading.Event()
        self._start_lock = threading.Lock()
        self._adopter: threading.Thread | None = None
        self._run_workflow: Any = None
        self._group_workflow: Any = None
        self._dbos: Any = None
        self._instance: Any = None
        self._engine: Any = None

    @property
    def executor_id(self) -> str:
        """The name under which the engine's database knows this process; there is one once it has started."""
        assert self._presence is not None
        return self._presence.id

    def start(self) -> None:
        """Open the database, take up what this executor left unfinished, and begin to work.

        Raises:
            SettingsError: A setting that runs need is missing.
            ConflictError: Another process works under this name.
            DatabaseError: The database does not answer.
        """
        from sqlalchemy.exc import SQLAlchemyError

        self.settings.require("labelbox_api_key")
        if self.settings.shared_database and not self.settings.bucket:
            raise SettingsError(
                "VMI_BUCKET must be set where VMI_DATABASE_URL is Postgres: the machines share the runs' files there.",
                code="settings_missing",
                hint="Set VMI_BUCKET, or leave VMI_DATABASE_URL out to use SQLite on one machine.",
            )
        if self._surroundings is None:
            self._surroundings = Surroundings(self.settings)
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        self._presence = presence_of(self.settings, self._role, self._lost)
        self._surroundings.fresh = self._presence.fresh
        try:
            self._launch()
        except SQLAlchemyError as error:
            if not self._presence.shared:
                raise
            raise unavailable(error, self.settings.database_url) from None
        if self._role in SERVING:
            self._adopter = threading.Thread(target=self._adopt, name="adopt-runs", daemon=True)
            self._adopter.start()

    def _launch(self) -> None:
        from dbos import DBOS

        quiet()
        assert self._presence is not None
        config: Any = {
            "name": APPLICATION,
            "system_database_url": self.settings.database_url,
            "executor_id": self._presence.id,
            "application_version": WORKFLOW_VERSION,
            "run_admin_server": False,
            "log_level": "ERROR",
            "notification_listener_polling_interval_sec": 0.1,
        }
        self._engine = config["system_database_engine"] = database_engine(self.settings, self._role)
        self._instance = DBOS(config=config)
        self._dbos = DBOS

        # DBOS wants plain functions: it marks them.
        def run(raw: str) -> Finished:
            return self._work(raw)

        def group(raw: str, group: Group, staged: bool) -> Counts:
            return self._work_group(raw, group, staged=staged)

        self._run_workflow = DBOS.workflow(name=WORKFLOW, max_recovery_attempts=_RECOVERIES)(run)
        self._group_workflow = DBOS.workflow(name="group", max_recovery_attempts=_RECOVERIES)(group)
        queues = [QUEUE] if self._role in SERVING else []
        DBOS.listen_queues([*queues, GROUPS] if self._presence.shared else queues)
        DBOS.launch()
        poll_s = _SHARED_POLL_S if self._presence.shared else _POLL_S
        DBOS.register_queue(QUEUE, worker_concurrency=_RUNS_AT_ONCE, polling_interval_sec=poll_s)
        if self._presence.shared:
            a_minute = self.settings.groups_per_minute
            DBOS.register_queue(
                GROUPS,
                worker_concurrency=self.settings.worker_groups,
                global_concurrency=self.settings.total_groups,
                limiter=None if a_minute is None else {"limit": a_minute, "period": 60.0},
                polling_interval_sec=poll_s,
            )

    def stop(self) -> None:
        """Let go: unfinished runs stay in the database for the next process. A second call does nothing.

        On a shared database the steps under way are waited for, ten seconds at most, and what is unfinished goes back
        into the queue, where others take it up at once.
        """
        if self._stop.is_set():
            return
        self._stop.set()
        if self._adopter is not None:
            self._adopter.join(10)
        if self._surroundings is not None:
            self._surroundings.hush()
        if self._presence is not None and self._presence.shared and self._dbos is not None:
            self._hand_back()
        if self._dbos is not None:
            self._dbos.destroy(destroy_registry=True)
        if self._engine is not None:
            self._engine.dispose()
        if self._surroundings is not None:
            self._surroundings.close()
        if self._presence is not None:
            self._presence.release()  # last: from now on others may carry on our runs

    def _hand_back(self) -> None:
        """Put what this process has under way back into the queue, at the next boundary of its steps."""
        assert self._presence is not None
        for event in self._instance.background_thread_stop_events:  # as its own destroy() begins: nothing new is taken
            event.set()
        if not self._gate.close(LET_GO_S):
            log.warning("steps were left in the middle; another process does them again")
        done = threading.Event()

        def put_back() -> None:
            assert self._presence is not None
            self._dbos._recover_pending_workflows([self._presence.id])  # noqa: SLF001  # see _recover_dead
            done.set()

        # In a thread: while the database is away, the engine tries for ever.
        threading.Thread(target=put_back, name="hand-back", daemon=True).start()
        if not done.wait(_PUT_BACK_S):
            log.warning("could not hand the runs back; others take them over when this process's lease is over")

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
                if self._role in SERVING:
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
            assert self._presence is not None
            while not done.wait(self._presence.look_s) and not self._stop.is_set():
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
        assert self._presence is not None
        status = self._dbos.get_workflow_status(run_id)
        if status is None:
            raise NotFoundError(f"There is no run {run_id}.", hint="`vmi status` lists the runs.")
        if status.status not in ACTIVE:
            return False
        self._check_release(run_id, status.app_version)
        if status.executor_id == self._presence.id and status.status == "PENDING":
            return True
        self._recover_dead()
        if self._presence.serving():
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
            self._groups_here = {each for each in self._groups_here if each[0] != spec.run_id}
            self._surroundings.forget(spec.run_id)

    def _work_group(self, raw: str, group: Group, *, staged: bool) -> Counts:
        spec = read_spec(raw)
        assert self._surroundings is not None
        context, progress = self._surroundings.of(spec, self._watch, lead=False)
        self._groups_here.add((spec.run_id, group.number))
        try:
            return group_flow(_Durable(self), context, progress, group, staged=staged)
        finally:
            self._surroundings.forget(spec.run_id, lead=False)

    def _adopt(self) -> None:
        assert self._presence is not None
        while not self._stop.wait(self._presence.look_s):
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
        assert self._presence is not None
        names = []
        for name in self._presence.dead(lambda: {each.executor_id for each in self._pending()}):
            pending = self._pending(name)
            if pending:
                log.info("taking over runs", executor=name, workflows=len(pending))
                self._dbos._recover_pending_workflows([name])  # noqa: SLF001  # DBOS has no public call for it
                names.append(name)
            self._presence.taken(name)
        return names

    def _pending(self, executor: str | None = None) -> list[Any]:
        found: list[Any] = self._dbos.list_workflows(
            executor_id=executor, status="PENDING", load_input=False, load_output=False
        )
        return found


class _Durable:
    """Steps as DBOS steps, groups as child workflows."""

    def __init__(self, service: RunService) -> None:
        self._service = service

    def step(self, name: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        started = time.monotonic()
        service = self._service
        assert service._presence is not None  # noqa: SLF001
        with service._gate.step(name), fenced(service._presence.check):  # noqa: SLF001
            result: T = service._dbos.run_step({"name": name}, function, *args, **kwargs)  # noqa: SLF001
        log.debug("step", step=name, seconds=round(time.monotonic() - started, 3))
        return result

    def group(
        self, context: Context, progress: Progress, group: Group, *, staged: bool = False
    ) -> Callable[[], Counts]:
        raw = msgspec.json.encode(context.spec).decode()
        service = self._service
        assert service._presence is not None  # noqa: SLF001
        workflow = service._group_workflow  # noqa: SLF001
        shared = service._presence.shared  # noqa: SLF001
        if shared:
            handle = service._dbos.enqueue_workflow(GROUPS, workflow, raw, group, staged)  # noqa: SLF001
        else:
            handle = service._dbos.start_workflow(workflow, raw, group, staged)  # noqa: SLF001

        def wait() -> Counts:
            counts: Counts = handle.get_result(polling_interval_sec=0.2)
            if shared and (context.spec.run_id, group.number) not in service._groups_here:  # noqa: SLF001
                progress.elsewhere(counts)
            return counts

        return wait
