"""Pages for people: runs, rows, evaluation; and the report, one file that can be mailed."""

from __future__ import annotations
