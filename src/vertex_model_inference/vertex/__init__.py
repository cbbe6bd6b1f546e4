"""The gateway to Vertex AI."""

from __future__ import annotations
