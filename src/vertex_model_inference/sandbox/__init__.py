"""A Labelbox, a Cloud Storage and a Vertex AI on loopback, for the real SDKs."""

from __future__ import annotations
