"""The four Cloud Functions, each in a functions-framework process of its own, as they are deployed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import orjson
import pytest
from labelbox import Client
from tests.recording import Recorder, recorder

import vertex_model_inference.functions
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
from vertex_model_inference.storage.store import Store
from vertex_model_inference.webhook.signature import HEADER, sign

pytestmark = pytest.mark.xdist_group("functions")

ROWS = 60
SECRET = "the webhook's secret"
API_KEY = "lb-key-that-must-not-travel"


class Chain(NamedTuple):
    """The functions' addresses, each behind a recorder."""

    config: SandboxConfig
    seeded: Seeded
    store: Store
    functions: dict[str, Recorder]
    http: httpx2.Client

    def call(self, function: str, body: bytes, *, secret: str = SECRET) -> httpx2.Response:
        headers = {HEADER: sign(secret, body), "Content-Type": "application/json"}
        return self.http.post(self.functions[function].url, content=body, headers=headers)

    def model_run(self, model_run_id: str, model_type: str | None = None) -> httpx2.Response:
        """As Labelbox calls it."""
        return self.call("model_run", self.body(model_run_id, model_type))

    def body(self, model_run_id: str, model_type: str | None = None) -> bytes:
        name = self.seeded.display_name if model_type is None else model_type
        return orjson.dumps({"modelId": self.seeded.model_id, "modelRunId": model_run_id, "modelType": name})

    def ended(self, run_id: str) -> RunStatus:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            status = read_status(self.store, run_id)
            if status is not None and status.state.ended:
                return status
            time.sleep(0.1)
        pytest.fail(f"{run_id} did not end: {status}")

    def run_ids(self, model_run_id: str) -> list[str]:
        return [run_id for run_id in self.store.folders("runs") if run_id.startswith(model_run_id)]

    def jobs(self, run_id: str) -> list[Any]:
        found = self.http.get(f"{self.config.vertex_url}/_sandbox/jobs").json()["jobs"]
        return [job for job in found if run_id in job["displayName"]]

    def in_labelbox(self, model_run_id: str) -> Any:
        return self.http.get(f"{self.config.labelbox_url}/_sandbox/model_runs/{model_run_id}").json()


def _free_port() -> int:
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _start(target: str, environment: dict[str, str], folder: Path, stack: ExitStack) -> str:
    port = _free_port()
    home = folder / target
    home.mkdir()
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "functions_framework", "--source", vertex_model_inference.functions.__file__),
                *("--target", target, "--host", "127.0.0.1", "--port", str(port)),
            ],
            env={**os.environ, **environment},
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    stack.callback(_stop, process)
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx2.put(url, trust_env=False, timeout=10)
            return url
        except httpx2.HTTPError:
            assert process.poll() is None, (home / "log").read_text()
            assert time.monotonic() < deadline, (home / "log").read_text()
            time.sleep(0.1)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    folder = tmp_path_factory.mktemp("functions")
    with ExitStack() as stack:
        config = stack.enter_context(running())
        seeded = seed(material("digits"), Target.of(config.environment()), rows=ROWS)
        sandbox = config.environment()
        environment = {
            "lb_api_key": API_KEY,
            "gcs_bucket": sandbox["VMI_BUCKET"],
            "gcs_region": sandbox["VMI_REGION"],
            "google_project": sandbox["GOOGLE_CLOUD_PROJECT"],
            "VMI_WEBHOOK_SECRET": SECRET,
            "VMI_SHARD_ROWS": "25",
            **{name: sandbox[name] for name in ("VMI_LABELBOX_URL", "VMI_STORAGE_URL", "VMI_VERTEX_URL")},
            **{name: sandbox[name] for name in ("VMI_GOOGLE_TOKEN", "NO_GCE_CHECK")},
        }
        functions: dict[str, Recorder] = {}
        nexts: dict[str, str] = {}
        for target, tells in (
            ("inference_function", "inference_url"),
            ("etl_function", "etl_url"),
            ("model_run", ""),
            ("models", ""),
        ):
            url = _start(target, {**environment, **nexts}, folder, stack)
            functions[target] = stack.enter_context(recorder(url))
            if tells:
                nexts = {tells: functions[target].url}
        http = stack.enter_context(httpx2.Client(timeout=60, trust_env=False))
        yield Chain(config, seeded, open_artifacts(load(sandbox, folder)), functions, http)


@pytest.fixture
def model_run_id(chain: Chain, request: pytest.FixtureRequest) -> str:
    client: Any = Client(
        api_key="other-key",
        endpoint=f"{chain.config.labelbox_url}/graphql",
        rest_endpoint=f"{chain.config.labelbox_url}/api/v1",
        enable_experimental=True,
    )
    run = client.get_model(chain.seeded.model_id).create_model_run(request.node.name)
    run.upsert_data_rows(global_keys=[row.key for row in material("digits").rows()[:ROWS]])
    return str(run.uid)


def test_the_chain_does_the_job(chain: Chain, model_run_id: str) -> None:
    options = chain.http.get(chain.functions["models"].url, headers={HEADER: sign(SECRET, b"")})
    assert (options.status_code, options.json()) == (200, {chain.seeded.display_name: {}})
    answer = chain.model_run(model_run_id)
    assert (answer.status_code, answer.json()) == (200, {"modelRunId": model_run_id, "accepted": True})

    deadline = time.monotonic() + 30
    while not chain.run_ids(model_run_id) and time.monotonic() < deadline:
        time.sleep(0.1)
    [run_id] = chain.run_ids(model_run_id)
    status = chain.ended(run_id)
    assert (status.state, status.counts.predicted, status.counts.exported) == (RunState.COMPLETE, ROWS, ROWS)
    assert {step: progress.done for step, progress in status.steps.items()} == dict.fromkeys(status.steps, ROWS)
    assert (status.rows, status.export_complete) == (ROWS, True)
    outcomes = list(outcomes_of(chain.store, run_id))
    assert {outcome.status for outcome in outcomes} == {OutcomeStatus.PREDICTED}
    assert len(outcomes) == len({outcome.data_row_id for outcome in outcomes}) == ROWS
    assert sorted(job["sent"] for job in chain.jobs(run_id)) == [10, ROWS - 10]  # the canary, and all others
    run = chain.in_labelbox(model_run_id)
    assert (run["status"], run["error_message"] or "") == ("COMPLETE", "")
    assert run["counts"]["predictions"] == run["counts"]["predicted_data_rows"] == ROWS

    [infer] = [seen for seen in chain.functions["inference_function"].seen if run_id.encode() in seen.body]
    assert orjson.loads(infer.body) == {"runId": run_id}
    for function in chain.functions.values():
        for seen in function.seen:
            everything = seen.path + seen.headers + seen.body.decode()
            assert API_KEY not in everything
            assert SECRET not in everything
    again = chain.model_run(model_run_id)
    assert again.status_code == 200
    second = f"{run_id.removesuffix('-0')}-1"
    assert chain.ended(second).state is RunState.COMPLETE


def test_posting_at_once_joins(chain: Chain, model_run_id: str) -> None:
    body = chain.body(model_run_id)
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: chain.call("etl_function", body), range(5)))
    assert {answer.status_code for answer in answers} == {200}
    [run_id] = {answer.json()["runId"] for answer in answers}
    assert [answer.json()["joined"] for answer in answers].count(False) == 1
    assert chain.ended(run_id).counts.predicted == ROWS
    assert sorted(job["sent"] for job in chain.jobs(run_id)) == [10, ROWS - 10]  # the canary, and all others
    assert chain.in_labelbox(model_run_id)["counts"]["predictions"] == ROWS


@pytest.mark.parametrize("function", ["model_run", "etl_function", "inference_function"])
@pytest.mark.parametrize("secret", ["another", None])
def test_bad_signature(chain: Chain, function: str, secret: str | None) -> None:
    body = chain.body("cl-some-run")
    if secret is None:
        answer = chain.http.post(chain.functions[function].url, content=body)
    else:
        answer = chain.call(function, body, secret=secret)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "signature")


def test_the_menu_needs_a_signature_too(chain: Chain) -> None:
    assert chain.http.get(chain.functions["models"].url).status_code == 401
    assert chain.http.post(chain.functions["models"].url, content=b"{}").status_code == 405


@pytest.mark.parametrize("function", ["model_run", "etl_function"])
def test_unknown_model(chain: Chain, function: str, model_run_id: str) -> None:
    answer = chain.call(function, chain.body(model_run_id, "no such model"))
    assert answer.status_code == 422
    assert answer.json()["error"]["options"] == [chain.seeded.display_name]
    assert not chain.run_ids(model_run_id)


def test_unknown_run(chain: Chain) -> None:
    before = len(chain.functions["etl_function"].seen)
    assert chain.model_run("cl0000000000000000000none").status_code == 404
    assert len(chain.functions["etl_function"].seen) == before
    assert chain.call("inference_function", orjson.dumps({"runId": "no-such-run-0"})).status_code == 404


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"{}", b'{"runId": 3}', b'{"runId": "../x"}'])
def test_bad_bodies(chain: Chain, body: bytes) -> None:
    answer = chain.call("inference_function", body)
    assert 400 <= answer.status_code < 500
    assert answer.json()["error"]["message"]
    assert chain.call("model_run", body).status_code == 400
