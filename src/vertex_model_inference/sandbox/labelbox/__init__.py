"""The sandbox's Labelbox."""

from __future__ import annotations
