"""``polygons``: outlines of objects, as YOLO segmentation and COCO exporters give.

Source: the results format of https://cocodataset.org/#format-results with polygons, Ultralytics' ``to_json``, and
containers modelled on them::

    [{"label": "cat", "score": 0.9, "points": [[10, 20], [110, 20], [60, 90]]}, ...]

in pixels, origin top left. The outline may stand under ``points``, ``polygon`` or ``segmentation``, as pairs, as
``{"x":, "y":}`` objects, as one flat list, or as COCO's list of flat lists, which gives several polygons. An outline
with no area inside the picture gives none.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import Fit, class_name, fit_of, parse, refuse, unit
from vertex_model_inference.decoders.outlines import Points, cut, rings
from vertex_model_inference.findings import FoundPolygon
from vertex_model_inference.rows import DataRow

__all__ = ["Polygons"]


class _Object(msgspec.Struct):
    label: str | int | None = None
    category_id: str | int | None = None
    score: float | None = None
    points: Points | None = None
    polygon: Points | None = None
    segmentation: Points | None = None

    def outline(self) -> Points | None:
        """The points, wherever they stand."""
        given = (self.points, self.polygon, self.segmentation)
        return next((one for one in given if one is not None), None)


_ANSWER = msgspec.json.Decoder(list[_Object])


class Polygons:
    """Outlines; see the module's docstring for the forms."""

    name = "polygons"

    def __init__(self, class_names: Sequence[str] = ()) -> None:
        self.class_names = tuple(class_names)

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundPolygon, ...]:
        """Each outline in pixels, in the model's order, cut to the picture.

        Raises:
            DecodeError: See ``Decoder.decode``.
        """
        found = []
        answer = parse(_ANSWER, prediction, self.name, row)
        for index, thing in enumerate(answer):
            where = f"[{index}]"
            given = thing.label if thing.label is not None else thing.category_id
            outline = thing.outline()
            if given is None or outline is None:
                lacks = "label or category_id" if given is None else "points, polygon or segmentation"
                refuse(self.name, row, f"{where} has no {lacks}")
            label = class_name(given, self.class_names, self.name, row, f"{where}.label")
            c = None if thing.score is None else unit(thing.score, self.name, row, f"{where}.score")
            parts = rings(outline, row, self.name, where)
            if not parts:
                refuse(self.name, row, f"{where} has no points")
            found += [FoundPolygon(label, part, c) for ring in parts if (part := cut(ring, row, self.name, where))]
        return tuple(found)

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form."""
        fit = fit_of(_ANSWER, prediction)
        if not fit.form:
            return fit
        things = _ANSWER.decode(prediction)
        return Fit(form=all(thing.outline() is not None for thing in things), content=bool(things))
