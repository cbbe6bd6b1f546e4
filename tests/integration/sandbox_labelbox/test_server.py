"""The server itself: keys, limits, faults, restarts, export files, the Train Model button."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import lbox.exceptions
import msgspec
import pytest
from labelbox import StreamType

from vertex_model_inference.sandbox.config import SandboxConfig


def put(config: SandboxConfig, path: str, value: Any) -> httpx2.Response:
    return httpx2.put(f"{config.labelbox_url}/_sandbox/{path}", json=value, trust_env=False)


def test_keys(tmp_path: Path, serve: Any, new_client: Any) -> None:
    with serve(tmp_path, api_key="right") as config:
        assert new_client(config, "right").get_user().email
        with pytest.raises(lbox.exceptions.AuthenticationError):
            new_client(config, "wrong").get_user()
        answer = httpx2.delete(f"{config.labelbox_url}/api/v1/ontologies/x", trust_env=False)
        assert answer.status_code == 401
        assert httpx2.get(f"{config.labelbox_url}/_sandbox/health", trust_env=False).json()["status"] == "ok"


def test_rate_limit(tmp_path: Path, serve: Any, new_client: Any) -> None:
    with serve(tmp_path) as config:
        assert put(config, "settings", {"rate_limit_per_minute": 2}).status_code == 200
        client = new_client(config)
        client.get_user()
        client.get_user()
        with pytest.raises(lbox.exceptions.ApiLimitError, match="You have exceeded"):
            client.get_user()
        answer = httpx2.post(
            f"{config.labelbox_url}/graphql", headers={"Authorization": "Bearer k"}, json={}, trust_env=False
        )
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert put(config, "settings", {"rate_limit_per_minute": None}).status_code == 200
        client.get_user()
        assert put(config, "settings", {"rate_limit_per_minute": 0}).status_code == 400
        assert put(config, "settings", {"rate": 1}).status_code == 400


def test_deprecated_prediction_imports(tmp_path: Path, serve: Any, new_client: Any, new_scene: Any) -> None:
    with serve(tmp_path / "state", prediction_imports="deprecated") as config:
        scene = new_scene(config, new_client(config), tmp_path)
        rows = [{"dataRow": {"globalKey": scene.keys[0]}, "name": "digit", "answer": {"name": "1"}}]
        message = "9 FAILED_PRECONDITION: MEA prediction import has been deprecated"
        with pytest.raises(lbox.exceptions.LabelboxError, match=message):
            scene.run.add_predictions("p", rows)
        assert scene.at_a_glance()["imports"] == []
        assert len(scene.export()) == 11


def test_faults_are_matched_by_operation_also_in_uploads(scene: Any) -> None:
    faults = f"{scene.config.labelbox_url}/_sandbox/faults"
    rule = {"match": "createMEAPredictionImportByFile*", "status": 429, "json": {"message": "You have exceeded it"}}
    rows = [{"dataRow": {"globalKey": scene.keys[0]}, "name": "digit", "answer": {"name": "1"}}]
    try:
        httpx2.post(faults, json=rule, trust_env=False).raise_for_status()
        with pytest.raises(lbox.exceptions.ApiLimitError):
            scene.run.add_predictions("p", rows)
        scene.run.add_predictions("p", rows)
    finally:
        httpx2.delete(faults, trust_env=False)


def test_bad_requests_are_answered_plainly(server: SandboxConfig) -> None:
    headers = {"Authorization": "Bearer k"}
    for content, code in (
        (b"not json", "MALFORMED_REQUEST"),
        (b"[]", "MALFORMED_REQUEST"),
        (b'{"query": 3}', "MALFORMED_REQUEST"),
        (b'{"query": "{user {id}}"}', "GRAPHQL_PARSE_FAILED"),
        (b'{"query": "query FooPyApi {foo}"}', "GRAPHQL_VALIDATION_FAILED"),
        (b'{"query": "query GetModelPyApi {model}", "variables": {"param_0": 3}}', "GRAPHQL_VALIDATION_FAILED"),
    ):
        answer = httpx2.post(f"{server.labelbox_url}/graphql", headers=headers, content=content, trust_env=False)
        assert answer.json()["errors"][0]["extensions"]["code"] == code
    broken = {**headers, "Content-Type": "multipart/form-data; boundary=x"}
    answer = httpx2.post(f"{server.labelbox_url}/graphql", headers=broken, content=b"--y", trust_env=False)
    assert answer.json()["errors"][0]["extensions"]["code"] == "MALFORMED_REQUEST"
    assert httpx2.get(f"{server.labelbox_url}/files/{'c' * 25}/x", trust_env=False).status_code == 404


def test_exports_come_in_several_files(tmp_path: Path, serve: Any, new_client: Any, new_scene: Any) -> None:
    with serve(tmp_path / "state") as config:
        put(config, "settings", {"export_lines_per_file": 3}).raise_for_status()
        scene = new_scene(config, new_client(config), tmp_path)
        task = scene.run.export(params={"predictions": True})
        task.wait_till_done()
        rows = [row.json for row in task.get_buffered_stream()]
        assert {row["data_row"]["global_key"] for row in rows} == {*scene.keys, scene.text_key}
        assert task.get_total_lines(stream_type=StreamType.RESULT) == 11
        texts = [row["data_row"]["row_data"] for row in rows if row["data_row"]["global_key"] == scene.text_key]
        assert texts == ["some text é\u2028ä"]
        query = "query GetExportFileFromOffsetPyApi {x}"
        offset, files = 0, []
        while True:
            variables = {"where": {"id": task.uid}, "streamType": "RESULT", "offset": str(offset)}
            found = scene.client.execute(query, variables)["task"]["exportFileFromOffset"]
            if found is None:
                break
            content = httpx2.get(found["file"], trust_env=False).content
            assert len(content) == int(found["offsets"]["end"]) - int(found["offsets"]["start"]) + 1
            assert content.endswith(b"\n")
            assert content.count(b"\n") == int(found["lines"]["end"]) - int(found["lines"]["start"]) + 1
            files.append(content)
            offset = int(found["offsets"]["end"]) + 1
        assert [content.count(b"\n") for content in files] == [3, 3, 3, 2]
        assert offset == task.get_total_file_size(stream_type=StreamType.RESULT)


# -- kill -9 ----------------------------------------------------------------------------------------------------------
class Child:
    """The server in a process of its own."""

    def __init__(self, config: SandboxConfig, sock: socket.socket) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vertex_model_inference.sandbox.child", "labelbox", str(sock.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[sock.fileno()],
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(msgspec.json.encode(config, enc_hook=str) + b"\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == b"listening\n"

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def reborn(tmp_path: Path) -> Iterator[Any]:
    children: list[Child] = []
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(64)
        config = SandboxConfig(
            state=tmp_path / "state", labelbox_port=sock.getsockname()[1], storage_port=1, vertex_port=1
        )

        def start() -> SandboxConfig:
            if children:
                children.pop().kill()
            children.append(Child(config, sock))
            return config

        yield start
        for child in children:
            child.kill()


@pytest.mark.parametrize("import_seconds", [0, 0.3])
def test_everything_survives_kill_9(
    reborn: Any, tmp_path: Path, new_client: Any, new_scene: Any, wait_for: Any, import_seconds: float
) -> None:
    config = reborn()
    scene = new_scene(config, new_client(config), tmp_path)
    rows = [
        {"uuid": str(uuid.uuid4()), "dataRow": {"globalKey": key}, "name": "digit", "answer": {"name": "1"}}
        for key in scene.keys
        for _ in range(500)
    ]
    put(config, "settings", {"import_seconds": import_seconds}).raise_for_status()
    scene.run.update_status("TRAINING_MODEL", {"a": "b"})
    scene.run.add_predictions("p", rows)
    reborn()  # in the middle of the import
    wait_for(lambda: scene.at_a_glance()["imports"][0]["state"] == "FINISHED")
    seen = scene.at_a_glance()
    assert (seen["imports"][0]["succeeded"], seen["imports"][0]["failed"]) == (len(rows), 0)
    assert seen["counts"]["predictions"] == len(rows)
    assert (seen["status"], seen["metadata"]) == ("TRAINING_MODEL", {"a": "b"})
    found = scene.export(predictions=True)
    assert len(found) == 11
    annotations = scene.run_of(found[scene.keys[0]])["predictions"][0]["annotations"]
    assert len(annotations["classifications"]) == 500


# -- Train Model ------------------------------------------------------------------------------------------------------
@pytest.fixture
def service() -> Iterator[Any]:
    """A training service that notes what it is asked."""
    calls: list[tuple[str, str, str | None, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self, status: int, value: Any) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            calls.append(("GET", self.path, self.headers["X-Hub-Signature"], b""))
            self._answer(200, {"option a": {}})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            calls.append(("POST", self.path, self.headers["X-Hub-Signature"], body))
            refused = json.loads(body)["modelType"] == "refused"
            self._answer(422 if refused else 200, {"error": "no such option"} if refused else {"run": "r"})

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}", calls
        found.shutdown()
        thread.join()


def signature(body: bytes) -> str:
    return "sha1=" + hmac.new(b"secret", body, hashlib.sha1).hexdigest()


def test_train_model(scene: Any, service: Any) -> None:
    url, calls = service
    base = f"{scene.config.labelbox_url}/_sandbox"
    train = f"{base}/model_runs/{scene.run.uid}/train"
    put(scene.config, "webhook", {"url": None, "secret": None})
    assert httpx2.get(f"{base}/train_options", trust_env=False).status_code == 409
    assert put(scene.config, "webhook", {"url": f"{url}/", "secret": "secret"}).json()["url"] == f"{url}/"
    assert httpx2.get(f"{base}/train_options", trust_env=False).json() == {"option a": {}}
    assert httpx2.post(train, json={"modelType": "option a"}, trust_env=False).json() == {"answer": {"run": "r"}}
    assert calls[0] == ("GET", "/models", signature(b""), b"")
    method, path, signed, body = calls[1]
    assert (method, path, signed) == ("POST", "/model_run", signature(body))
    sent = json.loads(body)
    assert sent == {"modelId": scene.model.uid, "modelRunId": scene.run.uid, "modelType": "option a"}
    refused = httpx2.post(train, json={"modelType": "refused"}, trust_env=False)
    assert refused.status_code == 502
    assert refused.json()["answer_status"] == 422
    assert refused.json()["answer"] == {"error": "no such option"}
    for content in (b"not json", b"{}", b'{"modelType": 3}'):
        assert httpx2.post(train, content=content, trust_env=False).status_code == 400
    unknown = f"{base}/model_runs/{'c' * 25}/train"
    assert httpx2.post(unknown, json={"modelType": "x"}, trust_env=False).status_code == 404
    put(scene.config, "webhook", {"url": "http://127.0.0.1:1"})
    dead = httpx2.post(train, json={"modelType": "option a"}, trust_env=False)
    assert dead.status_code == 502
    assert "does not answer" in dead.json()["error"]
    assert put(scene.config, "webhook", {"url": "ftp://x"}).status_code == 400


def test_a_state_can_be_served_on_another_port(tmp_path: Path, serve: Any, new_client: Any, new_scene: Any) -> None:
    with serve(tmp_path / "state") as config:
        ids = new_scene(config, new_client(config), tmp_path).ids
    with serve(tmp_path / "state") as moved:
        assert moved.labelbox_port != config.labelbox_port
        url = new_client(moved).get_data_row(ids[0]).row_data
        assert url.startswith(moved.labelbox_url)
        assert httpx2.get(url, trust_env=False).headers["content-type"] == "image/png"
