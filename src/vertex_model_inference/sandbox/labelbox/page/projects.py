"""A project at a glance: its batches, its pre-labels and the imports that brought them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec
import orjson

from vertex_model_inference.sandbox.labelbox.page.annotated import Owner
from vertex_model_inference.sandbox.labelbox.page.runs import Counts, CountsCache, ImportView, imports_of, when

if TYPE_CHECKING:
    from vertex_model_inference.sandbox.labelbox.store import Row, Store

__all__ = ["ProjectView", "project_view"]

_MOST_BATCHES = 50


class ProjectView(msgspec.Struct, frozen=True):
    """A project for the templates.

    Attributes:
        media: Its media type in words; "" when it has none.
        created: Date and time (UTC).
        shown: Labelers see the pre-labels.
        counts: ``predictions`` and ``predicted_data_rows`` are of pre-labels.
        batches: Name and number of data rows; bounded.
        running: An import is under way.
        stamp: Changes when anything here changes.
    """

    id: str
    name: str
    media: str
    created: str
    shown: bool
    counts: Counts
    batches: list[tuple[str, int]]
    imports: list[ImportView]
    hidden_imports: int
    running: bool
    stamp: str = ""


def project_view(store: Store, cache: CountsCache, row: Row, *, whole: bool = True) -> ProjectView:
    """Everything about a project but its rows; ``whole=False`` leaves batches and imports out, for lists."""
    imports, hidden = imports_of(store, row["id"], ["mal", "mea-to-mal"]) if whole else ([], 0)
    batches = store.projects.batches(row["id"], None, 0, _MOST_BATCHES) if whole else []
    view = ProjectView(
        id=row["id"],
        name=row["name"],
        media=str(row["media_type"] or "").replace("_", " ").lower(),
        created=when(row["created_at"]),
        shown=bool(orjson.loads(row["fields"]).get("showingPredictionsToLabelers")),
        counts=cache.get(store, Owner(row["id"], project=True)),
        batches=[(batch["name"], batch["size"]) for batch in batches],
        imports=imports,
        hidden_imports=hidden,
        running=any(item.state == "RUNNING" for item in imports),
    )
    stamp = hashlib.blake2b(msgspec.json.encode(view), digest_size=8).hexdigest()
    return msgspec.structs.replace(view, stamp=stamp)
