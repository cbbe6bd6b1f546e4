"""Labelbox calls in: the two endpoints and the signature."""

from __future__ import annotations
