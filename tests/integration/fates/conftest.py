from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.integration.fates.lab import Assets, Container, Lab

from vertex_model_inference.sandbox.config import SandboxConfig


@pytest.fixture(scope="session")
def one_lab(sandbox: SandboxConfig) -> Iterator[Lab]:
    lab = Lab(sandbox)
    lab.vertex.put("/_sandbox/settings", json={"pending_s": 0.02}).raise_for_status()
    yield lab
    lab.close()


@pytest.fixture
def lab(one_lab: Lab) -> Iterator[Lab]:
    yield one_lab
    one_lab.calm()


@pytest.fixture(scope="session")
def assets() -> Iterator[Assets]:
    with Assets.running() as made:
        yield made


@pytest.fixture
def container() -> Iterator[Container]:
    with Container.running() as made:
        yield made
