"""Real data and real models for the sandbox."""

from __future__ import annotations
