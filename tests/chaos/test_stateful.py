"""A run under everything at once, in any order: what must be true whatever happens.

Hypothesis chooses what is done: pressing the button (again, or fifty times at once), killing engines and starting them,
cancelling, trying again, breaking services and mending them, holding a request so that the next kill falls into the
middle of a step. After each step the runs are looked at; at the end everything is mended, all runs must end, and one
more press must bring every row to its right end, nothing missing in Labelbox and nothing there twice.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import httpx2
import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.chaos.cell import FOREVER_S
from tests.chaos.customer import boxes_on
from tests.chaos.ledger import Book, read_book
from tests.chaos.stage import Stage
from tests.chaos.theatre import SETTINGS

from vertex_model_inference.outcomes import Counts
from vertex_model_inference.settings import load

EXAMPLES = int(os.environ.get("VMI_TEST_CHAOS_EXAMPLES", "2"))
STEPS = 10
_SETTLED_S = 1.5
ROWS = 8
SERVERS = ("labelbox", "storage", "vertex")
_STAGE = msgspec.json.Decoder(Stage, dec_hook=lambda _, text: Path(text))

FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "Labelbox is busy": ("labelbox", {"match": "/graphql", "status": 429, "json": {"message": "busy"}}),
    "Labelbox is down": ("labelbox", {"match": "*", "reset": True}),
    "imports get no answer": (
        "labelbox",
        {"match": "createMEAPredictionImportByFilePyApi", "answer_after_s": FOREVER_S, "times": 2},
    ),
    "statuses come in half": ("labelbox", {"match": "getModelErrorAnalysisPredictionImportPyApi", "truncate": 30}),
    "storage is down": ("storage", {"match": "*/runs/*", "status": 503, "body": "Service Unavailable"}),
    "every third write breaks": ("storage", {"match": "*", "method": "PUT", "truncate": 0, "chance": 0.3}),
    "jobs get no answer": ("vertex", {"match": "batchPredictionJobs.create", "answer_after_s": FOREVER_S, "times": 1}),
    "Vertex fails": ("vertex", {"match": "*", "status": 500, "json": {"error": {"code": 500, "message": "oh"}}}),
    "jobs are not seen to end": (
        "vertex",
        {"match": "batchPredictionJobs.get", "replace": {"JOB_STATE_SUCCEEDED": "JOB_STATE_RUNNING"}},
    ),
}
HOLDS: dict[str, tuple[str, dict[str, Any]]] = {
    "export": ("labelbox", {"match": "GetExportFileFromOffsetPyApi", "delay_s": FOREVER_S}),
    "instances": ("storage", {"match": "*.instances.jsonl", "method": "PUT", "answer_after_s": FOREVER_S}),
    "job": ("vertex", {"match": "batchPredictionJobs.create", "answer_after_s": FOREVER_S}),
    "answers": ("storage", {"match": "*/answers/*", "method": "PUT", "delay_s": FOREVER_S}),
    "import": ("labelbox", {"match": "createMEAPredictionImportByFilePyApi", "answer_after_s": FOREVER_S}),
    "outcomes": ("storage", {"match": "*/outcomes/*", "method": "PUT", "answer_after_s": FOREVER_S}),
    "last word": (
        "labelbox",
        {"match": "setPipelineStatusPyApi", "contains": '"COMPLETE"', "answer_after_s": FOREVER_S},
    ),
}


class Theatre:
    """The process of ``theatre.py``."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.theatre"],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.stage = _STAGE.decode(self._told()["stage"])
        self.http = httpx2.Client(timeout=60, trust_env=False)

    def _told(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the theatre has died"
        told = json.loads(line)
        assert "error" not in told, told["error"]
        return told

    def do(self, what: str, **given: Any) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": what, **given}) + "\n")
        self.process.stdin.flush()
        return self._told()

    def faults(self, server: str) -> str:
        return f"{self.stage.url(server)}/_sandbox/faults"

    def close(self) -> None:
        self.http.close()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def theatre() -> Iterator[Theatre]:
    made = Theatre()
    yield made
    made.close()


class Known(msgspec.Struct):
    """What the model knows of a run.

    Attributes:
        run_id: Its id. ``disturbed``: a fault was on while it may have worked. ``cancelled``: somebody asked for that.
        ended: How it was seen to have ended.
    """

    run_id: str
    disturbed: bool = False
    cancelled: bool = False
    ended: str = ""
    counts: Counts = Counts()


class Runs(RuleBasedStateMachine):
    """The model: which runs there are, and what may have become of them."""

    theatre: ClassVar[Theatre]
    number: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        Runs.number += 1
        self.caller = f"chaos-stateful-{os.getpid()}-{Runs.number}"
        self.folder = self.theatre.stage.folder / self.caller
        self.folder.mkdir()
        self.engines = 0
        self.broken: set[str] = set()
        self.known: list[Known] = []
        self.scene: dict[str, Any] = {}
        self.log: list[str] = []
        stage = self.theatre.stage
        environment = {**stage.sandbox.environment(), **SETTINGS, "VMI_DATA_DIR": str(self.folder / "vmi")}
        (self.folder / "vmi.toml").touch()
        self.quiet = load(environment, self.folder)

    # -- what is done -------------------------------------------------------------------------------------------------

    def _do(self, what: str, **given: Any) -> Any:
        return self.theatre.do(what, folder=str(self.folder), **given)

    @initialize()
    def begin(self) -> None:
        self.scene = self.theatre.do("scene", name=self.caller, rows=ROWS)
        self.engine()
        self.press(1)

    @rule(times=st.sampled_from([1, 1, 2, 20]))
    def press(self, times: int) -> None:
        """Train Model, once, or delivered many times at once."""
        before = self._look()
        told = self._do("press", caller=self.caller, model_run_id=self.scene["model_run_id"], times=times)
        after = self._look()
        ids = sorted(set(told["run_ids"]))
        self.log.append(f"press x{times}: {ids}")
        newest = self.known[-1].run_id if self.known else None
        if newest is None or (before == "ended"):
            assert told["joined"].count(False) == 1, (self.log, told)
            assert len(ids) == 1, (self.log, told)
            assert newest not in ids
        elif after == "going":
            assert ids == [newest], (self.log, told)
            assert all(told["joined"]), (self.log, told)
        for run_id in ids:
            if run_id != newest:
                assert _attempt(run_id) == len(self.known), (self.log, told)
                self.known.append(Known(run_id))
                newest = run_id
        self._disturb()

    @precondition(lambda self: self.engines < 2)
    @rule()
    def engine(self) -> None:
        """Start a process that works on runs; perhaps beside another."""
        self.engines = self._do("engine", caller=self.caller)["engines"]
        self.log.append("engine")

    @precondition(lambda self: self.engines > 0)
    @rule()
    def crash(self) -> None:
        """kill -9."""
        self.engines = self._do("kill")["engines"]
        self.log.append("crash")

    @precondition(lambda self: self.engines > 0)
    @rule()
    def leave(self) -> None:
        """SIGTERM."""
        self.engines = self._do("stop")["engines"]
        self.log.append("leave")

    @rule(name=st.sampled_from(sorted(FAULTS)))
    def break_(self, name: str) -> None:
        """From now on, a service fails."""
        server, fault = FAULTS[name]
        self.theatre.http.post(
            self.theatre.faults(server), json={"times": 0, "caller": self.caller, **fault}
        ).raise_for_status()
        self.broken.add(name)
        self._disturb()
        self.log.append(f"break: {name}")

    @precondition(lambda self: self.broken)
    @rule()
    def mend(self) -> None:
        """Everything works again."""
        for server in SERVERS:
            self.theatre.http.delete(self.theatre.faults(server), params={"caller": self.caller}).raise_for_status()
        self._disturb()
        self.broken.clear()
        self.log.append("mend")

    @precondition(lambda self: self.engines == 1)
    @rule(name=st.sampled_from(sorted(HOLDS)))
    def crash_in(self, name: str) -> None:
        """kill -9 while a certain request is under way, if the run comes there soon."""
        server, hold = HOLDS[name]
        url = self.theatre.faults(server)
        self.theatre.http.post(url, json={"caller": self.caller, **hold}).raise_for_status()
        end = time.monotonic() + 2.0
        held = False
        while not held and time.monotonic() < end:
            rules = self.theatre.http.get(url).json()["faults"]
            held = any(each["caller"] == self.caller and each["fired"] and _is(each, hold) for each in rules)
            time.sleep(0.02)
        self.engines = self._do("kill")["engines"]
        self.log.append(f"crash in {name}{'' if held else ' (not reached)'}")
        self.broken.add(name)
        self.mend()  # of the hold, and whatever else

    @precondition(lambda self: self.known)
    @rule()
    def cancel(self) -> None:
        newest = self.known[-1]
        told = self._do("cancel", run_id=newest.run_id)
        newest.cancelled = newest.cancelled or told["asked"]
        self.log.append(f"cancel {newest.run_id}: {told}")

    @precondition(lambda self: self.known)
    @rule()
    def retry(self) -> None:
        """Try the failed rows again: a new run when there are any and the run has ended, else a refusal in words."""
        newest = self.known[-1]
        told = self._do("retry", run_id=newest.run_id)
        self.log.append(f"retry {newest.run_id}: {told}")
        if told["run_id"]:
            assert self._look() != "going" or told["run_id"] != newest.run_id
            assert _attempt(told["run_id"]) == len(self.known), self.log
            self.known.append(Known(told["run_id"]))
            self._disturb()
        else:
            assert told["refused"] in ("conflict", "not_found", "nothing_failed"), self.log

    @rule(seconds=st.sampled_from([0.2, 1.0, 3.0]))
    def wait(self, seconds: float) -> None:
        """Let it work for a while: what is tested is what happens in time."""
        time.sleep(seconds)
        self.log.append(f"wait {seconds}")

    def _disturb(self) -> None:
        if self.broken:
            for known in self.known:
                known.disturbed = known.disturbed or not known.ended

    # -- what must be true --------------------------------------------------------------------------------------------

    def _book(self, known: Known) -> Book:
        return read_book(self.quiet, known.run_id, self.scene["model_run_id"])

    def _look(self) -> str:
        """Of the newest run: ``going``, ``ended``, or ``unclear``: its end is being written down."""
        if not self.known:
            return "none"
        known = self.known[-1]
        status = self._book(known).status
        if status is None or not status.state.ended:
            return "going"
        # The status file is the run's own last deed; the engine's database knows of the end a moment later.
        ended_at = datetime.fromisoformat(status.ended_at or status.updated_at)
        return "ended" if (datetime.now(UTC) - ended_at).total_seconds() > _SETTLED_S else "unclear"

    @invariant()
    def runs_are_true(self) -> None:
        for known in self.known:
            book = self._book(known)
            status = book.status
            if known.ended:
                assert status is not None
                assert (status.state.value, status.counts) == (known.ended, known.counts), (known, status, self.log)
            ids = Counter(outcome.data_row_id for outcome in book.outcomes)
            assert not ids or max(ids.values()) == 1, self.log
            assert set(ids) <= set(self.scene["numbers"]), self.log
            names = Counter(name for name, _, _ in book.jobs)
            assert not names or max(names.values()) == 1, (book.jobs, self.log)
            if known is self.known[-1]:
                self._held(book)

    def _held(self, book: Book) -> None:
        for row_id, uuids in book.held.items():
            wanted = boxes_on(self.scene["numbers"][row_id])
            assert len(uuids) <= wanted, f"Labelbox holds {len(uuids)} of {wanted} predictions of a row: {self.log}"

    def _all_end(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while True:
            going = []
            for known in self.known:
                status = self._book(known).status
                if status is None or not status.state.ended:
                    going.append(known.run_id)
                else:
                    known.ended, known.counts = status.state.value, status.counts
            if not going:
                return
            assert time.monotonic() < end, f"{going} do not end: {self.log}"
            time.sleep(0.2)

    def teardown(self) -> None:
        failed = True
        try:
            if self.scene:
                self.broken.add("whatever is held")
                self.mend()
                if not self.engines:
                    self.engine()
                self._all_end(150.0)
                for known in self.known:
                    self._judge(known)
                self._once_more()
            failed = False
        finally:
            if failed:
                self._tell()
            while self.engines:
                self.engines = self._do("kill")["engines"]

    def _tell(self) -> None:
        """The story so far, for whoever reads the failure."""
        print("\n".join(["-- what was done:", *self.log]))
        for path in sorted(self.folder.glob("engine-*.log")):
            print(f"-- {path.name}:", path.read_text()[-8000:], sep="\n")

    def _judge(self, known: Known) -> None:
        book = self._book(known)
        counts = Counts.of(book.outcomes)
        assert counts == known.counts, (known, self.log)
        if known.ended == "COMPLETE" or not (known.disturbed or known.cancelled):
            assert known.ended == "COMPLETE", (known, book.status, self.log)
            assert counts.exported == ROWS, (known, self.log)
        else:
            assert known.ended == "FAILED" if not known.cancelled else known.ended in ("FAILED", "CANCELLED"), known
            assert book.status is not None
            assert book.status.message, (known, self.log)
        for outcome in book.outcomes:
            if outcome.status == "failed":
                assert known.disturbed, (outcome, self.log)
                assert outcome.message, outcome
                assert "fault of ours" not in outcome.message, outcome
            if outcome.status == "skipped":
                assert known.cancelled, (outcome, self.log)

    def _once_more(self) -> None:
        """The button, once more: what was left undone is done, and only that."""
        time.sleep(_SETTLED_S)
        self.press(1)
        self.log.append("once more")
        self._all_end(90.0)
        book = self._book(self.known[-1])
        assert self.known[-1].ended == "COMPLETE", (book.status, self.log)
        for outcome in book.outcomes:
            wanted = boxes_on(self.scene["numbers"][outcome.data_row_id])
            assert (outcome.status, outcome.annotations) == ("predicted" if wanted else "empty", wanted), self.log
            assert len(book.held.get(outcome.data_row_id, ())) == wanted, (outcome, self.log)


def _attempt(run_id: str) -> int:
    return int(run_id.rpartition("-")[2])


def _is(rule_: dict[str, Any], hold: dict[str, Any]) -> bool:
    return all(rule_[name] == value for name, value in hold.items())


@pytest.mark.timeout(1200)
def test_whatever_happens_to_runs(theatre: Theatre) -> None:
    Runs.theatre = theatre
    run_state_machine_as_test(
        Runs,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize="VMI_TEST_CHAOS_EXAMPLES" not in os.environ,
            # What happens depends on time too, so that a shorter story may be another one.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )
