"""``video-tracks``: objects followed through a video, as custom containers give them.

There is no standard; this is what trackers' authors commonly write, one item for each object::

    [{"id": 7, "label": "car", "score": 0.9,
      "frames": [{"frame": 0, "box": {"xmin": 10, "ymin": 20, "xmax": 60, "ymax": 90}}, ...]}, ...]

The list may stand under ``tracks`` (or ``predictions``); boxes under ``box`` or ``bbox``, in the forms that ``tracks``
tells. A box's place in time is ``frame`` (the model's number, from 0 unless the name says ``:from-1``) or ``time``
(seconds; ``timestamp``, ``timeOffset`` too). Where the item has no ``score``, its track's is the mean of its boxes'.
``track_id`` is read as ``id``.

All of a track's boxes are one stretch: between two of them the object is where the straight line has it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import Fit, class_name, parse, refuse, unit
from vertex_model_inference.decoders.timing import Clock, Time
from vertex_model_inference.decoders.tracks import BoxForm, Layout, by_frame
from vertex_model_inference.findings import FoundFrame, FoundTrack
from vertex_model_inference.rows import DataRow

__all__ = ["VideoTracks"]


class _Frame(msgspec.Struct):
    frame: float | None = None
    time: Time | None = None
    timestamp: Time | None = None
    timeOffset: Time | None = None  # noqa: N815  # the answer's name
    box: BoxForm | None = None
    bbox: BoxForm | None = None
    score: float | None = None
    confidence: float | None = None

    def when(self) -> Time | None:
        """Its time, wherever it stands."""
        given = (self.time, self.timestamp, self.timeOffset)
        return next((one for one in given if one is not None), None)


class _Track(msgspec.Struct):
    frames: list[_Frame]
    id: str | int | None = None
    track_id: str | int | None = None
    label: str | float | None = None
    class_: str | float | None = msgspec.field(default=None, name="class")
    score: float | None = None
    confidence: float | None = None


class _Listed(msgspec.Struct):
    tracks: list[_Track] | None = None
    predictions: list[_Track] | None = None

    def items(self) -> list[_Track] | None:
        """The tracks, wherever they stand."""
        return self.tracks if self.tracks is not None else self.predictions


_ANSWER = msgspec.json.Decoder(list[_Track] | _Listed)


class VideoTracks:
    """Tracks; see the module's docstring for the forms.

    Args:
        class_names: What numbers in ``label`` stand for.
        layout: Order of four numbers, ``relative``, ``from-1``; see ``tracks``.

    Raises:
        UnknownOutputError: The layout is none.
    """

    def __init__(self, class_names: Sequence[str] = (), layout: str = "") -> None:
        self.class_names = tuple(class_names)
        self.name = f"video-tracks:{layout}" if layout else "video-tracks"
        self._layout = Layout.of("video-tracks", layout)

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundTrack, ...]:
        """Each object with its boxes in pixels, in the model's order; one without any box is none.

        Raises:
            DecodeError: See ``Decoder.decode``; also when times need a frame rate, or the order of boxes is not told.
        """
        clock = Clock(row, self.name)
        found = []
        for index, track in enumerate(self._tracks(prediction, row)):
            where = f"[{index}]"
            given = track.label if track.label is not None else track.class_
            if given is None:
                refuse(self.name, row, f"{where} has no label")
            label = class_name(given, self.class_names, self.name, row, f"{where}.label")
            where = f"{where} ({label!r:.80})"
            placed, scores = [], []
            for number, frame in enumerate(track.frames):
                at = f"frames[{number}] of {where}"
                form = frame.box if frame.box is not None else frame.bbox
                if form is None:
                    refuse(self.name, row, f"{at} has no box")
                seconds, shown = self._place(frame, clock, row, at)
                placed.append((seconds, FoundFrame(shown, *self._layout.box(form, row, self.name, at))))
                given_score = frame.score if frame.score is not None else frame.confidence
                if given_score is not None:
                    scores.append(unit(given_score, self.name, row, f"score of {at}"))
            score = track.score if track.score is not None else track.confidence
            c = _mean(scores) if score is None else unit(score, self.name, row, f"score of {where}")
            if placed:
                timed = track.frames[0].frame is None
                frames = by_frame(placed, clock.timeline if timed else None)
                identity = track.id if track.id is not None else track.track_id
                found.append(FoundTrack(label, (frames,), c, id=None if identity is None else str(identity)))
        return tuple(found)

    def _tracks(self, prediction: bytes, row: DataRow) -> list[_Track]:
        answer = parse(_ANSWER, prediction, self.name, row)
        tracks = answer if isinstance(answer, list) else answer.items()
        if tracks is None:
            refuse(self.name, row, "it is neither a list nor has it one under tracks or predictions")
        return tracks

    def _place(self, frame: _Frame, clock: Clock, row: DataRow, at: str) -> tuple[float, int]:
        """Seconds (0 where the model numbers frames) and the frame."""
        if frame.frame is not None:
            return 0.0, clock.numbered(frame.frame, f"frame of {at}", base=self._layout.base)
        when = frame.when()
        if when is None:
            refuse(self.name, row, f"{at} has neither frame nor time")
        return clock.seconds(when, f"time of {at}"), clock.frame_at(when, f"time of {at}")

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form; the order of its boxes is another matter."""
        try:
            answer = _ANSWER.decode(prediction)
        except (ValueError, RecursionError):
            return Fit(form=False, content=False)
        tracks = answer or None if isinstance(answer, list) else answer.items()
        if tracks is None:  # also "[]", which is empty in every form
            return Fit(form=False, content=False)
        form = all(f.box is not None or f.bbox is not None for track in tracks for f in track.frames)
        return Fit(form=form, content=form and bool(tracks))

    @staticmethod
    def implies_layout(prediction: bytes) -> bool:
        """Whether the boxes of an answer of this form name their numbers."""
        answer = _ANSWER.decode(prediction)
        tracks = answer if isinstance(answer, list) else answer.items() or []
        return not any(isinstance(f.box or f.bbox, list) for track in tracks for f in track.frames)


def _mean(scores: Sequence[float]) -> float | None:
    return min(sum(scores) / len(scores), 1.0) if scores else None
