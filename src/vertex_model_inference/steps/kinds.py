"""Kinds of findings that have a place in the asset: the tools that take each, and what makes the annotation.

A new kind is a ``Kind`` in ``KINDS``, with its maker in a file of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vertex_model_inference.annotations import Annotation
from vertex_model_inference.findings import (
    FoundBox,
    FoundEntity,
    FoundLine,
    FoundMask,
    FoundMaskLink,
    FoundPoint,
    FoundPolygon,
    FoundQuote,
    FoundRelation,
    FoundTokens,
    FoundTrack,
    FoundVideoMask,
)
from vertex_model_inference.steps.features import ToolFeature
from vertex_model_inference.steps.shapes import About, LeftOut, box, entity, line, mask, mask_link, point, polygon
from vertex_model_inference.steps.videos import track, video_mask
from vertex_model_inference.steps.words import quotation, words

__all__ = ["KINDS", "KIND_OF", "About", "Kind", "LeftOut", "Make"]

Make = Callable[[Any, ToolFeature, About], Sequence[Annotation] | LeftOut]
"""(finding, tool, row and rules) -> its annotations, without their nested answers, or why there are none.

Several annotations of one finding are its parts. Raises MatchError when the finding is malformed.
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of findings.

    Attributes:
        name: What people call such a finding.
        finding: Its type.
        tools: Labelbox's words for the tools that take it.
        make: Makes its annotations; None: made from the annotations of others, once all are there.
        also: Tools that take it where the ontology has none of ``tools`` by the class's name.
    """

    name: str
    finding: type
    tools: tuple[str, ...]
    make: Make | None
    also: tuple[str, ...] = ()


KINDS = (
    Kind("box", FoundBox, ("rectangle",), box),
    Kind("polygon", FoundPolygon, ("polygon",), polygon, also=("raster-segmentation", "superpixel")),
    Kind("mask", FoundMask, ("raster-segmentation", "superpixel"), mask, also=("polygon",)),
    Kind("linked mask", FoundMaskLink, ("raster-segmentation", "superpixel"), mask_link),
    Kind("line", FoundLine, ("line",), line),
    Kind("point", FoundPoint, ("point",), point),
    Kind("entity", FoundEntity, ("named-entity",), entity),
    Kind("words", FoundTokens, ("named-entity",), words),
    Kind("quotation", FoundQuote, ("named-entity",), quotation),
    Kind("track", FoundTrack, ("rectangle",), track),
    Kind("video mask", FoundVideoMask, ("raster-segmentation",), video_mask),
    Kind("relation", FoundRelation, ("edge",), None),
)

KIND_OF: dict[type, Kind] = {kind.finding: kind for kind in KINDS}
