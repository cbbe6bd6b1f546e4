"""``video-masks``: the pixels of objects through a video, as COCO run lengths frame by frame.

The form is that of ``rle-masks`` with a frame or a time at each mask (YouTube-VIS's ``segmentations``, a list with one
entry for each frame, null where the object is not seen, is read too)::

    [{"id": 3, "label": "dog", "score": 0.9,
      "frames": [{"frame": 0, "segmentation": {"size": [height, width], "counts": "PPYo0..."}}, ...]}, ...]
    [{"category_id": 1, "score": 0.9, "segmentations": [{"size": ..., "counts": ...}, null, ...]}, ...]

``frame`` counts from 0 unless the name says ``:from-1``; ``time`` is in seconds. Numbers in ``label`` and
``category_id`` index the class names from 0. Source of the second form: ``ytvos.py`` of
https://github.com/youtubevos/cocoapi.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import Fit, class_name, parse, refuse, unit
from vertex_model_inference.decoders.masks import found_runs
from vertex_model_inference.decoders.timing import Clock, Time
from vertex_model_inference.decoders.tracks import Layout
from vertex_model_inference.findings import FoundFrameMask, FoundVideoMask
from vertex_model_inference.geometry import rle
from vertex_model_inference.rows import DataRow

__all__ = ["VideoMasks"]


class _Runs(msgspec.Struct):
    size: tuple[int, int]
    counts: str | list[int]


class _Frame(msgspec.Struct):
    frame: float | None = None
    time: Time | None = None
    segmentation: _Runs | None = None
    mask: _Runs | None = None
    rle: _Runs | None = None


class _Object(msgspec.Struct):
    frames: list[_Frame] | None = None
    segmentations: list[_Runs | None] | None = None
    id: str | int | None = None
    label: str | float | None = None
    category_id: str | float | None = None
    score: float | None = None


_ANSWER = msgspec.json.Decoder(list[_Object])


class VideoMasks:
    """Masks frame by frame; see the module's docstring for the forms.

    Args:
        class_names: What numbers stand for.
        layout: ``from-1`` where the model numbers frames from 1.

    Raises:
        UnknownOutputError: The layout is another.
    """

    def __init__(self, class_names: Sequence[str] = (), layout: str = "") -> None:
        self.class_names = tuple(class_names)
        self.name = f"video-masks:{layout}" if layout else "video-masks"
        self._base = Layout.of("video-masks", layout).base

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundVideoMask, ...]:
        """Each object that has pixels in any frame, in the model's order.

        Raises:
            DecodeError: See ``Decoder.decode``; also for runs that do not cover the picture, and a frame given twice.
        """
        clock = Clock(row, self.name)
        found = []
        answer = parse(_ANSWER, prediction, self.name, row)
        for index, thing in enumerate(answer):
            where = f"[{index}]"
            given = thing.label if thing.label is not None else thing.category_id
            if given is None:
                refuse(self.name, row, f"{where} has no label or category_id")
            label = class_name(given, self.class_names, self.name, row, f"{where}.label")
            c = None if thing.score is None else unit(thing.score, self.name, row, f"{where}.score")
            frames: dict[int, FoundFrameMask] = {}
            size: tuple[int, int] | None = None
            for number, runs, at in self._runs(thing, clock, row, f"{where} ({label!r:.80})"):
                if number in frames:
                    refuse(self.name, row, f"{at} is frame {number} of the video, which another of its masks is too")
                if size is not None and runs.size != size:
                    refuse(self.name, row, f"{at} is of another size than the masks before it")
                lengths = runs.counts if isinstance(runs.counts, list) else self._unpacked(runs.counts, row, at)
                mask = found_runs(label, lengths, runs.size, c, row, self.name, at)
                size = runs.size
                if mask is not None:
                    frames[number] = FoundFrameMask(number, mask.counts)
            if frames and size is not None:
                ordered = tuple(frames[number] for number in sorted(frames))
                identity = None if thing.id is None else str(thing.id)
                found.append(FoundVideoMask(label, ordered, size[1], size[0], c, id=identity))
        return tuple(found)

    def _runs(self, thing: _Object, clock: Clock, row: DataRow, where: str) -> list[tuple[int, _Runs, str]]:
        """Frame, run lengths and name for messages of each mask."""
        made = []
        if thing.segmentations is not None:
            for number, given in enumerate(thing.segmentations):
                at = f"segmentations[{number}] of {where}"
                if given is not None:
                    made.append((clock.numbered(number, at), given, at))
            return made
        if thing.frames is None:
            refuse(self.name, row, f"{where} has neither frames nor segmentations")
        for number, frame in enumerate(thing.frames):
            at = f"frames[{number}] of {where}"
            runs = frame.segmentation or frame.mask or frame.rle
            if runs is None:
                refuse(self.name, row, f"{at} has no segmentation")
            if frame.frame is not None:
                shown = clock.numbered(frame.frame, f"frame of {at}", base=self._base)
            elif frame.time is not None:
                shown = clock.frame_at(frame.time, f"time of {at}")
            else:
                refuse(self.name, row, f"{at} has neither frame nor time")
            made.append((shown, runs, at))
        return made

    def _unpacked(self, counts: str, row: DataRow, where: str) -> list[int]:
        try:
            return rle.unpack(counts.encode())
        except ValueError as error:  # also a lone surrogate
            refuse(self.name, row, f"{where}.counts: {error}")

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form."""
        try:
            things = _ANSWER.decode(prediction)
        except (ValueError, RecursionError):
            return Fit(form=False, content=False)
        form = bool(things) and all(
            thing.segmentations is not None
            or (thing.frames is not None and all(f.segmentation or f.mask or f.rle for f in thing.frames))
            for thing in things
        )
        return Fit(form=form, content=form)
