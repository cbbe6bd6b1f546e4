"""Several findings of one thing: which of them a better one in the same place takes away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from vertex_model_inference.findings import Finding, FoundBox, FoundMask, FoundPolygon
from vertex_model_inference.geometry.boxes import Edges, kept_by_nms
from vertex_model_inference.geometry.polygons import Ring
from vertex_model_inference.models import MatchRules
from vertex_model_inference.rows import DataRow
from vertex_model_inference.steps.answers import is_below
from vertex_model_inference.steps.kinds import KIND_OF
from vertex_model_inference.steps.limits import rank
from vertex_model_inference.steps.resolve import Resolver
from vertex_model_inference.steps.shapes import INVISIBLE, in_picture

__all__ = ["doubles"]

P = TypeVar("P")


@dataclass(slots=True)
class _Rivals(Generic[P]):
    """Findings that can take each other away."""

    indices: list[int] = field(default_factory=list)
    places: list[P] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)

    def gone(self, keep: _Keep[P], rules: MatchRules) -> set[int]:
        if len(self.indices) < 2 or rules.nms_iou is None:
            return set()
        kept = keep(self, rules.nms_iou, None if rules.nms_agnostic else self.classes)
        return set(self.indices) - {self.indices[place] for place in kept}


_Keep = Callable[[_Rivals[P], float, Sequence[str] | None], Sequence[int]]
"""(rivals, limit, classes or None where any two compete) -> places of those that stay."""


def doubles(findings: Sequence[Finding], resolver: Resolver, rules: MatchRules, row: DataRow) -> set[int]:
    """Indices of the findings that a better one takes away (``nms_iou`` of the rules).

    Only what would be used takes part: of a known class, not below its threshold, not too small. Boxes are compared
    with boxes, outlines with outlines, masks with masks of their size.
    """
    boxes: _Rivals[Edges] = _Rivals()
    outlines: _Rivals[Ring] = _Rivals()
    masks: dict[tuple[int, int], _Rivals[bytes]] = {}
    least = max(INVISIBLE, rules.min_size_px)
    for index, found in enumerate(findings):
        if not isinstance(found, FoundBox | FoundPolygon | FoundMask) or is_below(found.label, found.confidence, rules):
            continue
        tools = resolver.tool(KIND_OF[type(found)], found.label)
        if not isinstance(tools, tuple):
            continue
        rivals: _Rivals[Edges] | _Rivals[Ring] | _Rivals[bytes]
        if isinstance(found, FoundBox):
            if min(found.width, found.height) < least:
                continue
            boxes.places.append((found.left, found.top, found.left + found.width, found.top + found.height))
            rivals = boxes
        elif isinstance(found, FoundPolygon):
            ring = in_picture(found, row, rules)
            if ring is None:
                continue
            outlines.places.append(ring)
            rivals = outlines
        else:
            if not _fits(found, rules):
                continue
            rivals = masks.setdefault((found.width, found.height), _Rivals())
            rivals.places.append(found.counts)
        rivals.indices.append(index)
        rivals.scores.append(rank(found.confidence))
        rivals.classes.append(" ".join(sorted(tool.feature_schema_id for tool in tools)))
    gone = boxes.gone(_of_boxes, rules) | outlines.gone(_of_outlines, rules)
    for size, same in masks.items():
        gone |= same.gone(_of_masks(size), rules)
    return gone


def _fits(found: FoundMask, rules: MatchRules) -> bool:
    """Whether a mask can be read and is not too small; what cannot is told when it is made an annotation."""
    from vertex_model_inference.geometry.rle import unpack

    try:
        runs = unpack(found.counts)
    except ValueError:
        return False
    if sum(runs) != found.width * found.height:
        return False
    if not rules.min_size_px:
        return any(runs[1::2])
    from faster_coco_eval import mask as coco

    around = coco.toBbox([{"size": [found.height, found.width], "counts": found.counts}])[0]
    return bool(min(around[2], around[3]) >= rules.min_size_px)


def _of_boxes(rivals: _Rivals[Edges], limit: float, classes: Sequence[str] | None) -> Sequence[int]:
    return kept_by_nms(rivals.places, rivals.scores, limit, classes)


def _of_outlines(rivals: _Rivals[Ring], limit: float, classes: Sequence[str] | None) -> Sequence[int]:
    from vertex_model_inference.geometry.overlap import kept_by_overlap, polygon_iou

    def overlap(one: int, other: int) -> float:
        return polygon_iou(rivals.places[one], rivals.places[other])

    return kept_by_overlap(overlap, rivals.scores, limit, classes)


def _of_masks(size: tuple[int, int]) -> _Keep[bytes]:
    def keep(rivals: _Rivals[bytes], limit: float, classes: Sequence[str] | None) -> Sequence[int]:
        from vertex_model_inference.geometry.overlap import kept_by_overlap, mask_ious

        shared = mask_ious(rivals.places, *size)
        return kept_by_overlap(lambda one, other: float(shared[one, other]), rivals.scores, limit, classes)

    return keep
