"""Everything the sandbox's Labelbox keeps: SQLite for things, files for bytes. Nothing here knows GraphQL."""

from __future__ import annotations

from vertex_model_inference.sandbox.labelbox.store.database import Database, Row
from vertex_model_inference.sandbox.labelbox.store.store import Store

__all__ = ["Database", "Row", "Store"]
