from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from vertex_model_inference.sandbox.child import run_in_thread
from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.labelbox.app import create_app


def start(state: Path, **settings: str) -> Iterator[SandboxConfig]:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    config = SandboxConfig(state=state, labelbox_port=sock.getsockname()[1], storage_port=1, vertex_port=1, **settings)
    with sock, run_in_thread(create_app(config), sock):
        yield config


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxConfig]:
    yield from start(tmp_path_factory.mktemp("labelbox"))
