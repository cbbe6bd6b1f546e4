"""``keypoints``: places on an object, such as a pose.

Source: the keypoint results of https://cocodataset.org/#format-results and torchvision's ``keypointrcnn``::

    [{"label": "person", "score": 0.9, "keypoints": [x, y, v, x, y, v, ...], "names": ["nose", "left_eye", ...]}, ...]

in pixels; flat or as ``[[x, y, v], ...]``. ``v`` is 0 for a point that is not there, which gives nothing. A point's
class is its name: from ``names``, else the class names, else its number. Its confidence is the object's score.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import Fit, class_name, fit_of, parse, refuse, unit
from vertex_model_inference.decoders.outlines import place
from vertex_model_inference.findings import FoundPoint
from vertex_model_inference.rows import DataRow

__all__ = ["Keypoints"]

_Triple = tuple[float, float, float]


# msgspec reads but one list type in a union, so that numbers and triples are told apart item by item.
class _Object(msgspec.Struct):
    keypoints: list[float | _Triple]
    score: float | None = None
    names: list[str] | None = None


_ANSWER = msgspec.json.Decoder(list[_Object])


class Keypoints:
    """Keypoints; see the module's docstring for the forms."""

    name = "keypoints"

    def __init__(self, class_names: Sequence[str] = ()) -> None:
        self.class_names = tuple(class_names)

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundPoint, ...]:
        """Each point that is there, in pixels, object by object.

        Raises:
            DecodeError: See ``Decoder.decode``; also for another number of names than of points.
        """
        found = []
        answer = parse(_ANSWER, prediction, self.name, row)
        for index, thing in enumerate(answer):
            where = f"[{index}]"
            c = None if thing.score is None else unit(thing.score, self.name, row, f"{where}.score")
            points = self._triples(thing.keypoints, row, where)
            if thing.names is not None and len(thing.names) != len(points):
                refuse(self.name, row, f"{where} has {len(points)} keypoints but {len(thing.names)} names")
            names = thing.names if thing.names is not None else self.class_names
            for number, (x, y, seen) in enumerate(points):
                spot = f"{where}.keypoints[{number}]"
                if not 0 <= seen <= 2:
                    refuse(self.name, row, f"{spot} has the visibility {seen!r}, it must be 0, 1 or 2")
                if seen:
                    label = class_name(number, names, self.name, row, spot)
                    found.append(FoundPoint(label, *place(x, y, row, self.name, spot), c))
        return tuple(found)

    def _triples(self, given: list[float | _Triple], row: DataRow, where: str) -> list[_Triple]:
        triples = [one for one in given if isinstance(one, tuple)]
        flat = [one for one in given if not isinstance(one, tuple)]
        if (triples and flat) or len(flat) % 3:
            refuse(self.name, row, f"{where}.keypoints are not x, y and visibility of each point")
        return triples or list(zip(flat[::3], flat[1::3], flat[2::3], strict=True))

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form."""
        return fit_of(_ANSWER, prediction)
