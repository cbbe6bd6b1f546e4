"""``frame-detections``: what a detector of pictures found in each frame of a video that it was shown.

There is no standard; these are the common shapes, an object or a list of frames::

    {"frames": {"0": [{"label": "car", "score": 0.9, "box": {...}, "track_id": 7}, ...], "5": []}}
    {"frames": [{"frame": 0, "detections": [...]}, {"time": 0.2, "detections": [...]}]}

``frames`` may be left out around either. A key is the model's frame number (from 0 unless the name says ``:from-1``),
or seconds when it has a point or ends in ``s`` (``"0.2"``, ``"0.2s"``); detections may also be called ``objects`` or
``boxes``. Boxes are spelt as ``tracks`` tells.

How frames become tracks: detections of one ``track_id`` (or ``id``) are one object. Its class is the one with the
highest sum of scores, its confidence the mean of that class's scores; its stretch breaks where the model looked at a
frame and did not see it, so no box is drawn where there was none. A detection **without** an id is an object of its own
in that one frame: the boxes of two frames are never joined by a guess.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import Fit, class_name, parse, refuse, unit
from vertex_model_inference.decoders.timing import Clock, Time
from vertex_model_inference.decoders.tracks import BoxForm, Layout
from vertex_model_inference.findings import FoundFrame, FoundTrack
from vertex_model_inference.rows import DataRow

__all__ = ["FrameDetections"]


class _Detection(msgspec.Struct):
    label: str | float | None = None
    class_: str | float | None = msgspec.field(default=None, name="class")
    score: float | None = None
    confidence: float | None = None
    box: BoxForm | None = None
    bbox: BoxForm | None = None
    track_id: str | int | None = None
    id: str | int | None = None


class _Frame(msgspec.Struct):
    frame: float | None = None
    time: Time | None = None
    timestamp: Time | None = None
    detections: list[_Detection] | None = None
    objects: list[_Detection] | None = None
    boxes: list[_Detection] | None = None

    def found(self) -> list[_Detection] | None:
        """The detections, wherever they stand."""
        return next((one for one in (self.detections, self.objects, self.boxes) if one is not None), None)


class _Wrapped(msgspec.Struct):
    frames: list[_Frame] | dict[str, list[_Detection]]


_WRAPPED = msgspec.json.Decoder(_Wrapped)
_BARE = msgspec.json.Decoder(list[_Frame] | dict[str, list[_Detection]])


class _Seen(msgspec.Struct):
    """One detection, read."""

    label: str
    score: float | None
    box: tuple[float, float, float, float]
    frame: int


class FrameDetections:
    """Detections frame by frame; see the module's docstring for the forms.

    Args:
        class_names: What numbers in ``label`` stand for.
        layout: Order of four numbers, ``relative``, ``from-1``; see ``tracks``.

    Raises:
        UnknownOutputError: The layout is none.
    """

    def __init__(self, class_names: Sequence[str] = (), layout: str = "") -> None:
        self.class_names = tuple(class_names)
        self.name = f"frame-detections:{layout}" if layout else "frame-detections"
        self._layout = Layout.of("frame-detections", layout)

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundTrack, ...]:
        """Tracks in the order in which they are first seen.

        Raises:
            DecodeError: See ``Decoder.decode``; also when times need a frame rate, or the order of boxes is not told.
        """
        looked: dict[int, None] = {}
        groups: dict[str | int, list[_Seen]] = {}
        for frame, detections, at in self._frames(prediction, row):
            if frame in looked:
                refuse(self.name, row, f"{at} is frame {frame} of the video, which another item is too")
            looked[frame] = None
            for number, detection in enumerate(detections):
                where = f"detection {number} of {at}"
                seen = self._seen(detection, frame, row, where)
                identity = detection.track_id if detection.track_id is not None else detection.id
                group = groups.setdefault(f"id {identity}" if identity is not None else len(groups), [])
                if group and group[-1].frame == frame:
                    refuse(self.name, row, f"{where} has the track id {identity!r:.60}, which that frame has twice")
                group.append(seen)
        order = {frame: place for place, frame in enumerate(sorted(looked))}
        return tuple(_track(sorted(seen, key=lambda one: one.frame), order, name) for name, seen in groups.items())

    def _frames(self, prediction: bytes, row: DataRow) -> list[tuple[int, list[_Detection], str]]:
        """Number, detections, and name for messages, of each frame that the model looked at."""
        try:
            answer = _WRAPPED.decode(prediction).frames
        except (ValueError, RecursionError):
            answer = parse(_BARE, prediction, self.name, row)
        clock = Clock(row, self.name)
        made = []
        if isinstance(answer, dict):
            for key, detections in answer.items():
                at = f"frame {key!r:.40}"
                made.append((self._numbered(key, clock, row, at), detections, at))
            return made
        for index, item in enumerate(answer):
            at = f"frames[{index}]"
            found = item.found()
            if found is None:
                refuse(self.name, row, f"{at} has no detections")
            when = item.time if item.time is not None else item.timestamp
            if item.frame is not None:
                number = clock.numbered(item.frame, f"frame of {at}", base=self._layout.base)
            elif when is not None:
                number = clock.frame_at(when, f"time of {at}")
            else:
                refuse(self.name, row, f"{at} has neither frame nor time")
            made.append((number, found, at))
        return made

    def _numbered(self, key: str, clock: Clock, row: DataRow, at: str) -> int:
        if key.isascii() and key.isdigit() and len(key) < 16:
            return clock.numbered(int(key), at, base=self._layout.base)
        if "." not in key and not key.endswith("s"):
            refuse(self.name, row, f"{at} is neither a frame's number nor seconds such as '0.2'")
        return clock.frame_at(key, at)

    def _seen(self, detection: _Detection, frame: int, row: DataRow, where: str) -> _Seen:
        given = detection.label if detection.label is not None else detection.class_
        form = detection.box if detection.box is not None else detection.bbox
        if given is None or form is None:
            refuse(self.name, row, f"{where} has no {'label' if given is None else 'box'}")
        label = class_name(given, self.class_names, self.name, row, f"label of {where}")
        score = detection.score if detection.score is not None else detection.confidence
        c = None if score is None else unit(score, self.name, row, f"score of {where}")
        return _Seen(label, c, self._layout.box(form, row, self.name, where), frame)

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form; the order of its boxes is another matter."""
        detections = _detections(prediction)
        if detections is None:
            return Fit(form=False, content=False)
        form = all(one.box is not None or one.bbox is not None for one in detections)
        return Fit(form=form, content=form and bool(detections))

    @staticmethod
    def implies_layout(prediction: bytes) -> bool:
        """Whether the boxes of an answer of this form name their numbers."""
        return not any(isinstance(one.box or one.bbox, list) for one in _detections(prediction) or ())


def _detections(prediction: bytes) -> list[_Detection] | None:
    """All detections of an answer of this form; None: it is of another."""
    try:
        answer = _WRAPPED.decode(prediction).frames
    except (ValueError, RecursionError):
        try:
            answer = _BARE.decode(prediction)
        except (ValueError, RecursionError):
            return None
        if not answer:  # "[]" and "{}" are empty in every form
            return None
    if isinstance(answer, dict):
        if not all(key[:1].isdigit() for key in answer):
            return None
        return [one for several in answer.values() for one in several]
    if any(item.found() is None for item in answer):
        return None
    return [one for item in answer for one in item.found() or ()]


def _track(seen: Sequence[_Seen], order: dict[int, int], name: str | int) -> FoundTrack:
    """One object; ``order``: place of each frame among those that the model looked at."""
    sums: dict[str, float] = {}
    for one in seen:
        sums[one.label] = sums.get(one.label, 0.0) + (1.0 if one.score is None else one.score)
    label = max(sums, key=lambda each: sums[each])
    scores = [one.score for one in seen if one.label == label and one.score is not None]
    segments: list[list[FoundFrame]] = []
    for index, one in enumerate(seen):
        if index == 0 or order[one.frame] > order[seen[index - 1].frame] + 1:
            segments.append([])
        segments[-1].append(FoundFrame(one.frame, *one.box))
    confidence = min(sum(scores) / len(scores), 1.0) if scores else None
    identity = name.removeprefix("id ") if isinstance(name, str) else None
    return FoundTrack(label, tuple(tuple(segment) for segment in segments), confidence, id=identity)
