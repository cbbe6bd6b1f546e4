"""The gateway to Labelbox: nothing else speaks GraphQL or NDJSON."""

from __future__ import annotations
