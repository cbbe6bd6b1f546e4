"""A Labelbox ontology: the tools and questions that predictions must fit (types only; parsing is ``labelbox/``'s)."""

from __future__ import annotations

import msgspec

__all__ = ["Classification", "Ontology", "Option", "Tool"]


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of a radio or checklist.

    Attributes:
        name: What predictions must name: Labelbox matches on the option's ``value``.
        label: What people see; equal to ``name`` unless the ontology was made otherwise.
        feature_schema_id: 25 characters.
        classifications: Questions that are asked once this option is chosen.
    """

    name: str
    label: str
    feature_schema_id: str
    classifications: tuple[Classification, ...] = ()


class Classification(msgspec.Struct, frozen=True, kw_only=True):
    """A question.

    Attributes:
        kind: ``radio``, ``checklist`` or ``text``.
        name: What predictions must name: the question's ``instructions``.
        feature_schema_id: 25 characters.
        required: Whether an annotation that can carry it must.
        scope: ``global`` or ``index`` (per frame), for top-level questions.
        options: Of radio and checklist.
    """

    kind: str
    name: str
    feature_schema_id: str
    required: bool = False
    scope: str = "global"
    options: tuple[Option, ...] = ()


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of object that can be drawn.

    Attributes:
        kind: Labelbox's word: rectangle, polygon, line, point, raster-segmentation, superpixel, named-entity, edge, ...
        name: What predictions must name.
        feature_schema_id: 25 characters.
        classifications: Questions about each object.
    """

    kind: str
    name: str
    feature_schema_id: str
    required: bool = False
    classifications: tuple[Classification, ...] = ()


class Ontology(msgspec.Struct, frozen=True, kw_only=True):
    """The tools and top-level questions."""

    id: str
    name: str
    media_type: str | None = None
    tools: tuple[Tool, ...] = ()
    classifications: tuple[Classification, ...] = ()
