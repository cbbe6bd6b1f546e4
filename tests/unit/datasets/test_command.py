from __future__ import annotations

import json
import socket

from typer.testing import CliRunner

from vertex_model_inference.cli import app
from vertex_model_inference.errors import NotFoundError, SettingsError
from vertex_model_inference.sandbox.datasets.catalog import MATERIALS
from vertex_model_inference.sandbox.datasets.target import Target, defaults

NAMES = list(MATERIALS)


def test_the_data_sets_are_listed() -> None:
    done = CliRunner().invoke(app, ["sandbox", "datasets", "--json"])
    assert done.exit_code == 0
    assert [entry["name"] for entry in json.loads(done.stdout)] == NAMES
    assert {"digits", "documents", "reviews", "coins", "entities", "layout"} <= set(NAMES)
    plain = CliRunner().invoke(app, ["sandbox", "datasets"])
    assert [line.split()[0] for line in plain.stdout.splitlines()] == NAMES


def test_an_unknown_data_set_is_named_with_those_that_exist() -> None:
    done = CliRunner().invoke(app, ["sandbox", "seed", "cats"])
    assert isinstance(done.exception, NotFoundError)
    assert "cats" in str(done.exception)
    assert ", ".join(NAMES) in str(done.exception)


def test_env_needs_a_sandbox_that_answers() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = min(sock.getsockname()[1], 65533)
    done = CliRunner().invoke(app, ["sandbox", "env", "--port-base", str(port)])
    assert isinstance(done.exception, SettingsError)
    assert "vmi sandbox" in str(done.exception)
    assert done.stdout == ""


def test_the_variables_of_a_sandbox_name_it() -> None:
    assert Target.of(defaults(9000, "k")) == Target.of(
        {"VMI_SANDBOX_API_KEY": "k", "VMI_LABELBOX_URL": "http://127.0.0.1:9000/"}
        | {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:9001", "GOOGLE_VERTEX_BASE_URL": "http://127.0.0.1:9002"}
    )
    assert Target.of({}) == Target.of(defaults(8700))
