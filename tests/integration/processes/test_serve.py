"""``vmi serve`` as a process: what it refuses while it works, and how it begins and ends."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import labelbox as lb
import pytest
from tests.integration.fates.lab import Container, Lab, Scene, eventually, radio
from tests.integration.fates.serving import Server, serving, vmi


@pytest.fixture(scope="module")
def toml(container: Container) -> str:
    return f'[models."mood"]\ncontainer = "{container.url}/predict"\ntask = "text-classification"\n'


@pytest.fixture(scope="module")
def scene(lab: Lab) -> Scene:
    rows: dict[str, str | dict[str, Any]] = {f"serve-{n}": f"good text {n}" for n in range(5)}
    return lab.scene(rows, classifications=[radio("mood", "good", "bad")], media_type=lb.MediaType.Text)


@pytest.fixture(scope="module")
def server(lab: Lab, toml: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("serve")
    (folder / "vmi.toml").write_text(toml)
    with serving(folder, lab.config.environment()) as started:
        eventually(lambda: "mood" in started.menu())
        yield started
    assert started.process.returncode == 0


def refused(answer: Any, status: int) -> str:
    """The refusal's one sentence."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert "Traceback" not in answer.text
    assert error["message"].endswith(".")
    assert "\n" not in error["message"]
    return str(error["message"])


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "not JSON"),
        (b"{", 400, "not JSON"),
        (b"\xff", 400, "not JSON"),
        (b'["a list"]', 400, "JSON object"),
        (b'{"modelType": "mood"}', 400, "modelRunId is missing"),
        (b'{"modelRunId": "abc"}', 400, "modelType is missing"),
        (b'{"modelRunId": 5, "modelType": "mood"}', 400, "must be a string, not a number"),
        (b'{"modelRunId": "abc", "modelType": {}}', 400, "must be a string, not an object"),
        (b'{"modelRunId": "a b", "modelType": "mood"}', 400, "Labelbox id"),
        (b'{"modelRunId": "abc", "modelType": "nobody"}', 422, "no model option 'nobody'"),
        (b'{"modelRunId": "cl00000000000000000000000", "modelType": "mood"}', 404, "knows no model run"),
    ],
)
def test_a_signed_call_that_cannot_be_served(server: Server, body: bytes, status: int, words: str) -> None:
    assert words in refused(server.http.post("/model_run", content=body, headers=server.signed(body)), status)


def test_calls_that_labelbox_did_not_make(server: Server, scene: Scene) -> None:
    body = json.dumps({"modelRunId": scene.run.uid, "modelType": "mood"}).encode()
    assert "missing" in refused(server.http.post("/model_run", content=body), 401)
    for header in ("", "sha1=", server.signed(b"something else")["X-Hub-Signature"], "nonsense"):
        refused(server.http.post("/model_run", content=body, headers={"X-Hub-Signature": header}), 401)
    refused(server.http.get("/models"), 401)
    assert scene.glance()["status"] in (None, "EXPORTING_DATA"), "no run was begun"
    assert scene.glance()["imports"] == []


def test_ten_megabytes(server: Server) -> None:
    body = b'{"modelRunId": "' + b"x" * 10_000_000 + b'"}'
    assert "larger than" in refused(server.http.post("/model_run", content=body, headers=server.signed(body)), 413)
    assert server.http.get("/healthz").json()["status"] == "ok"


def test_after_all_that_it_still_works(server: Server, scene: Scene) -> None:
    answer = server.press(scene.model.uid, scene.run.uid, "mood")
    assert answer.status_code == 200, answer.text
    eventually(lambda: scene.glance()["status"] == "COMPLETE")
    assert all(found[0]["radio_answer"]["confidence"] == 0.5 for found in scene.predictions().values())
    assert "Traceback" not in server.log.read_text()


def test_sigterm_ends_it_with_0_and_others_can_take_its_port(lab: Lab, toml: str, tmp_path: Path) -> None:
    (tmp_path / "vmi.toml").write_text(toml)
    for number in (signal.SIGTERM, signal.SIGINT):
        with serving(tmp_path, lab.config.environment()) as started:
            started.process.send_signal(number)
            assert started.process.wait(30) == 0
            assert "Traceback" not in started.log.read_text()


def test_a_public_address_needs_a_secret(lab: Lab, toml: str, tmp_path: Path) -> None:
    (tmp_path / "vmi.toml").write_text(toml)
    done = vmi(tmp_path, lab.config.environment(), "serve", "--host", "0.0.0.0", "--port", "0")
    assert (done.returncode, done.stdout) == (1, "")
    assert "VMI_WEBHOOK_SECRET is not set, and 0.0.0.0 can be reached by others" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken(lab: Lab, toml: str, tmp_path: Path) -> None:
    (tmp_path / "vmi.toml").write_text(toml)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = vmi(tmp_path, lab.config.environment(), "serve", "--port", port)
    assert done.returncode == 1
    assert f"Port {port} on 127.0.0.1 cannot be used" in done.stderr


def test_settings_that_cannot_be(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "vmi.toml").write_text('[models."mood"]\ncontaner = "http://127.0.0.1:1/predict"\n')
    settings = {**lab.config.environment(), "VMI_REGION": "somewhere", "VMI_MAX_ASSET_MB": "-1", "VMI_BUKET": "x"}
    done = vmi(tmp_path, settings, "serve", "--port", "0")
    assert done.returncode == 1
    for words in ("contaner", "VMI_REGION", "VMI_MAX_ASSET_MB", "VMI_BUKET"):
        assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["vmi.toml"], "nothing is left behind"
