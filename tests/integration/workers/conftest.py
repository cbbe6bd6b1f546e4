"""Workers on one PostgreSQL, beside the sandbox whose operations can be held; see `killing/conftest.py`."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from tests.integration.killing.conftest import ROWS, Arena, Process, new_model_run, until
from tests.postgres import Postgres, postgres
from tests.recording import Recorder, recorder

from vertex_model_inference.runs.workers import Worker, Workers, read_workers
from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.datasets.catalog import material
from vertex_model_inference.sandbox.datasets.seeding import Seeded, seed
from vertex_model_inference.sandbox.datasets.target import Target
from vertex_model_inference.sandbox.launcher import running
from vertex_model_inference.settings import load

SHARD = 10
GROUPS = -(-ROWS // SHARD)
LEASE_S = 4.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker has the sandbox and the database server of this folder."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("workers"))


class Yard(Arena):
    """An arena whose processes share a database of their own on a PostgreSQL server; six jobs of ten rows."""

    def __init__(
        self, config: SandboxConfig, seeded: Seeded, labelbox: Recorder, folder: Path, server: Postgres
    ) -> None:
        super().__init__(config, seeded, labelbox, folder)
        self.server = server
        self.database = f"vmi_{secrets.token_hex(4)}"
        with psycopg.connect(server.url_at("127.0.0.1", server.port, "postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {self.database}")
        self.environment |= {
            "VMI_DATABASE_URL": server.url_at("127.0.0.1", server.port, self.database),
            "VMI_LEASE_S": str(LEASE_S),
            "VMI_SHARD_ROWS": str(SHARD),
            "VMI_JOB_ROWS": str(SHARD),
            "VMI_RUN_GROUPS": "6",
            "VMI_WORKER_GROUPS": "2",
        }

    # -- processes ----------------------------------------------------------------------------------------------------

    def desk(self) -> Process:
        """`vmi serve` without an engine."""
        return self.start("serve", "--port", "0", "--no-engine")

    def worker(self, within: tuple[str, ...] = (), **environment: str) -> Process:
        before = self.environment
        self.environment = {**before, **environment}
        try:
            return self.start("worker", within=within)
        finally:
            self.environment = before

    def workers(self, number: int) -> list[Process]:
        """So many workers that are ready."""
        found = [self.worker() for _ in range(number)]
        for process in found:
            self.name_of(process)
        return found

    def name_of(self, process: Process) -> str:
        """The executor id that the process has now."""

        def look() -> str | None:
            assert process.popen.poll() is None, process.said()
            names = [line for line in process.out.read_text().splitlines() if line.startswith("working as ")]
            return names[-1].removeprefix("working as ") if names else None

        return until("a worker works", look)

    def seen(self) -> Workers:
        return read_workers(load(self.environment, self.folder))

    def state_of(self, name: str) -> Worker:
        return next(each for each in self.seen().workers if each.id == name)

    def busy(self, name: str, run_id: str) -> int:
        """Groups of the run that the worker has under way."""
        return self.state_of(name).groups.get(run_id, 0)

    def close(self) -> None:
        for process in self.processes:
            if process.popen.poll() is None:
                process.popen.send_signal(signal.SIGCONT)
        super().close()

    # -- what came of it ----------------------------------------------------------------------------------------------

    def verify(self, run_id: str) -> None:
        """Every row once, no job and no import twice, and no secret in anything that was written."""
        self.check(run_id, jobs=GROUPS, imports=GROUPS)
        for process in self.processes:
            assert "Traceback" not in process.said(), process.said()
            assert self.server.password not in process.said()

    def done_by(self, run_id: str) -> dict[str, int]:
        """Executor id -> groups of the run that it ended."""
        url = self.environment["VMI_DATABASE_URL"]
        with psycopg.connect(url) as connection:
            found = connection.execute(
                "SELECT executor_id, count(*) FROM dbos.workflow_status WHERE name = 'group' AND status = 'SUCCESS' "
                "AND starts_with(workflow_uuid, %s) GROUP BY executor_id",
                (run_id,),
            ).fetchall()
        return dict(found)


def last_one(yard: Yard, workers: list[Process], run_id: str) -> tuple[Process, str]:
    """The worker that has the only group left, which is held; with its name."""
    names = {yard.name_of(process): process for process in workers}

    def look() -> str | None:
        seen = yard.seen()
        left = {each.id: sum(each.groups.values()) for each in seen.workers if each.groups}
        done = sum(yard.done_by(run_id).values())
        return next(iter(left)) if done == GROUPS - 1 and seen.waiting_groups == 0 and sum(left.values()) == 1 else None

    name = until("one group is left", look)
    return names[name], name


def leader(yard: Yard, workers: list[Process], run_id: str) -> tuple[Process, str]:
    """The worker that has the run itself; with its name."""
    names = {yard.name_of(process): process for process in workers}
    name = until("the run is led", lambda: next((w.id for w in yard.seen().workers if run_id in w.runs), None))
    return names[name], name


@pytest.fixture(scope="session")
def workers_server() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.fixture(scope="session")
def workers_sandbox() -> Iterator[tuple[SandboxConfig, Seeded]]:
    with running() as config:
        yield config, seed(material("digits"), Target.of(config.environment()), rows=ROWS)


@pytest.fixture
def yard(
    workers_server: Postgres,
    workers_sandbox: tuple[SandboxConfig, Seeded],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Yard]:
    config, seeded = workers_sandbox
    with ExitStack() as stack:
        labelbox = stack.enter_context(recorder(config.labelbox_url))
        yard = Yard(config, seeded, labelbox, tmp_path, workers_server)
        stack.callback(yard.close)
        yard.release()
        yard.model_run_id = new_model_run(config, seeded, request.node.name)
        yield yard
