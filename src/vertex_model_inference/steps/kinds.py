"""Kinds of findings, and the kinds of features that take them."""

from __future__ import annotations

from vertex_model_inference.findings import (
    FoundBox,
    FoundEntity,
    FoundLabel,
    FoundLine,
    FoundMask,
    FoundPoint,
    FoundPolygon,
    FoundText,
)

__all__ = ["ALSO", "KINDS", "KIND_OF", "TOOLS"]

KINDS = {
    "box": "rectangle tool",
    "polygon": "polygon tool",
    "mask": "mask tool",
    "line": "polyline tool",
    "point": "point tool",
    "entity": "entity tool",
    "label": "radio or checklist option",
    "text": "free-text question",
}
"""Kind of a finding -> what people call the feature that takes it."""

TOOLS = {
    "box": "rectangle",
    "polygon": "polygon",
    "mask": "raster-segmentation",
    "line": "line",
    "point": "point",
    "entity": "named-entity",
}
"""Kind of a finding -> Labelbox's word for its tool."""

KIND_OF: dict[type, str] = {
    FoundBox: "box",
    FoundPolygon: "polygon",
    FoundMask: "mask",
    FoundLine: "line",
    FoundPoint: "point",
    FoundEntity: "entity",
    FoundLabel: "label",
    FoundText: "text",
}

ALSO = {"polygon": "mask", "mask": "polygon"}
"""Kinds that can be made of another: wanted where the ontology has no tool of the finding's own kind and name."""
