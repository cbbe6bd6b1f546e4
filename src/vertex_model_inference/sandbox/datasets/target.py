"""The running sandbox that is to be seeded, and proof that it is one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import httpx2
import msgspec

from vertex_model_inference.errors import SettingsError
from vertex_model_inference.sandbox.config import SandboxConfig

__all__ = ["DEFAULT_PORT_BASE", "Target", "defaults"]

DEFAULT_PORT_BASE = 8700


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where the three servers are and how to enter.

    Attributes:
        labelbox_url: Base URL, no trailing slash; likewise ``storage_url`` and ``vertex_url``.
        api_key: For Labelbox. ``token``: for Vertex and storage.
        project: Google project. ``location``: region. ``bucket``: where assets and models go.
    """

    labelbox_url: str
    storage_url: str
    vertex_url: str
    api_key: str
    token: str
    project: str
    location: str
    bucket: str

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Target:
        """The sandbox that the variables of ``SandboxConfig.environment`` name; the default ports where unset."""
        default = defaults(DEFAULT_PORT_BASE, environment.get("VMI_SANDBOX_API_KEY"))

        def get(*names: str) -> str:
            return next((environment[name] for name in names if environment.get(name)), default[names[0]])

        return cls(
            labelbox_url=get("VMI_LABELBOX_URL").rstrip("/"),
            storage_url=get("VMI_STORAGE_URL", "STORAGE_EMULATOR_HOST").rstrip("/"),
            vertex_url=get("VMI_VERTEX_URL", "GOOGLE_VERTEX_BASE_URL").rstrip("/"),
            api_key=get("LABELBOX_API_KEY"),
            token=get("VMI_GOOGLE_TOKEN"),
            project=get("GOOGLE_CLOUD_PROJECT"),
            location=get("VMI_REGION"),
            bucket=get("VMI_BUCKET"),
        )

    def check(self) -> None:
        """Make sure that all three are sandbox servers before anything is written: the variables may name real ones.

        Raises:
            SettingsError: One does not answer, or is not a sandbox.
        """
        hint = 'Start one with "vmi sandbox" and set the variables that it prints: eval "$(vmi sandbox env)".'
        servers = {"Labelbox": self.labelbox_url, "storage": self.storage_url, "Vertex AI": self.vertex_url}
        for name, url in servers.items():
            try:
                response = httpx2.get(f"{url}/_sandbox/faults", timeout=10, trust_env=False)
                is_sandbox = response.status_code == 200 and isinstance(response.json(), list | dict)
            except httpx2.HTTPError as error:
                reason = str(error) or type(error).__name__
                raise SettingsError(f"No sandbox {name} answers at {url}: {reason}.", hint=hint) from None
            except (httpx2.InvalidURL, ValueError):
                is_sandbox = False
            if not is_sandbox:
                raise SettingsError(f"{url} is not a sandbox's {name}; only a sandbox is ever seeded.", hint=hint)


def defaults(port_base: int, api_key: str | None = None) -> dict[str, str]:
    """The variables of a sandbox on three consecutive ports.

    Args:
        port_base: The first of them.
        api_key: The Labelbox API key, if the sandbox asks for a certain one.
    """
    config = SandboxConfig(
        state=Path(),
        labelbox_port=port_base,
        storage_port=port_base + 1,
        vertex_port=port_base + 2,
        api_key=api_key,
    )
    return config.environment()
