"""Access tokens that live for a moment: every way to Google takes a fresh one when the old one has run out."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import Credentials
from tests.recording import Recorder, recorder

from vertex_model_inference.models import ModelOption, Predictor, VertexModel
from vertex_model_inference.runs.surroundings import Surroundings
from vertex_model_inference.sandbox.config import LOCATION, PROJECT, SandboxConfig
from vertex_model_inference.settings import load
from vertex_model_inference.vertex.auth import GoogleAuth

THRESHOLD_S = 225.0
"""google.auth takes a token for expired so many seconds before it is (``REFRESH_THRESHOLD``)."""


class Dying(Credentials):  # type: ignore[misc]  # google.auth has no types
    """Credentials whose tokens are good for a quarter of a second."""

    def __init__(self) -> None:
        super().__init__()
        self.given = 0

    def refresh(self, request: Any) -> None:
        assert request is not None
        self.given += 1
        self.token = f"token-{self.given}"
        self.expiry = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=THRESHOLD_S + 0.25)


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> Dying:
    credentials = Dying()
    monkeypatch.setattr("google.auth.default", lambda **_: (credentials, PROJECT))
    return credentials


@pytest.fixture
def recorded(sandbox: SandboxConfig) -> Iterator[dict[str, Recorder]]:
    with recorder(sandbox.vertex_url) as vertex, recorder(sandbox.storage_url) as storage:
        yield {"vertex": vertex, "storage": storage}


def tokens(seen: Recorder) -> list[str]:
    """The tokens that requests came with, each once, in their order."""
    found = [re.search(r"Bearer (\S+)", request.headers) for request in seen.seen]
    return list(dict.fromkeys(match[1] for match in found if match))


def expire(dying: Dying) -> None:
    while dying.valid:
        time.sleep(0.02)


def test_a_token_is_kept_while_it_is_good_and_no_longer(dying: Dying) -> None:
    auth = GoogleAuth(None)
    value, expiry = auth()
    assert auth() == (value, expiry)
    assert expiry is not None
    assert expiry.tzinfo is UTC
    expire(dying)
    assert auth()[0] != value


def test_every_gateway_goes_on_after_its_token_has_run_out(
    dying: Dying, recorded: dict[str, Recorder], sandbox: SandboxConfig, tmp_path: Path
) -> None:
    environment = {name: value for name, value in sandbox.environment().items() if name != "VMI_GOOGLE_TOKEN"}
    settings = load(
        {
            **environment,
            "VMI_DATA_DIR": str(tmp_path),
            "VMI_VERTEX_URL": recorded["vertex"].url,
        },
        tmp_path,
    )
    surroundings = Surroundings(settings)
    option = ModelOption(
        name="o",
        predictor=Predictor.ONLINE,
        model=VertexModel(name=f"projects/{PROJECT}/locations/{LOCATION}/models/1"),
        endpoint=f"projects/{PROJECT}/locations/{LOCATION}/endpoints/1",
    )

    async def ask() -> None:
        """Two requests of one session: a shard can take longer than its token lives."""
        async with surroundings.predictions.session(option) as session:
            await session.predict([{}])
            await asyncio.to_thread(expire, dying)
            await session.predict([{}])

    try:
        asyncio.run(ask())
        online = tokens(recorded["vertex"])
        assert len(online) == 2
        recorded["vertex"].seen.clear()
        for _ in range(2):
            expire(dying)  # the last one too may be good for a moment yet
            surroundings.jobs.find("none of this name")
        assert len(tokens(recorded["vertex"])) == 2
        assert not set(tokens(recorded["vertex"])) & set(online)
    finally:
        surroundings.close()


def test_storage_asks_for_a_token_again(dying: Dying, recorded: dict[str, Recorder]) -> None:
    """obstore keeps a token for as long as it is told that it lives."""
    from vertex_model_inference.storage.places import open_store

    auth = GoogleAuth(None)

    def short() -> tuple[str, datetime]:
        return auth()[0], datetime.now(UTC) + timedelta(seconds=0.1)

    store = open_store("gs://vmi-sandbox", endpoint=recorded["storage"].url, token=short)
    for number in range(2):
        store.put(f"tokens/{number}", b"x")
        expire(dying)
    assert len(tokens(recorded["storage"])) == 2
