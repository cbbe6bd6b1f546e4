"""Shared by all tests: no test may talk to anything but this machine, and the sandbox is one fixture away."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.launcher import running

# google-auth and others would look for a metadata server.
os.environ["NO_GCE_CHECK"] = "true"

# How long an example takes is the machine's business: timings belong in bench/.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

_LOOPBACK = ("127.", "::1", "localhost")
_connect = socket.socket.connect
_connect_ex = socket.socket.connect_ex


def _check(sock: socket.socket, address: object) -> None:
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        host = str(address[0]) if isinstance(address, tuple) else str(address)
        if not host.startswith(_LOOPBACK):
            msg = f"a test tried to connect to {host}; only this machine is allowed"
            raise AssertionError(msg)


def _guarded_connect(self: socket.socket, address: object) -> None:
    _check(self, address)
    _connect(self, address)  # type: ignore[arg-type]


def _guarded_connect_ex(self: socket.socket, address: object) -> int:
    _check(self, address)
    return _connect_ex(self, address)  # type: ignore[arg-type]


@pytest.fixture(scope="session", autouse=True)
def _only_this_machine() -> Iterator[None]:
    """Refuse every connection of this process to a non-loopback address."""
    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", _guarded_connect)
    patch.setattr(socket.socket, "connect_ex", _guarded_connect_ex)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxConfig]:
    """A sandbox of this test process: three servers on free ports."""
    with running(port_base=0, state=Path(tmp_path_factory.mktemp("sandbox"))) as config:
        yield config


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the person who runs the tests must not reach them."""
    originals = ("lb_api_key", "gcs_bucket", "gcs_region", "google_project", "model_name", "etl_url", "inference_url")
    for name in list(os.environ):
        if name == "VMI_SANDBOX_DATA":  # where the installed data lies, which tests need
            continue
        if name.startswith(("VMI_", "LABELBOX_", "GOOGLE_CLOUD_")) or name in originals:
            monkeypatch.delenv(name)
