"""What people look at: runs, their rows, their figures. Served by ``vmi serve`` and by ``vmi pages``."""

from __future__ import annotations
