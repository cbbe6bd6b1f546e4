"""What was answered survives a restart and kill -9; jobs go on; started containers end with the server."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import orjson
import pytest
from google.cloud import aiplatform_v1 as v1

from vertex_model_inference.sandbox.child import run_in_thread
from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.storage.app import create_app as create_storage

CONTAINER = """
import json, os, socket, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self): self.answer({"pid": os.getpid()})
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        names = ["AIP_STORAGE_URI", "AIP_MODE", "STORAGE_EMULATOR_HOST", "EXTRA"]
        answer = {"pid": os.getpid(), **{name: os.environ.get(name) for name in names}}
        self.answer({"predictions": [answer for _ in body["instances"]]})
at = ("127.0.0.1", int(os.environ["AIP_HTTP_PORT"]))
server = ThreadingHTTPServer(at, Handler, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=int(os.environ["CONTAINER_SOCKET"]))
server.server_activate()
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
server.serve_forever()
"""


def bound() -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    return sock


@contextlib.contextmanager
def vertex_process(config: SandboxConfig, path: str) -> Iterator[subprocess.Popen[bytes]]:
    """The Vertex server in a process of its own, as the launcher starts it."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", config.vertex_port))
        sock.listen()
        child = subprocess.Popen(
            [sys.executable, "-m", "vertex_model_inference.sandbox.child", "vertex", str(sock.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[sock.fileno()],
            env={**os.environ, "PYTHONPATH": path},
        )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(msgspec.json.encode(config, enc_hook=str) + b"\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"listening\n"
        yield child
    finally:
        child.stdin.close()
        child.stdout.close()
        child.wait(20)


@pytest.fixture
def config(tmp_path: Path) -> Iterator[SandboxConfig]:
    with bound() as storage, bound() as vertex:
        vertex_port = vertex.getsockname()[1]
        vertex.close()
        made = SandboxConfig(
            state=tmp_path, labelbox_port=1, storage_port=storage.getsockname()[1], vertex_port=vertex_port
        )
        with run_in_thread(create_storage(made), storage):
            yield made


def until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except FileNotFoundError:
            return
        if stat.rpartition(")")[2].split()[0] == "Z":  # ended; whoever inherits it has not looked yet
            return
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """PYTHONPATH with the package and one more container in it, ``sandbox/told-by-a-test``."""
    import vertex_model_inference

    source = Path(vertex_model_inference.__file__).parent.parent
    extra = tmp_path / "site"
    extra.mkdir()
    (extra / "told_by_a_test.py").write_text(CONTAINER)
    # The package's folder is extended by a .pth-less trick: sitecustomize puts the module under its name.
    (extra / "sitecustomize.py").write_text(
        "import sys, types, importlib\n"
        "import vertex_model_inference.sandbox as s\n"
        "try:\n"
        "    package = importlib.import_module('vertex_model_inference.sandbox.containers')\n"
        "except ModuleNotFoundError:\n"
        "    package = types.ModuleType('vertex_model_inference.sandbox.containers')\n"
        "    package.__path__ = []\n"
        "    sys.modules[package.__name__] = package\n"
        f"package.__path__.append({str(extra)!r})\n"
    )
    return f"{extra}{os.pathsep}{source}"


def test_kill_and_restart(config: SandboxConfig, connect: Any, container: Any, path: str) -> None:
    with vertex_process(config, path) as child, connect(config) as vertex:
        vertex.settings(pending_s=0.02, running_s=0.3, seed=7)
        vertex.mischief(job_display_name="later", stuck="PENDING")
        model = vertex.upload(container.url, "kept", labels={"a": "b"})
        rows = b"".join(orjson.dumps({"id": f"k{i}", "text": "x"}) + b"\n" for i in range(2000))
        uri = vertex.put("in/kill.jsonl", rows)
        key = {"instance_config": {"key_field": "id"}}
        running = vertex.job(model, [uri], **key).name
        stuck = vertex.job(model, [uri], display_name="later", **key).name
        vertex.wait(running, {"RUNNING"})
        vertex.wait(stuck, {"PENDING"})
        child.send_signal(signal.SIGKILL)
        child.wait(10)
    with vertex_process(config, path), connect(config) as vertex:
        assert vertex.models.get_model(name=model).labels == {"a": "b"}
        assert vertex.http.get("/_sandbox/settings").json()["seed"] == 7
        job = vertex.wait(running)
        assert job.state == v1.JobState.JOB_STATE_SUCCEEDED
        keys = [json.loads(line)["key"] for line in vertex.output(job)[0]]
        assert sorted(keys) == sorted(f"k{i}" for i in range(2000))
        known = {item["name"]: item for item in vertex.http.get("/_sandbox/jobs").json()["jobs"]}
        assert known[running]["attempts"] == 2
        assert vertex.jobs.get_batch_prediction_job(name=stuck).state == v1.JobState.JOB_STATE_PENDING
        vertex.jobs.cancel_batch_prediction_job(name=stuck)
        assert vertex.wait(stuck).state == v1.JobState.JOB_STATE_CANCELLED


def test_started_containers(config: SandboxConfig, connect: Any, path: str) -> None:
    pids = []
    with vertex_process(config, path) as child, connect(config) as vertex:
        model = vertex.models.upload_model(
            parent="projects/sandbox/locations/us-central1",
            model={
                "display_name": "started",
                "artifact_uri": "gs://vmi-sandbox/artifact",
                "container_spec": {
                    "image_uri": "sandbox/told-by-a-test",
                    "predict_route": "/p",
                    "health_route": "/h",
                    "env": [{"name": "EXTRA", "value": "more"}],
                },
            },
        ).result(timeout=30)
        uri = vertex.put("in/started.jsonl", b'{"a": 1}\n{"a": 2}\n')
        job = vertex.wait(vertex.job(model.model, [uri]).name)
        predictions = [json.loads(line)["prediction"] for line in vertex.output(job)[0]]
        assert predictions[0] == predictions[1]
        pids.append(predictions[0].pop("pid"))
        assert predictions[0] == {
            "AIP_STORAGE_URI": "gs://vmi-sandbox/artifact",
            "AIP_MODE": "PREDICTION",
            "STORAGE_EMULATOR_HOST": config.storage_url,
            "EXTRA": "more",
        }
        again = vertex.wait(vertex.job(model.model, [uri]).name)
        assert json.loads(vertex.output(again)[0][0])["prediction"]["pid"] == pids[0]  # started once
        child.send_signal(signal.SIGKILL)
        child.wait(10)
    until_gone(pids[0])
    with vertex_process(config, path), connect(config) as vertex:
        job = vertex.wait(vertex.job(model.model, [uri]).name)
        pids.append(json.loads(vertex.output(job)[0][0])["prediction"]["pid"])
        answer = vertex.http.post(
            "/v1/projects/sandbox/locations/us-central1/models:upload",
            json={"model": {"displayName": "x", "containerSpec": {"imageUri": "sandbox/no-such-thing"}}},
        )
        assert answer.status_code == 400
        answer = vertex.http.post(
            "/v1/projects/sandbox/locations/us-central1/models:upload",
            json={"model": {"displayName": "x", "containerSpec": {"imageUri": "http://192.0.2.1:80"}}},
        )
        assert "this machine only" in answer.json()["error"]["message"]
    until_gone(pids[1])


def test_a_container_that_is_not_there(vertex: Any, container: Any) -> None:
    with bound() as sock:
        port = sock.getsockname()[1]
    vertex.settings(container_start_s=0.2)
    try:
        model = vertex.upload(f"http://127.0.0.1:{port}", "nobody")
        uri = vertex.put("in/nobody.jsonl", b'{"a": 1}\n')
        job = vertex.wait(vertex.job(model, [uri]).name)
    finally:
        vertex.settings(container_start_s=90.0)
    assert job.state == v1.JobState.JOB_STATE_FAILED
    assert "Model server never became ready" in job.error.message
    with pytest.raises(httpx2.HTTPStatusError):
        httpx2.get(vertex.config.vertex_url + "/v1/nothing", trust_env=False).raise_for_status()
