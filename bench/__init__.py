"""Figures, measured side by side with plain alternatives in one run."""

from __future__ import annotations
