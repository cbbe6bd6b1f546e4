from __future__ import annotations

import asyncio
import base64
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from vertex_model_inference.rows import Split
from vertex_model_inference.sandbox.child import run_in_thread
from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.containers.serve import Forms, InstanceError, Load, Predict, create_app
from vertex_model_inference.sandbox.datasets.bucket import Bucket
from vertex_model_inference.sandbox.datasets.digits import Digits
from vertex_model_inference.sandbox.datasets.documents import VIEWS, Documents
from vertex_model_inference.sandbox.datasets.reviews import Reviews
from vertex_model_inference.sandbox.datasets.target import Target
from vertex_model_inference.sandbox.storage.app import create_app as create_storage
from vertex_model_inference.sandbox.vertex.containers import Containers


def _socket() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


def _until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@contextmanager
def _served(load: Load, **options: Any) -> Iterator[str]:
    with _socket() as sock, run_in_thread(create_app(load, "gs://b/m", **options), sock):
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


def _doubled(uri: str) -> Predict:
    assert uri == "gs://b/m"
    return lambda instances, _: [2 * instance for instance in instances]


def _get(url: str) -> httpx2.Response:
    return httpx2.get(url, trust_env=False)


def _healthy(url: str) -> bool:
    try:
        return _get(url).status_code == 200
    except httpx2.TransportError:
        return False


def test_the_contract() -> None:
    with _served(_doubled, predict_route="/v1/p", health_route="/alive") as url:
        _until(lambda: _healthy(f"{url}/alive"), "the model was not loaded")
        answer = httpx2.post(f"{url}/v1/p", json={"instances": [1, 2]}, trust_env=False)
        assert (answer.status_code, answer.json()) == (200, {"predictions": [2, 4]})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not JSON"),
        (b"[]", "must be an object"),
        (b'{"instances": {}}', "must be an object"),
        (b'{"instances": []}', "empty"),
        (b'{"instances": [1], "parameters": 5}', "parameters"),
        (b'{"instances": [1], "parameters": {"no": 1}}', "no such parameter"),
    ],
)
def test_a_bad_request_is_refused_with_a_reason(body: bytes, message: str) -> None:
    def load(_: str) -> Predict:
        def predict(instances: list[Any], parameters: dict[str, Any] | None) -> list[Any]:
            if parameters:
                raise InstanceError("There is no such parameter.")
            return instances

        return predict

    with _served(load) as url:
        _until(lambda: _healthy(f"{url}/health"), "the model was not loaded")
        answer = httpx2.post(f"{url}/predict", content=body, trust_env=False)
        assert answer.status_code == 400
        assert message in answer.json()["error"]


def test_not_healthy_before_the_model_is_loaded_nor_when_it_cannot_be() -> None:
    def load(_: str) -> Predict:
        raise ValueError("the file is no model")

    with _served(load) as url:
        _until(lambda: "failed" in _get(f"{url}/health").text, "the failure was not told")
        health = _get(f"{url}/health")
        assert health.status_code == 503
        assert "the file is no model" in health.json()["message"]
        answer = httpx2.post(f"{url}/predict", json={"instances": [1]}, trust_env=False)
        assert answer.status_code == 503
        assert "the file is no model" in answer.json()["error"]


def test_a_model_that_loses_rows_is_an_error() -> None:
    with _served(lambda _: lambda instances, _: instances[1:]) as url:
        _until(lambda: _healthy(f"{url}/health"), "the model was not loaded")
        answer = httpx2.post(f"{url}/predict", json={"instances": [1, 2]}, trust_env=False)
        assert (answer.status_code, answer.json()["error"]) == (500, "The model gave 1 predictions for 2 instances.")


def test_other_forms_are_below_the_predict_route() -> None:
    def load(_: str) -> Forms:
        return Forms(lambda instances, _: instances, {"a:b": lambda instances, _: [str(each) for each in instances]})

    with _served(load, predict_route="/predict") as url:
        _until(lambda: _healthy(f"{url}/health"), "the model was not loaded")

        def ask(route: str) -> httpx2.Response:
            return httpx2.post(f"{url}{route}", json={"instances": [1]}, trust_env=False)

        assert ask("/predict").json() == {"predictions": [1]}
        assert ask("/predict/a:b").json() == {"predictions": ["1"]}
        refused = ask("/predict/nothing")
        assert refused.status_code == 404
        assert "'nothing'; the forms there are: a:b" in refused.json()["error"]


def test_models_of_one_image_share_a_container_that_nobody_else_can_be_mistaken_for() -> None:
    async def ask() -> list[Any]:
        containers = Containers("http://127.0.0.1:1")
        try:
            answers = []
            for route in ("/predict", "/predict/spacy-entities", "/predict/automl-text-extraction"):
                spec = {"imageUri": "sandbox/entities", "predictRoute": route}
                container = await containers.of({"name": "m", "containerSpec": spec}, start_s=60)
                answers.append(await container.predict([{"text": "Ada lived in London."}], None))
            assert len(containers._running) == 1
            return answers
        finally:
            await containers.close()

    usual, same, extraction = asyncio.run(ask())
    assert usual == same
    assert usual[0]["text"] == "Ada lived in London."
    assert len(extraction[0]["displayNames"]) == len(usual[0]["ents"])


@contextmanager
def _container(name: str, artifact_uri: str = "") -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with _socket() as sock:
        port = sock.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", f"vertex_model_inference.sandbox.containers.{name}"],
        stdin=subprocess.PIPE,
        env={
            **os.environ,
            "AIP_HTTP_PORT": str(port),
            "AIP_HEALTH_ROUTE": "/health",
            "AIP_PREDICT_ROUTE": "/predict",
            "AIP_STORAGE_URI": artifact_uri,
        },
    )
    assert process.stdin is not None
    try:
        url = f"http://127.0.0.1:{port}"
        _until(lambda: process.poll() is not None or _healthy(f"{url}/health"), f"{name} did not become healthy")
        assert process.poll() is None, f"{name} ended with {process.returncode}"
        yield url, process
    finally:
        process.stdin.close()
        process.wait(20)


def test_ocr_reads_the_page_and_finds_nothing_where_nothing_is_written() -> None:
    rows = {row.key.removeprefix("documents-"): row.data or b"" for row in Documents().rows()}
    assert rows.keys() == VIEWS.keys()
    with _container("ocr") as (url, _):
        instances: list[dict[str, Any]] = [
            {"image": {"b64": base64.b64encode(rows[name]).decode()}} for name in ("lines-4-5", "photograph-coffee")
        ]
        body = {"instances": [*instances, {"image": {"b64": "AAAA"}}]}
        answer = httpx2.post(f"{url}/predict", json=body, timeout=60, trust_env=False)
    assert answer.status_code == 200
    lines, nothing, error = answer.json()["predictions"]
    assert nothing == []
    assert error["error"]["code"] == 3
    text = " ".join(line["text"] for line in lines).replace(" ", "")
    assert "themarkersarefoundatthetwoextreme" in text
    for line in lines:
        assert line["label"] == "text line"
        assert 0.5 <= line["score"] <= 1
        box = line["box"]
        assert 0 <= box["xmin"] < box["xmax"] <= 768
        assert 0 <= box["ymin"] < box["ymax"] <= 84


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """The sandbox's storage, with its bucket; containers find it in their environment."""
    with _socket() as sock:
        port = sock.getsockname()[1]
        config = SandboxConfig(state=tmp_path, labelbox_port=1, storage_port=port, vertex_port=1)
        (tmp_path / "storage").mkdir()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", config.storage_url)
        with run_in_thread(create_storage(config), sock):
            yield Bucket(Target.of(config.environment()))


def test_the_image_classifier_reads_pictures_and_model_from_storage(bucket: Bucket) -> None:
    material = Digits()
    rows = [row for row in material.rows() if row.split is Split.TEST]
    bucket.put({f"{row.key}.png": (row.data or b"", "image/png") for row in rows})
    bucket.put({"m/model.npz": (material.model().artifact or b"", "application/octet-stream")})
    with _container("automl_image_classification", bucket.uri("m")) as (url, _):
        instances = [{"content": bucket.uri(f"{row.key}.png"), "mimeType": "image/png"} for row in rows]
        body = {"instances": [*instances, {"content": bucket.uri("missing.png")}], "parameters": {"maxPredictions": 1}}
        answer = httpx2.post(f"{url}/predict", json=body, timeout=60, trust_env=False)
    *predictions, missing = answer.json()["predictions"]
    assert missing == {"error": {"code": 5, "message": f"{bucket.uri('missing.png')} does not exist."}}
    right = [p["displayNames"] == [row.answer] for p, row in zip(predictions, rows, strict=True)]
    assert sum(right) / len(right) >= 0.97


def test_the_text_classifier_reads_text_inline_and_from_storage(bucket: Bucket) -> None:
    bucket.put({"m/model.npz": (Reviews().model().artifact or b"", "application/octet-stream")})
    text = "A dull, lifeless and painfully bad film."
    bucket.put({"a.txt": (text.encode(), "text/plain"), "b.txt": (b"\xff\xfe\xfa", "text/plain")})
    with _container("text_classifier", bucket.uri("m")) as (url, _):
        instances = [{"text": text}, {"content": bucket.uri("a.txt")}, {"content": bucket.uri("b.txt")}]
        answer = httpx2.post(f"{url}/predict", json={"instances": instances}, timeout=60, trust_env=False)
    inline, stored, broken = answer.json()["predictions"]
    assert inline == stored
    assert list(inline) == ["displayNames", "confidences"]
    assert inline["displayNames"][0] == "negative"
    assert "not UTF-8" in broken["error"]["message"]


def test_a_container_ends_with_its_stdin() -> None:
    with _container("ocr") as (_, process):
        assert process.stdin is not None
        process.stdin.close()
        process.wait(20)
        assert process.returncode == 0


PARENT = """
import subprocess, sys
container = [sys.executable, "-m", "vertex_model_inference.sandbox.containers.ocr"]
subprocess.Popen(container, stdin=subprocess.PIPE).wait()
"""


def test_a_container_ends_when_whoever_started_it_is_killed() -> None:
    with _socket() as sock:
        port = sock.getsockname()[1]
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            PARENT,
        ],
        env={**os.environ, "AIP_HTTP_PORT": str(port)},
    )
    try:
        _until(lambda: _healthy(f"http://127.0.0.1:{port}/health"), "the container did not become healthy")
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait(20)
    _until(lambda: not _healthy(f"http://127.0.0.1:{port}/health"), "the container outlived its parent", 20)
