"""The steps of a run, one file each, in the order data flows."""

from __future__ import annotations
