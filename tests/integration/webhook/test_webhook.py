from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from vertex_model_inference.errors import ConflictError, VmiError
from vertex_model_inference.models import ModelOption
from vertex_model_inference.runs.started import Started
from vertex_model_inference.sandbox.child import run_in_thread
from vertex_model_inference.settings import Settings, load
from vertex_model_inference.vertex.catalog import Catalog
from vertex_model_inference.webhook.app import create_app
from vertex_model_inference.webhook.signature import HEADER, sign

SECRET = "the secret"
CALL = {"modelId": "m", "modelRunId": "cl-run_1", "modelType": "Echo", "more": {"ignored": True}}


class Recorder:
    """Runs that are only noted, in place of the engine: what is tested here is what reaches it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str | None]] = []
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def start_run(self, model_run_id: str, option: ModelOption, *, model_id: str | None = None) -> Started:
        self.gate.wait(30)
        if self.error is not None:
            raise self.error
        call = (model_run_id, option.name, model_id)
        self.calls.append(call)
        return Started(f"run-of-{model_run_id}", joined=self.calls.count(call) > 1)


class Server(NamedTuple):
    url: str
    runs: Recorder
    client: httpx2.Client


async def exists(model_run_id: str) -> bool | None:
    return {"missing": False, "silent": None}.get(model_run_id, True)


def settings_in(folder: Path, **more: str) -> Settings:
    (folder / "vmi.toml").write_text('[models."Echo"]\ncontainer = "http://127.0.0.1:9/predict"\n')
    return load({"LABELBOX_API_KEY": "key", "VMI_DATA_DIR": str(folder), **more}, folder)


def serve(settings: Settings) -> Iterator[Server]:
    runs = Recorder()
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    app = create_app(settings, Catalog.of(settings), runs, exists)
    with run_in_thread(app, sock), httpx2.Client(base_url=url, timeout=30) as client:
        yield Server(url, runs, client)
    sock.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    yield from serve(settings_in(tmp_path, VMI_WEBHOOK_SECRET=SECRET))


@pytest.fixture
def open_server(tmp_path: Path) -> Iterator[Server]:
    yield from serve(settings_in(tmp_path))


def post(server: Server, body: bytes, path: str = "/model_run", header: str | None = None) -> httpx2.Response:
    headers = {HEADER: sign(SECRET, body) if header is None else header, "Content-Type": "application/json"}
    return server.client.post(path, content=body, headers=headers)


def refused(response: httpx2.Response, status: int, code: str) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert error["code"] == code
    assert error["message"].endswith(".")
    assert "Traceback" not in response.text
    return str(error["message"])


@pytest.mark.parametrize("path", ["/models", "//models", "/models/", "//models//"])
def test_the_menu(server: Server, path: str) -> None:
    response = httpx2.get(f"{server.url}{path}", headers={HEADER: sign(SECRET, b"")})
    assert response.status_code == 200
    assert response.json() == {"Echo": {}}


@pytest.mark.parametrize("path", ["/model_run", "//model_run", "/model_run/"])
def test_a_call_starts_a_run_and_again_joins_it(server: Server, path: str) -> None:
    body = json.dumps(CALL).encode()
    headers = {HEADER: sign(SECRET, body)}
    first = httpx2.post(f"{server.url}{path}", content=body, headers=headers)
    again = httpx2.post(f"{server.url}{path}", content=body, headers=headers)
    assert (first.status_code, first.json()) == (200, {"runId": "run-of-cl-run_1", "joined": False})
    assert again.json()["joined"] is True
    assert server.runs.calls == [("cl-run_1", "Echo", "m")] * 2


def test_a_burst_of_the_same_call_starts_one_run(server: Server) -> None:
    body = json.dumps(CALL).encode()
    other = json.dumps({**CALL, "modelRunId": "other"}).encode()
    server.runs.gate.clear()
    with ThreadPoolExecutor(10) as pool:
        answers = [pool.submit(post, server, body) for _ in range(8)] + [pool.submit(post, server, other)]
        # While the engine is busy, the server still answers others.
        assert server.client.get("/healthz").status_code == 200
        server.runs.gate.set()
        joined = [answer.result(30).json() for answer in answers]
    assert {each["runId"] for each in joined} == {"run-of-cl-run_1", "run-of-other"}
    assert [each["joined"] for each in joined].count(False) == 2
    assert set(server.runs.calls) == {("cl-run_1", "Echo", "m"), ("other", "Echo", "m")}


def test_without_a_secret_nothing_need_be_signed(open_server: Server) -> None:
    assert open_server.client.get("/models").json() == {"Echo": {}}
    assert open_server.client.post("/model_run", json=CALL).status_code == 200
    assert post(open_server, json.dumps(CALL).encode(), header="sha1=whatever").status_code == 200


@pytest.mark.parametrize("header", ["", "sha1=", "sha1=00", sign("other", b""), sign(SECRET, b" "), "Basic x"])
def test_a_wrong_signature_is_401(server: Server, header: str) -> None:
    refused(post(server, json.dumps(CALL).encode(), header=header), 401, "signature")
    refused(server.client.get("/models", headers={HEADER: header}), 401, "signature")
    assert server.runs.calls == []


def test_no_signature_is_401_and_says_what_to_do(server: Server) -> None:
    response = server.client.get("/models")
    assert "missing" in refused(response, 401, "signature")
    assert "VMI_WEBHOOK_SECRET" in response.json()["error"]["hint"]
    refused(server.client.post("/model_run", json=CALL), 401, "signature")


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b"", "not_json", "JSON"),
        (b"modelRunId=1", "not_json", "JSON"),
        (b"\xff\xfe", "not_json", "JSON"),
        (b"[" * 50_000, "not_json", "JSON"),
        (b"[]", "not_object", "object"),
        (b"null", "not_object", "object"),
        (b"{}", "missing_key", "modelRunId"),
        (b'{"modelRunId": "x"}', "missing_key", "modelType"),
        (b'{"modelRunId": 7, "modelType": "Echo"}', "wrong_type", "a number"),
        (b'{"modelRunId": null, "modelType": "Echo"}', "wrong_type", "null"),
        (b'{"modelRunId": "", "modelType": "Echo"}', "wrong_type", "empty"),
        (b'{"modelRunId": "../../etc", "modelType": "Echo"}', "wrong_type", "form of a Labelbox id"),
        (b'{"modelRunId": "x", "modelType": ["Echo"]}', "wrong_type", "an array"),
        (b'{"modelRunId": "x", "modelType": "Echo", "modelId": {}}', "wrong_type", "modelId"),
    ],
)
def test_bad_bodies_are_400(server: Server, body: bytes, code: str, words: str) -> None:
    assert words in refused(post(server, body), 400, code)


def test_an_unknown_option_is_422_with_the_known_ones(server: Server) -> None:
    body = json.dumps({**CALL, "modelType": "Ecco"}).encode()
    response = post(server, body)
    assert "'Ecco'" in refused(response, 422, "unknown_option")
    assert "'Echo'" in response.json()["error"]["hint"]
    assert response.json()["error"]["options"] == ["Echo"]


def test_an_unknown_model_run_is_404_and_a_silent_labelbox_does_not_stop_a_run(server: Server) -> None:
    body = json.dumps({**CALL, "modelRunId": "missing"}).encode()
    assert "missing" in refused(post(server, body), 404, "unknown_model_run")
    assert post(server, json.dumps({**CALL, "modelRunId": "silent"}).encode()).status_code == 200
    assert server.runs.calls == [("silent", "Echo", "m")]


def test_other_methods_and_paths(server: Server) -> None:
    response = server.client.get("/model_run")
    refused(response, 405, "method")
    assert response.headers["allow"] == "POST"
    refused(server.client.post("/models"), 405, "method")
    refused(server.client.get("/nowhere"), 404, "not_found")
    assert server.client.get("/healthz").json()["status"] == "ok"


def test_ten_megabytes_are_413_before_they_are_read(server: Server) -> None:
    refused(post(server, b"x" * 10_000_000), 413, "too_large")

    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 100_000

    try:
        response = server.client.post("/model_run", content=endless(), headers={HEADER: "sha1=0"})
    except httpx2.WriteError:
        return  # the server has answered and hung up while we were still sending
    refused(response, 413, "too_large")


def test_a_false_content_length_gets_413_without_a_body(server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as sock:
        sock.sendall(b"POST /model_run HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n{}")
        answer = sock.recv(1 << 16)
    assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ConflictError("Another process has it."), 409, "conflict"),
        (VmiError("Not now.", code="engine_starting", retryable=True), 503, "engine_starting"),
        (VmiError("Never.", code="engine"), 500, "engine"),
    ],
)
def test_an_engine_that_cannot_says_so(server: Server, error: VmiError, status: int, code: str) -> None:
    server.runs.error = error
    assert refused(post(server, json.dumps(CALL).encode()), status, code) == error.message


def test_a_bug_leaks_nothing(server: Server) -> None:
    server.runs.error = ValueError("a secret detail")
    response = post(server, json.dumps(CALL).encode())
    refused(response, 500, "internal")
    assert "secret detail" not in response.text
    server.runs.error = None
    assert post(server, json.dumps(CALL).encode()).status_code == 200


def test_names_of_any_script_come_through(server: Server) -> None:
    body: Any = json.dumps({**CALL, "modelType": "模型 ü \u2028"}, ensure_ascii=False).encode()
    assert "模型" in refused(post(server, body), 422, "unknown_option")
