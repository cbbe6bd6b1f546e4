from __future__ import annotations

from collections.abc import Iterator

import pytest

from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.datasets.target import Target
from vertex_model_inference.sandbox.launcher import running


@pytest.fixture(scope="session")
def seeding_sandbox() -> Iterator[SandboxConfig]:
    """A sandbox of its own: these tests say exactly what is in it."""
    with running() as config:
        yield config


@pytest.fixture(scope="session")
def target(seeding_sandbox: SandboxConfig) -> Target:
    return Target.of(seeding_sandbox.environment())
