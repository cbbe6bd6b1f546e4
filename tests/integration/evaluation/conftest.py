from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.integration.fates.lab import Container, Lab

from vertex_model_inference.sandbox.config import SandboxConfig


@pytest.fixture(scope="module")
def lab(sandbox: SandboxConfig) -> Iterator[Lab]:
    made = Lab(sandbox)
    made.vertex.put("/_sandbox/settings", json={"pending_s": 0.02}).raise_for_status()
    yield made
    made.close()


@pytest.fixture(scope="module")
def container() -> Iterator[Container]:
    with Container.running() as made:
        yield made
