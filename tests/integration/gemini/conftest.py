from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.integration.fates.lab import Lab

from vertex_model_inference.sandbox.config import SandboxConfig


@pytest.fixture(scope="session")
def lab(sandbox: SandboxConfig) -> Iterator[Lab]:
    lab = Lab(sandbox)
    lab.vertex.put("/_sandbox/settings", json={"pending_s": 0.02}).raise_for_status()
    yield lab
    lab.close()
