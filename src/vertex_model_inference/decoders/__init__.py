"""One model output family per file."""

from __future__ import annotations
