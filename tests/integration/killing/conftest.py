"""A sandbox whose operations can be held open, and `vmi` processes that can be killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import orjson
import pytest
from labelbox import Client
from tests.recording import Recorder, recorder

from vertex_model_inference.outcomes import OutcomeStatus
from vertex_model_inference.runs.progress import read_status
from vertex_model_inference.runs.reading import outcomes_of
from vertex_model_inference.runs.status import RunState, RunStatus
from vertex_model_inference.runs.surroundings import open_artifacts
from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.datasets.catalog import material
from vertex_model_inference.sandbox.datasets.seeding import Seeded, seed
from vertex_model_inference.sandbox.datasets.target import Target
from vertex_model_inference.sandbox.launcher import running
from vertex_model_inference.settings import load

T = TypeVar("T")

ROWS = 60
FOREVER_S = 3600.0
_ORDER = [state.value for state in RunState]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker has the sandbox of this folder: its fault rules are its own."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("killing"))


def until(what: str, look: Callable[[], T | None], seconds: float = 60.0) -> T:
    """What ``look`` gives, once it gives something true."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.03)


def _line_of(pid: int) -> tuple[int, int]:
    """A process and its parent."""
    # /proc/<pid>/stat: "<pid> (<name>) <state> <parent> ..."; the name may hold spaces.
    return pid, int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


class Process:
    """A `vmi` command in a process of its own; its output goes to files. `within`: a command that runs it."""

    def __init__(
        self, folder: Path, environment: dict[str, str], *arguments: str, within: tuple[str, ...] = ()
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        number = len(list(folder.glob("*.out")))
        self.out = folder / f"{number}-{arguments[0]}.out"
        self.err = folder / f"{number}-{arguments[0]}.err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.popen = subprocess.Popen(
                [*within, sys.executable, "-m", "vertex_model_inference", *arguments],
                env={**os.environ, **environment},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def kill(self) -> None:
        """kill -9."""
        self.popen.kill()
        self.popen.wait(30)

    def terminate(self) -> int:
        """SIGTERM; the exit code."""
        self.popen.send_signal(signal.SIGTERM)
        return self.wait(30)

    def wait(self, seconds: float) -> int:
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.popen.send_signal(signal.SIGABRT)  # tells where its threads are
            self.popen.wait(30)
            pytest.fail(f"still running after {seconds} s:\n{self.said()}")

    def said(self) -> str:
        return f"{self.out.read_text()}\n{self.err.read_text()}"

    def url(self) -> str:
        """Where `vmi serve` listens."""

        def look() -> str | None:
            assert self.popen.poll() is None, self.said()
            for line in self.out.read_text().splitlines():
                if line.startswith("listening on "):
                    return line.removeprefix("listening on ")
            return None

        return until("vmi serve listens", look)


class Arena:
    """The sandbox, the seeded model, and one data directory with the processes that work on it."""

    def __init__(self, config: SandboxConfig, seeded: Seeded, labelbox: Recorder, folder: Path) -> None:
        self.config = config
        self.seeded = seeded
        self.labelbox = labelbox
        self.folder = folder
        self.environment = {
            **config.environment(),
            "VMI_LABELBOX_URL": labelbox.url,
            "VMI_DATA_DIR": str(folder / "vmi"),
            "VMI_SHARD_ROWS": "25",
            "VMI_CANARY_ROWS": "0",
            "PYTHONFAULTHANDLER": "1",
        }
        self.processes: list[Process] = []
        self.model_run_id = ""
        self.http = httpx2.Client(timeout=60, trust_env=False)
        self.store = open_artifacts(load(self.environment, folder))

    # -- processes ----------------------------------------------------------------------------------------------------

    def start(self, *arguments: str, within: tuple[str, ...] = ()) -> Process:
        process = Process(self.folder / "output", self.environment, *arguments, within=within)
        self.processes.append(process)
        return process

    def serve(self) -> Process:
        return self.start("serve", "--port", "0")

    def run(self) -> Process:
        return self.start("run", self.model_run_id, "--model", self.seeded.display_name, "--json")

    def menu(self, served: Process) -> None:
        """Wait until the webhook knows the model: its menu is read in the background."""
        url = served.url()
        name = self.seeded.display_name
        until("the menu has the model", lambda: name in self.http.get(f"{url}/models").json())

    def post(self, served: Process) -> httpx2.Response:
        """Labelbox's call."""
        body = {"modelId": self.seeded.model_id, "modelRunId": self.model_run_id, "modelType": self.seeded.display_name}
        return self.http.post(f"{served.url()}/model_run", json=body)

    def press(self, served: Process) -> str:
        """Train Model; the run's id."""
        self.menu(served)
        answer = self.post(served)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["runId"])

    def until_said(self, process: Process, text: str) -> None:
        until(f"it says {text!r}", lambda: text in process.said())

    def works_on(self, process: Process, run_id: str) -> bool:
        """Whether the run is in this process or its child, as the engine's database has it."""
        uri = f"file:{self.folder / 'vmi' / 'vmi.sqlite'}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as db:
            [(executor,)] = db.execute("SELECT executor_id FROM workflow_status WHERE workflow_uuid = ?", (run_id,))
        lock = (self.folder / "vmi" / "executors" / f"{executor}.lock").stat()
        # /proc/locks: "1: FLOCK  ADVISORY  WRITE <pid> <major>:<minor>:<inode> 0 EOF"
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if fields[-3].endswith(f":{lock.st_ino}") and process.popen.pid in _line_of(int(fields[-4])):
                return True
        return False

    def close(self) -> None:
        for process in self.processes:
            if process.popen.poll() is None:
                process.kill()
        self.http.close()

    # -- holding a step open ------------------------------------------------------------------------------------------

    def hold(self, server: str, match: str, **rule: Any) -> Callable[[], None]:
        """Hold the next request that matches; the returned function waits until one is held.

        Without more, the request never arrives; with ``delay_s`` it arrives late; with ``answer_after_s`` it happens
        and its answer comes late or never.
        """
        if "answer_after_s" not in rule:
            rule.setdefault("delay_s", FOREVER_S)
        url = f"{getattr(self.config, f'{server}_url')}/_sandbox/faults"
        index = len(self.http.post(url, json={"match": match, **rule}).raise_for_status().json()["faults"]) - 1

        def reached() -> None:
            until(
                f"{server} {match} is asked for",
                lambda: self.http.get(url).json()["faults"][index]["fired"],
            )

        return reached

    def release(self) -> None:
        """Remove the rules; what is held stays held."""
        for server in ("labelbox", "storage", "vertex"):
            self.http.delete(f"{getattr(self.config, f'{server}_url')}/_sandbox/faults").raise_for_status()

    # -- what came of it ----------------------------------------------------------------------------------------------

    def status(self, run_id: str) -> RunStatus | None:
        return read_status(self.store, run_id)

    def ended(self, run_id: str, seconds: float = 60.0) -> RunStatus:
        def look() -> RunStatus | None:
            status = self.status(run_id)
            return status if status is not None and status.state.ended else None

        return until(f"{run_id} ends", look, seconds)

    def all_jobs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.http.get(f"{self.config.vertex_url}/_sandbox/jobs").json()["jobs"]
        return found

    def jobs(self, run_id: str) -> list[dict[str, Any]]:
        return [job for job in self.all_jobs() if run_id in job["displayName"]]

    def in_labelbox(self) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(
            f"{self.config.labelbox_url}/_sandbox/model_runs/{self.model_run_id}"
        ).json()
        return found

    def told(self) -> list[str]:
        """Every status that was sent to Labelbox for the model run, in order."""
        found = []
        for seen in self.labelbox.seen:
            if b"setPipelineStatus" in seen.body:
                variables = orjson.loads(seen.body)["variables"]
                if variables["modelRunId"] == self.model_run_id:
                    found.append(str(variables["data"]["status"]))
        return found

    def check(self, run_id: str, *, jobs: int = 1, forward: bool = True, imports: int = -(-ROWS // 25)) -> RunStatus:
        """Every row once, nothing twice, one job, and all say so."""
        status = self.ended(run_id)
        counts = status.counts
        assert (status.state, counts.predicted, counts.exported, status.rows) == (RunState.COMPLETE, ROWS, ROWS, ROWS)
        assert {step: progress.done for step, progress in status.steps.items()} == dict.fromkeys(status.steps, ROWS)
        assert status.export_complete
        assert set(status.jobs.values()) == {"SUCCEEDED"}
        assert len(status.jobs) == jobs

        outcomes = list(outcomes_of(self.store, run_id))
        assert max(Counter(outcome.data_row_id for outcome in outcomes).values()) == 1
        assert len(outcomes) == ROWS
        assert {outcome.status for outcome in outcomes} == {OutcomeStatus.PREDICTED}

        made = self.jobs(run_id)
        assert [job["state"] for job in made] == ["JOB_STATE_SUCCEEDED"] * jobs
        assert sum(job["sent"] for job in made) == ROWS

        run = self.in_labelbox()
        assert (run["status"], run["error_message"] or "") == ("COMPLETE", "")
        assert run["counts"]["predictions"] == run["counts"]["predicted_data_rows"] == ROWS
        names = [item["name"] for item in run["imports"]]
        assert len(names) == len(set(names)) == imports
        assert {item["state"] for item in run["imports"]} == {"FINISHED"}
        assert sum(item["succeeded"] for item in run["imports"]) == ROWS
        uuids = Counter(
            orjson.loads(line)["uuid"]
            for item in run["imports"]
            for line in self.http.get(item["status_file_url"]).content.splitlines()
        )
        assert len(uuids) == ROWS
        assert max(uuids.values()) == 1
        if forward:
            told = [_ORDER.index(state) for state in self.told()]
            assert told == sorted(told), self.told()
        return status


@pytest.fixture(scope="session")
def killing_sandbox() -> Iterator[tuple[SandboxConfig, Seeded]]:
    """A sandbox of its own, with the digits in it."""
    with running() as config:
        yield config, seed(material("digits"), Target.of(config.environment()), rows=ROWS)


def new_model_run(config: SandboxConfig, seeded: Seeded, name: str) -> str:
    """A fresh model run over the seeded rows."""
    client: Any = Client(
        api_key="sandbox-key",
        endpoint=f"{config.labelbox_url}/graphql",
        rest_endpoint=f"{config.labelbox_url}/api/v1",
        enable_experimental=True,
    )
    run = client.get_model(seeded.model_id).create_model_run(name)
    keys = [row.key for row in material("digits").rows()[:ROWS]]
    run.upsert_data_rows(global_keys=keys)
    return str(run.uid)


@pytest.fixture
def arena(
    killing_sandbox: tuple[SandboxConfig, Seeded], tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Arena]:
    config, seeded = killing_sandbox
    with ExitStack() as stack:
        labelbox = stack.enter_context(recorder(config.labelbox_url))
        arena = Arena(config, seeded, labelbox, tmp_path)
        stack.callback(arena.close)
        arena.release()
        arena.model_run_id = new_model_run(config, seeded, request.node.name)
        yield arena
