"""The units in deploy/ are units, and call commands and settings that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from vertex_model_inference.cli import app
from vertex_model_inference.runs.service import LET_GO_S
from vertex_model_inference.settings_sources import FIELDS

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))


def entries(path: Path) -> dict[str, list[tuple[str, str]]]:
    """Section -> its assignments, in order; systemd's syntax (systemd.syntax(7)) as far as it is used here."""
    found: dict[str, list[tuple[str, str]]] = {}
    section = ""
    for line in path.read_text("utf-8").splitlines():
        if not line.strip() or line.startswith(("#", ";")):
            continue
        if match := re.fullmatch(r"\[(\w+)\]", line):
            section = match[1]
            continue
        key, equals, value = line.partition("=")
        assert equals, f"{path.name}: {line}"
        assert re.fullmatch(r"[A-Z][A-Za-z]+", key), f"{path.name}: {line}"
        found.setdefault(section, []).append((key, value))
    return found


def test_there_are_units() -> None:
    assert [path.name for path in UNITS] == ["vmi-serve.service", "vmi-worker@.service"]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_starts_a_command_that_exists_and_gives_it_time_to_hand_back(path: Path) -> None:
    sections = entries(path)
    assert list(sections) == ["Unit", "Service", "Install"]
    service = dict(sections["Service"])
    _, name, *options = service["ExecStart"].split()
    command = typer.main.get_command(app)
    known = command.commands[name]  # type: ignore[attr-defined]  # a click group
    flags = {flag for parameter in known.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    assert {option for option in options if option.startswith("--")} <= flags
    assert float(service["TimeoutStopSec"]) >= 2 * LET_GO_S
    assert service["Restart"] == "always"
    variables = {value.partition("=")[0] for key, value in sections["Service"] if key == "Environment"}
    assert variables <= {field.variable for field in FIELDS}
    assert not any("password" in value.lower() for _, value in sections["Service"])  # secrets are in the file


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_takes_a_unit(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name.replace("@", "@1")
    copy.write_text(re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", path.read_text("utf-8")))
    verified = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
    assert path.name not in verified.stderr, verified.stderr
