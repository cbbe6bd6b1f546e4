"""The gateway to object storage."""

from __future__ import annotations
