"""What one sandbox server is told when it starts."""

from __future__ import annotations

from pathlib import Path

import msgspec

__all__ = ["LOCATION", "PROJECT", "SandboxConfig"]

PROJECT = "sandbox"
LOCATION = "us-central1"


class SandboxConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Shared by the three servers of one sandbox.

    Attributes:
        state: Folder that everything is kept in; each server uses ``state/<its name>/``.
        labelbox_port: Port of the Labelbox server on 127.0.0.1; likewise ``storage_port`` and ``vertex_port``.
        api_key: The only Labelbox API key accepted; None accepts any non-empty one.
        prediction_imports: ``accept`` or ``deprecated`` (imports into model runs are refused as Labelbox does today).
    """

    state: Path
    labelbox_port: int
    storage_port: int
    vertex_port: int
    api_key: str | None = None
    prediction_imports: str = "accept"

    @property
    def labelbox_url(self) -> str:
        """Base URL of the Labelbox server, no trailing slash."""
        return f"http://127.0.0.1:{self.labelbox_port}"

    @property
    def storage_url(self) -> str:
        """Base URL of the Cloud Storage server, no trailing slash."""
        return f"http://127.0.0.1:{self.storage_port}"

    @property
    def vertex_url(self) -> str:
        """Base URL of the Vertex AI server, no trailing slash."""
        return f"http://127.0.0.1:{self.vertex_port}"

    def environment(self) -> dict[str, str]:
        """Every variable that the SDKs, ``vmi`` and a shell need to use this sandbox."""
        return {
            "LABELBOX_API_KEY": self.api_key or "sandbox-key",
            "VMI_LABELBOX_URL": self.labelbox_url,
            "STORAGE_EMULATOR_HOST": self.storage_url,
            "VMI_STORAGE_URL": self.storage_url,
            "VMI_VERTEX_URL": self.vertex_url,
            "GOOGLE_VERTEX_BASE_URL": self.vertex_url,
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "VMI_REGION": LOCATION,
            "VMI_BUCKET": "vmi-sandbox",
            "VMI_GOOGLE_TOKEN": "sandbox-token",
            "NO_GCE_CHECK": "true",
        }
