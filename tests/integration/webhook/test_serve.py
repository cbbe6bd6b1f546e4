"""``vmi serve``, ``vmi models`` and ``vmi settings`` as people run them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from vertex_model_inference.webhook.signature import HEADER, sign

VMI = [sys.executable, "-c", "from vertex_model_inference.cli import main; main()"]
ECHO = '[models."Echo"]\ncontainer = "http://127.0.0.1:9/predict"\ntask = "text-classification"\n'


def environment(folder: Path, **more: str) -> dict[str, str]:
    # Labelbox and everything else is where nobody listens: these commands must do without.
    return {
        **os.environ,
        "LABELBOX_API_KEY": "a-secret-key",
        "VMI_LABELBOX_URL": "http://127.0.0.1:9",
        "VMI_DATA_DIR": str(folder / "data"),
        "COLUMNS": "200",
        **more,
    }


def vmi(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*VMI, *arguments],
        cwd=folder,
        env=environment(folder, **more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "vmi.toml").write_text(ECHO)
    process = subprocess.Popen(
        [*VMI, "serve", "--port", "0"],
        cwd=tmp_path,
        env=environment(tmp_path, VMI_WEBHOOK_SECRET="s"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on http://127.0.0.1:")
        url = line.split()[-1]
        assert process.stdout.readline().startswith("pages ")
        assert httpx2.get(f"{url}/healthz").json()["status"] == "ok"
        assert httpx2.get(f"{url}//models/", headers={HEADER: sign("s", b"")}, timeout=30).json() == {"Echo": {}}
        assert httpx2.get(f"{url}/models").status_code == 401
    finally:
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert out == ""


@pytest.mark.parametrize(
    ("arguments", "more", "words"),
    [
        (["--host", "0.0.0.0"], {}, "VMI_WEBHOOK_SECRET"),
        ([], {"LABELBOX_API_KEY": ""}, "LABELBOX_API_KEY"),
        ([], {"VMI_CONFIG": "none.toml"}, "none.toml"),
        (["--host", "203.0.113.1"], {"VMI_WEBHOOK_SECRET": "s"}, "cannot be used"),
    ],
)
def test_it_refuses_to_start_in_one_sentence(
    tmp_path: Path, arguments: list[str], more: dict[str, str], words: str
) -> None:
    (tmp_path / "vmi.toml").write_text(ECHO)
    done = vmi(tmp_path, "serve", "--port", "0", *arguments, **more)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("vmi: ")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "a-secret-key" not in done.stderr


def test_without_models_of_its_own_it_needs_a_project(tmp_path: Path) -> None:
    for command in ("serve", "models"):
        done = vmi(tmp_path, command)
        assert done.returncode == 1
        assert "GOOGLE_CLOUD_PROJECT must be set" in done.stderr


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    (tmp_path / "vmi.toml").write_text(ECHO)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        done = vmi(tmp_path, "serve", "--port", str(port))
    assert done.returncode == 1
    assert f"Port {port} on 127.0.0.1 cannot be used" in done.stderr
    assert "--port" in done.stderr


def test_models_are_listed_with_those_left_out(tmp_path: Path) -> None:
    (tmp_path / "vmi.toml").write_text(ECHO + '[models."Old"]\ncontainer = "http://127.0.0.1:9"\nhide = true\n')
    done = vmi(tmp_path, "models", "--json")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    assert [(each["name"], each["predictor"], each["task"]) for each in listed["available"]] == [
        ("Echo", "container", "text-classification")
    ]
    assert listed["left_out"] == [{"name": "Old", "why": "vmi.toml hides it."}]
    table = vmi(tmp_path, "models").stdout
    assert "Echo" in table
    assert "vmi.toml hides it." in table


def test_settings_are_shown_with_their_sources_and_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "vmi.toml").write_text(ECHO + "")
    (tmp_path / ".env").write_text("VMI_BUCKET=from-dotenv\n")
    done = vmi(tmp_path, "settings", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["bucket"] == {"variable": "VMI_BUCKET", "value": "from-dotenv", "source": ".env VMI_BUCKET"}
    assert shown["labelbox_api_key"]["value"] == "********"
    assert shown["models"]["source"] == "vmi.toml [models]"
    table = vmi(tmp_path, "settings")
    for text in (done.stdout, table.stdout):
        assert "a-secret-key" not in text
    assert "from-dotenv" in table.stdout
    wrong = vmi(tmp_path, "settings", VMI_BUCKETT="x")
    assert wrong.returncode == 1
    assert "Did you mean VMI_BUCKET?" in wrong.stderr
