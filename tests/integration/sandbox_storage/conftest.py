"""A Cloud Storage server in this process, and the two real SDKs as its clients."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import obstore.store
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

from vertex_model_inference.sandbox.child import run_in_thread
from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.storage.app import create_app


@contextlib.contextmanager
def _serving(state: Path) -> Iterator[str]:
    """The URL of a server on ``state``."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        config = SandboxConfig(state=state, labelbox_port=1, storage_port=port, vertex_port=2)
        with run_in_thread(create_app(config), sock):
            yield config.storage_url


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with _serving(tmp_path_factory.mktemp("state")) as address:
        yield address


@contextlib.contextmanager
def _google_client(url: str) -> Iterator[Any]:
    """google-cloud-storage on the server; its sessions are closed at the end."""
    client = Client(project="sandbox", credentials=AnonymousCredentials(), client_options={"api_endpoint": url})
    try:
        yield client
    finally:
        client.close()
        client._http.close()


@pytest.fixture
def client(url: str) -> Iterator[Any]:
    with _google_client(url) as made:
        yield made


@pytest.fixture
def bucket(client: Any, request: pytest.FixtureRequest) -> Any:
    """A bucket of the test's own."""
    name = "t-" + "".join(char if char.isalnum() else "-" for char in request.node.name.lower())[:40].strip("-")
    return client.create_bucket(name, location="EUROPE-WEST4")


def _credentials() -> obstore.store.GCSCredential:
    return {"token": "x", "expires_at": None}


def _obstore_client(url: str, bucket: str) -> obstore.store.GCSStore:
    """obstore on the server."""
    return obstore.store.GCSStore(
        bucket,
        config={"base_url": url},
        client_options={"allow_http": True},
        credential_provider=_credentials,
    )


@pytest.fixture
def store(url: str, bucket: Any) -> obstore.store.GCSStore:
    return _obstore_client(url, bucket.name)


@pytest.fixture(scope="session")
def google_client() -> Callable[[str], contextlib.AbstractContextManager[Any]]:
    return _google_client


@pytest.fixture(scope="session")
def obstore_client() -> Callable[[str, str], obstore.store.GCSStore]:
    return _obstore_client
