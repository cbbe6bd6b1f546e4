"""The sandbox's Cloud Storage."""

from __future__ import annotations
