"""How much predictions and labels of one kind of object overlap: one function a kind, vectorised where it can be.

Each takes the predictions and the labels of any number of rows, with the number of the unit that each belongs to (only
things of one unit, such as a row, page or frame, can overlap), and the least overlap that matters. Each gives the pairs
that reach it. Overlaps are 0..1; 1 means that both are the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vertex_model_inference.annotations import Box, DocumentEntity, Point, Polygon, Polyline, TextEntity
from vertex_model_inference.evaluation.arrays import Floats, Ints
from vertex_model_inference.evaluation.pairing import Overlaps, pairs_within
from vertex_model_inference.geometry.distances import line_distance
from vertex_model_inference.geometry.intersection import intersection_over_union
from vertex_model_inference.geometry.polygons import bounds

__all__ = [
    "Drawn",
    "box_overlaps",
    "corners",
    "document_overlaps",
    "line_closeness",
    "mask_overlaps",
    "point_closeness",
    "polygon_overlaps",
    "span_overlaps",
]

Drawn = tuple[bytes, int, int]
"""A mask: COCO's compressed run lengths, width and height in pixels."""


def corners(boxes: Sequence[Box]) -> Floats:
    """left, top, width, height of each box, shape (n, 4), pixels."""
    return np.asarray([(box.left, box.top, box.width, box.height) for box in boxes], dtype=np.float64).reshape(-1, 4)


def box_overlaps(
    predictions: Floats, labels: Floats, prediction_unit: Ints, label_unit: Ints, least: float
) -> Overlaps:
    """Intersection over union of boxes.

    Args:
        predictions: left, top, width, height, shape (n, 4). ``labels``: likewise, (m, 4).
        prediction_unit: Unit of each, shape (n,). ``label_unit``: (m,).
        least: Overlaps below this are left out; those of 0 always are.
    """
    found = []
    p_right, p_area = predictions[:, :2] + predictions[:, 2:], predictions[:, 2] * predictions[:, 3]
    t_right, t_area = labels[:, :2] + labels[:, 2:], labels[:, 2] * labels[:, 3]
    for p, t in pairs_within(prediction_unit, label_unit):
        wide = np.minimum(p_right[p, 0], t_right[t, 0]) - np.maximum(predictions[p, 0], labels[t, 0])
        high = np.minimum(p_right[p, 1], t_right[t, 1]) - np.maximum(predictions[p, 1], labels[t, 1])
        meet = np.flatnonzero((wide > 0) & (high > 0))
        p, t = p[meet], t[meet]
        shared = wide[meet] * high[meet]
        value = shared / (p_area[p] + t_area[t] - shared)
        keep = value >= least
        found.append(Overlaps(p[keep], t[keep], value[keep]))
    return _joined(found)


def polygon_overlaps(
    predictions: Sequence[Polygon], labels: Sequence[Polygon], prediction_unit: Ints, label_unit: Ints, least: float
) -> Overlaps:
    """Intersection over union of polygons, exact, even-odd where an outline crosses itself."""
    if not predictions or not labels:
        return _joined([])
    around_p, around_t = (
        np.asarray([(left, top, right - left, bottom - top) for left, top, right, bottom in map(bounds, rings)])
        for rings in ([each.points for each in predictions], [each.points for each in labels])
    )
    near = box_overlaps(around_p, around_t, prediction_unit, label_unit, 0.0)
    found: list[tuple[int, int, float]] = []
    for p, t in zip(near.prediction.tolist(), near.label.tolist(), strict=True):
        value = intersection_over_union(predictions[p].points, labels[t].points)
        if value > 0 and value >= least:
            found.append((p, t, value))
    return _of(found)


def mask_overlaps(
    predictions: Sequence[Drawn], labels: Sequence[Drawn], prediction_unit: Ints, label_unit: Ints, least: float
) -> Overlaps:
    """Intersection over union of masks, from their run lengths alone; masks of different sizes share nothing.

    Raises:
        MalformedRunsError: Run lengths do not describe a mask of the size that is said.
    """
    found: list[tuple[int, int, float]] = []
    by_unit: dict[tuple[int, int, int], tuple[list[int], list[int]]] = {}
    for side, (masks, units) in enumerate(((predictions, prediction_unit), (labels, label_unit))):
        for index, ((_, width, height), unit) in enumerate(zip(masks, units.tolist(), strict=True)):
            by_unit.setdefault((unit, width, height), ([], []))[side].append(index)
    for (_, width, height), (p, t) in by_unit.items():
        if not p or not t:
            continue
        values = _mask_table([predictions[i][0] for i in p], [labels[i][0] for i in t], width, height)
        rows, columns = np.nonzero((values > 0) & (values >= least))
        found += [(p[i], t[j], float(values[i, j])) for i, j in zip(rows.tolist(), columns.tolist(), strict=True)]
    return _of(found)


def _mask_table(predictions: list[bytes], labels: list[bytes], width: int, height: int) -> Floats:
    from faster_coco_eval import mask as coco

    from vertex_model_inference.geometry.rle import unpack
    from vertex_model_inference.geometry.runs import MalformedRunsError

    for counts in (*predictions, *labels):
        try:
            total = sum(unpack(counts))
        except ValueError as error:
            raise MalformedRunsError(str(error)) from None
        if total != width * height:
            raise MalformedRunsError(f"the run lengths add up to {total}, not to {width} x {height}")
    sides = [[{"size": [height, width], "counts": counts} for counts in side] for side in (predictions, labels)]
    table: Floats = np.asarray(coco.iou(*sides, [0] * len(labels)), dtype=np.float64)
    return np.nan_to_num(table.reshape(len(predictions), len(labels)))


def span_overlaps(
    predictions: Sequence[TextEntity],
    labels: Sequence[TextEntity],
    prediction_unit: Ints,
    label_unit: Ints,
    least: float,
) -> Overlaps:
    """Shared characters over the characters of both, of spans of a text (ends inclusive) in the same message."""
    p_start, p_end = _ends(predictions)
    t_start, t_end = _ends(labels)
    messages: dict[str | None, int] = {}
    p_message, t_message = (
        np.asarray([messages.setdefault(each.message_id, len(messages)) for each in side], dtype=np.int64)
        for side in (predictions, labels)
    )
    found = []
    for p, t in pairs_within(prediction_unit, label_unit):
        shared = np.minimum(p_end[p], t_end[t]) - np.maximum(p_start[p], t_start[t]) + 1
        both = np.maximum(p_end[p], t_end[t]) - np.minimum(p_start[p], t_start[t]) + 1
        value = shared / both
        keep = (shared > 0) & (p_message[p] == t_message[t]) & (value >= least)
        found.append(Overlaps(p[keep], t[keep], value[keep]))
    return _joined(found)


def _ends(spans: Sequence[TextEntity]) -> tuple[Ints, Ints]:
    return (
        np.asarray([span.start for span in spans], dtype=np.int64),
        np.asarray([span.end for span in spans], dtype=np.int64),
    )


def document_overlaps(
    predictions: Sequence[DocumentEntity],
    labels: Sequence[DocumentEntity],
    prediction_unit: Ints,
    label_unit: Ints,
    least: float,
) -> Overlaps:
    """Shared words over the words of both, of entities that are words of a document's text layer."""
    said, meant = ([_words(each) for each in side] for side in (predictions, labels))
    found: list[tuple[int, int, float]] = []
    for ps, ts in pairs_within(prediction_unit, label_unit):
        for p, t in zip(ps.tolist(), ts.tolist(), strict=True):
            shared = len(said[p] & meant[t])
            value = shared / len(said[p] | meant[t]) if shared else 0.0
            if shared and value >= least:
                found.append((p, t, value))
    return _of(found)


def _words(entity: DocumentEntity) -> frozenset[tuple[int, str]]:
    return frozenset((part.page, token) for part in entity.selections for token in part.token_ids)


def point_closeness(
    predictions: Sequence[Point], labels: Sequence[Point], prediction_unit: Ints, label_unit: Ints, least: float
) -> Overlaps:
    """``-distance`` of points in pixels: 0 where they are the same; ``least`` is -(the largest distance)."""
    p_at, t_at = (
        np.asarray([(each.x, each.y) for each in side], dtype=np.float64).reshape(-1, 2)
        for side in (predictions, labels)
    )
    found = []
    for p, t in pairs_within(prediction_unit, label_unit):
        value = -np.hypot(*(p_at[p] - t_at[t]).T)
        keep = value >= least
        found.append(Overlaps(p[keep], t[keep], value[keep]))
    return _joined(found)


def line_closeness(
    predictions: Sequence[Polyline], labels: Sequence[Polyline], prediction_unit: Ints, label_unit: Ints, least: float
) -> Overlaps:
    """``-distance`` of lines (``line_distance``) in pixels; ``least`` is -(the largest distance)."""
    found: list[tuple[int, int, float]] = []
    for ps, ts in pairs_within(prediction_unit, label_unit):
        for p, t in zip(ps.tolist(), ts.tolist(), strict=True):
            value = -line_distance(predictions[p].points, labels[t].points)
            if value >= least:
                found.append((p, t, value))
    return _of(found)


def _of(found: list[tuple[int, int, float]]) -> Overlaps:
    p, t, value = zip(*found, strict=True) if found else ((), (), ())
    return Overlaps(np.asarray(p, dtype=np.int64), np.asarray(t, dtype=np.int64), np.asarray(value, dtype=np.float64))


def _joined(found: list[Overlaps]) -> Overlaps:
    if not found:
        return _of([])
    return found[0] if len(found) == 1 else Overlaps(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
