"""``video-segments``: stretches of a video with a class, as custom containers give them.

There is no standard; this is the form of Hugging Face's pipelines with a stretch of time added::

    [{"label": "goal", "score": 0.9, "start": 12.4, "end": 15.0}, ...]

Times are seconds from the start of the video (see ``timing`` for their forms), the end exclusive; ``start_time`` and
``end_time`` are read too. ``start_frame`` and ``end_frame`` instead are the model's frame numbers, both inclusive,
counted from 0, or from 1 with ``video-segments:from-1``. An item with neither is about the whole video. The list may
stand under ``segments`` or ``predictions``.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import Fit, class_name, parse, refuse, unit
from vertex_model_inference.decoders.timing import Clock, Time
from vertex_model_inference.decoders.tracks import Layout
from vertex_model_inference.findings import FoundLabel
from vertex_model_inference.rows import DataRow

__all__ = ["VideoSegments"]


class _Item(msgspec.Struct):
    label: str | float | None = None
    class_: str | float | None = msgspec.field(default=None, name="class")
    name: str | None = None
    score: float | None = None
    confidence: float | None = None
    start: Time | None = None
    end: Time | None = None
    start_time: Time | None = None
    end_time: Time | None = None
    start_frame: float | None = None
    end_frame: float | None = None


class _Listed(msgspec.Struct):
    segments: list[_Item] | None = None
    predictions: list[_Item] | None = None

    def items(self) -> list[_Item] | None:
        """The stretches, wherever they stand."""
        return self.segments if self.segments is not None else self.predictions


_ANSWER = msgspec.json.Decoder(list[_Item] | _Listed)


class VideoSegments:
    """Stretches with a class; see the module's docstring for the forms.

    Args:
        class_names: What numbers in ``label`` stand for.
        layout: ``from-1`` where the model numbers frames from 1.

    Raises:
        UnknownOutputError: The layout is another.
    """

    def __init__(self, class_names: Sequence[str] = (), layout: str = "") -> None:
        self.class_names = tuple(class_names)
        self.name = f"video-segments:{layout}" if layout else "video-segments"
        self._base = Layout.of("video-segments", layout).base

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundLabel, ...]:
        """Each stretch with its class and frames, in the model's order.

        Raises:
            DecodeError: See ``Decoder.decode``; also when the row's frame rate is unknown and a time needs it.
        """
        clock = Clock(row, self.name)
        answer = parse(_ANSWER, prediction, self.name, row)
        items = answer if isinstance(answer, list) else answer.items()
        if items is None:
            refuse(self.name, row, "it is neither a list nor has it one under segments or predictions")
        found = []
        for index, item in enumerate(items):
            where = f"[{index}]"
            given = next((one for one in (item.label, item.class_, item.name) if one is not None), None)
            if given is None:
                refuse(self.name, row, f"{where} has no label")
            label = class_name(given, self.class_names, self.name, row, f"{where}.label")
            score = item.score if item.score is not None else item.confidence
            c = None if score is None else unit(score, self.name, row, f"{where}.score")
            frames = self._frames(item, clock, row, f"{where} ({label!r:.80})")
            found.append(FoundLabel(label, c, frames=frames))
        return tuple(found)

    def _frames(self, item: _Item, clock: Clock, row: DataRow, where: str) -> tuple[tuple[int, int], ...]:
        start = item.start if item.start is not None else item.start_time
        end = item.end if item.end is not None else item.end_time
        if start is not None and end is not None:
            return (clock.frames_between(start, end, where),)
        if item.start_frame is not None and item.end_frame is not None:
            first = clock.numbered(item.start_frame, f"start_frame of {where}", base=self._base)
            last = clock.numbered(item.end_frame, f"end_frame of {where}", base=self._base)
            if last < first:
                refuse(self.name, row, f"{where} ends at frame {item.end_frame:g}, before it begins")
            return ((first, last),)
        if any(one is not None for one in (start, end, item.start_frame, item.end_frame)):
            refuse(self.name, row, f"{where} has a start without an end, or an end without a start")
        return ()

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form: each item has a stretch, and one that text offsets cannot be."""
        try:
            answer = _ANSWER.decode(prediction)
        except (ValueError, RecursionError):
            return Fit(form=False, content=False)
        items = answer if isinstance(answer, list) else answer.items() or []
        form = bool(items) and all(map(_is_stretch, items))
        return Fit(form=form, content=form)


def _is_stretch(item: _Item) -> bool:
    if item.label is None and item.class_ is None and item.name is None:
        return False
    if item.start_frame is not None and item.end_frame is not None:
        return True
    start = item.start if item.start is not None else item.start_time
    end = item.end if item.end is not None else item.end_time
    if start is None or end is None:
        return False
    return not (isinstance(start, int) and isinstance(end, int))
