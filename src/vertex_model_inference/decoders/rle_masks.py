"""``rle-masks``: instance masks as COCO run lengths, compressed (text) or plain (list).

Source: the results format of https://cocodataset.org/#format-results and ``pycocotools.mask``; Detectron2 and
Ultralytics write it::

    [{"category_id": 1, "score": 0.9, "segmentation": {"size": [height, width], "counts": "PPYo0..."}}, ...]

The run lengths may stand under ``segmentation``, ``mask`` or ``rle`` or in the object itself (``size`` and
``counts``); the class under ``label``, ``category`` or ``category_id``. Numbers index the class names from 0; COCO's
own category ids begin with 1, so give a class name for 0 too.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import Fit, class_name, fit_of, parse, refuse, unit
from vertex_model_inference.decoders.masks import found_runs
from vertex_model_inference.findings import FoundMask
from vertex_model_inference.geometry import rle
from vertex_model_inference.rows import DataRow

__all__ = ["RleMasks"]


class _Runs(msgspec.Struct):
    size: tuple[int, int]
    counts: str | list[int]


class _Object(msgspec.Struct):
    label: str | int | None = None
    category: str | int | None = None
    category_id: str | int | None = None
    score: float | None = None
    segmentation: _Runs | None = None
    mask: _Runs | None = None
    rle: _Runs | None = None
    size: tuple[int, int] | None = None
    counts: str | list[int] | None = None

    def runs(self) -> _Runs | None:
        """The run lengths, wherever they stand."""
        if self.size is not None and self.counts is not None:
            return _Runs(self.size, self.counts)
        return self.segmentation or self.mask or self.rle


_ANSWER = msgspec.json.Decoder(list[_Object])


class RleMasks:
    """Masks as run lengths; see the module's docstring for the forms."""

    name = "rle-masks"

    def __init__(self, class_names: Sequence[str] = ()) -> None:
        self.class_names = tuple(class_names)

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundMask, ...]:
        """Each mask that has pixels, in the model's order.

        Raises:
            DecodeError: See ``Decoder.decode``; also for runs that do not cover the asset.
        """
        found = []
        answer = parse(_ANSWER, prediction, self.name, row)
        for index, thing in enumerate(answer):
            where = f"[{index}]"
            given = next((one for one in (thing.label, thing.category, thing.category_id) if one is not None), None)
            runs = thing.runs()
            if given is None or runs is None:
                lacks = "label, category or category_id" if given is None else "size and counts"
                refuse(self.name, row, f"{where} has no {lacks}")
            label = class_name(given, self.class_names, self.name, row, f"{where}.label")
            c = None if thing.score is None else unit(thing.score, self.name, row, f"{where}.score")
            lengths = runs.counts if isinstance(runs.counts, list) else self._unpacked(runs.counts, row, where)
            found.append(found_runs(label, lengths, runs.size, c, row, self.name, where))
        return tuple([mask for mask in found if mask is not None])

    def _unpacked(self, counts: str, row: DataRow, where: str) -> list[int]:
        try:
            return rle.unpack(counts.encode())
        except ValueError as error:  # also a lone surrogate
            refuse(self.name, row, f"{where}.counts: {error}")

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form."""
        fit = fit_of(_ANSWER, prediction)
        if not fit.form:
            return fit
        things = _ANSWER.decode(prediction)
        return Fit(form=all(thing.runs() is not None for thing in things), content=bool(things))
