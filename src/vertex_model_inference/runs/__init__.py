"""Runs: what runs, what it did, how each row ended."""

from __future__ import annotations
