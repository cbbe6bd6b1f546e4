"""``vmi run`` as a process: exit codes, and one clear sentence where it cannot."""

from __future__ import annotations

import json
import socket
import uuid
from pathlib import Path
from typing import Any

import labelbox as lb
import pytest
from tests.integration.fates.lab import Container, Lab, Scene, radio
from tests.integration.fates.serving import vmi

from vertex_model_inference.sandbox.launcher import running


def scene_of(lab: Lab, *texts: str) -> Scene:
    mark = uuid.uuid4().hex[:8]
    rows: dict[str, str | dict[str, Any]] = {f"{mark}-{n}": text for n, text in enumerate(texts)}
    return lab.scene(rows, classifications=[radio("mood", "good", "bad")], media_type=lb.MediaType.Text)


def configured(folder: Path, container: Container) -> Path:
    section = f'[models."mood"]\ncontainer = "{container.url}/predict"\ntask = "text-classification"\n'
    (folder / "vmi.toml").write_text(section)
    return folder


def one_sentence(done: Any) -> str:
    """What a command that failed says to a person; nothing else may be on stderr."""
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr + done.stdout
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    return str(lines[0])


@pytest.mark.parametrize(
    ("texts", "code", "status"),
    [
        (("good a", "bad b"), 0, "COMPLETE"),
        (("good a", "ugly b"), 3, "COMPLETE"),
        (("ugly a", "ugly b"), 1, "FAILED"),
    ],
)
def test_the_exit_code_tells_how_it_ended(
    lab: Lab, container: Container, tmp_path: Path, texts: tuple[str, ...], code: int, status: str
) -> None:
    scene = scene_of(lab, *texts)
    settings = lab.config.environment()
    done = vmi(configured(tmp_path, container), settings, "run", scene.run.uid, "--model", "mood")
    assert done.returncode == code, done.stderr
    assert done.stdout.startswith(f"{status}: ")
    assert scene.glance()["status"] == status
    failed = sum(text.startswith("ugly") for text in texts)
    told = vmi(tmp_path, settings, "outcomes", scene.run.uid, "--failed", "--format", "json")
    assert told.returncode == 0, told.stderr
    outcomes = [json.loads(line) for line in told.stdout.splitlines()]
    assert [(item["status"], item["code"]) for item in outcomes] == [("failed", "unmapped")] * failed
    shown = json.loads(vmi(tmp_path, settings, "status", scene.run.uid, "--json").stdout)
    assert (shown["state"], shown["counts"]["failed"]) == (status, failed)


def test_an_unknown_option(lab: Lab, container: Container, tmp_path: Path) -> None:
    said = one_sentence(vmi(configured(tmp_path, container), lab.config.environment(), "run", "x", "--model", "mod"))
    assert "There is no option 'mod'" in said
    assert "'mood'" in said


def test_an_unknown_model_run(lab: Lab, container: Container, tmp_path: Path) -> None:
    folder = configured(tmp_path, container)
    done = vmi(folder, lab.config.environment(), "run", "cl00000000000000000000000", "--model", "mood")
    assert "knows no model run cl00000000000000000000000" in one_sentence(done)
    runs = json.loads(vmi(folder, lab.config.environment(), "status", "--json").stdout)
    assert [run for run in runs if run["model_run_id"].startswith("cl000")] == [], "no run was begun"


def test_a_wrong_api_key(container: Container, tmp_path: Path) -> None:
    with running(state=tmp_path / "sandbox", api_key="the right one") as config:
        lab = Lab(config)
        try:
            scene = scene_of(lab, "good a")
            settings = {**config.environment(), "LABELBOX_API_KEY": "a wrong one"}
            said = one_sentence(vmi(configured(tmp_path, container), settings, "run", scene.run.uid, "-m", "mood"))
            assert "Labelbox does not accept the API key" in said
            assert "LABELBOX_API_KEY" in said
            assert "a wrong one" not in said
        finally:
            lab.close()


def test_a_labelbox_that_is_down(lab: Lab, container: Container, tmp_path: Path) -> None:
    down = nowhere()
    settings = {**lab.config.environment(), "VMI_LABELBOX_URL": down}
    said = one_sentence(vmi(configured(tmp_path, container), settings, "run", "cl0", "--model", "mood"))
    assert f"Nothing answers at {down}" in said
    assert "VMI_LABELBOX_URL" in said


def test_no_api_key(lab: Lab, container: Container, tmp_path: Path) -> None:
    settings = {name: value for name, value in lab.config.environment().items() if name != "LABELBOX_API_KEY"}
    said = one_sentence(vmi(configured(tmp_path, container), settings, "run", "x", "--model", "mood"))
    assert "LABELBOX_API_KEY must be set" in said


def nowhere() -> str:
    """A URL where nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


def test_a_vertex_that_is_down(lab: Lab, tmp_path: Path) -> None:
    down = nowhere()
    settings = {**lab.config.environment(), "VMI_VERTEX_URL": down, "GOOGLE_VERTEX_BASE_URL": down}
    done = vmi(tmp_path, settings, "run", "x", "--model", "mood")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    *retries, said = done.stderr.splitlines()  # that it tries again is logged
    assert all("stamina.retry_scheduled" in line for line in retries)
    assert said.startswith(f"vmi: Vertex AI at {down} did not answer")
    assert "VMI_VERTEX_URL" in said


def test_a_storage_that_is_down(lab: Lab, container: Container, tmp_path: Path) -> None:
    down = nowhere()
    scene = scene_of(lab, "good a")
    settings = {**lab.config.environment(), "VMI_STORAGE_URL": down, "STORAGE_EMULATOR_HOST": down}
    done = vmi(configured(tmp_path, container), settings, "run", scene.run.uid, "--model", "mood")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("vmi: ")
    assert "torage" in last
    # Labelbox does not go on showing a run that nobody works on.
    glance = scene.glance()
    assert glance["status"] == "FAILED"
    assert "torage" in glance["error_message"]
