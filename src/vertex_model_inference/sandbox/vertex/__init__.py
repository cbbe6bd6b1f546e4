"""The sandbox's Vertex AI."""

from __future__ import annotations
