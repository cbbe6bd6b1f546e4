"""What the server answers, one file per area."""

from __future__ import annotations

from vertex_model_inference.sandbox.labelbox.graphql import Operations
from vertex_model_inference.sandbox.labelbox.operations import (
    annotation_imports,
    data_rows,
    exports,
    models,
    ontologies,
    people,
    projects,
)

__all__ = ["all_operations"]


def all_operations() -> Operations:
    """Every operation of every area."""
    found = Operations()
    for area in (people, data_rows, ontologies, projects, models, exports, annotation_imports):
        found.add(area.operations)
    return found
