"""Videos as a page shows them: what is where in each frame, and which answers hold when. Pure functions.

Frames count from 1. Between two key frames of a segment a shape moves in a straight line, as Labelbox has it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from vertex_model_inference.sandbox.labelbox.page.annotated import Annotated, Json
from vertex_model_inference.sandbox.labelbox.page.chips import chips_of, short
from vertex_model_inference.sandbox.labelbox.page.shapes import Shape

__all__ = ["Film", "Held", "Track", "film_of", "shapes_at"]

MOST_TRACKS = 100
MOST_HELD = 100

Coordinates = list[float]
"""``x, y, x, y, ...``: left, top, width and height of a box; the points of a line."""


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """One object through a video.

    Attributes:
        form: ``rect``, ``point``, ``polyline`` or ``mask``.
        segments: First and last frame of each stretch in which it is there.
        keys: Frame -> coordinates there, rising by frame. Empty for masks.
        masks: Frame -> URL of the PNG.
    """

    form: str
    source: str
    name: str
    confidence: float | None
    segments: list[tuple[int, int]]
    keys: list[tuple[int, Coordinates]] = []
    masks: dict[int, str] = {}


class Held(msgspec.Struct, frozen=True):
    """An answer and the frames in which it holds, in ranges with both ends."""

    source: str
    question: str
    answer: str
    confidence: float | None
    ranges: list[tuple[int, int]]


class Film(msgspec.Struct, frozen=True):
    """A video's annotations; ``front`` is the frame to show first: the one in which most tracks begin or go on."""

    frames: int
    rate: float
    tracks: list[Track]
    held: list[Held]
    front: int = 1


def _coordinates(item: Json) -> tuple[str, Coordinates] | None:
    box, point, line = item.get("bounding_box"), item.get("point"), item.get("line")
    if box:
        return "rect", [float(box[name]) for name in ("left", "top", "width", "height")]
    if point:
        return "point", [float(point["x"]), float(point["y"])]
    if line:
        return "polyline", [float(place[axis]) for place in line for axis in ("x", "y")]
    return None


def film_of(annotated: Iterable[Annotated], frames: int, rate: float) -> Film:
    """Put the annotations of a video together.

    Args:
        annotated: Labels and predictions.
        frames: How many the video has.
        rate: Frames a second.
    """
    tracks: list[Track] = []
    held: list[Held] = []
    for side in annotated:
        if side.frames:
            tracks.extend(_tracks(side))
            held.extend(_held(side))
    starts = [first for track in tracks for first, _ in track.segments] or [
        first for one in held for first, _ in one.ranges
    ]
    front = max(starts, key=lambda n: (sum(_there(track, n) for track in tracks), -n), default=1)
    return Film(frames, rate, tracks[:MOST_TRACKS], held[:MOST_HELD], max(1, min(front, frames)))


def _numbered(side: Annotated) -> Iterator[tuple[int, Json]]:
    for number, frame in side.frames["frames"].items():
        yield int(number), frame


def _tracks(side: Annotated) -> Iterator[Track]:
    heads: dict[str, Json] = {}
    keys: dict[str, list[tuple[int, Coordinates]]] = {}
    masks: dict[str, dict[int, str]] = {}
    forms: dict[str, str] = {}
    for number, frame in _numbered(side):
        objects: dict[str, Json] = frame.get("objects") or {}
        for feature_id, item in objects.items():
            heads.setdefault(feature_id, item)
            place = _coordinates(item)
            if place is not None:
                forms[feature_id] = place[0]
                keys.setdefault(feature_id, []).append((number, place[1]))
            elif (item.get("mask") or {}).get("url"):
                forms[feature_id] = "mask"
                masks.setdefault(feature_id, {})[number] = item["mask"]["url"]
    for feature_id, form in forms.items():
        head = heads[feature_id]
        yield Track(
            form=form,
            source=side.source,
            name=short(head.get("name")),
            confidence=head.get("confidence"),
            segments=[(first, last) for first, last in side.frames["segments"].get(feature_id) or ()],
            keys=sorted(keys.get(feature_id, [])),
            masks=masks.get(feature_id, {}),
        )


def _held(side: Annotated) -> Iterator[Held]:
    """An answer stands in the first and in the last frame of each range in which it holds."""
    found: dict[tuple[str, str, str, float | None], list[tuple[int, int]]] = {}
    at: dict[tuple[str, int], set[tuple[str, str, str, float | None]]] = {}
    for number, frame in _numbered(side):
        for item in frame.get("classifications") or ():
            said = {(chip.owner, chip.question, chip.answer, chip.confidence) for chip in chips_of(item, side.source)}
            at.setdefault((item["feature_id"], number), set()).update(said)
    for feature_id, segments in side.frames["segments"].items():
        for first, last in dict.fromkeys((first, last) for first, last in segments):
            for key in at.get((feature_id, first), set()) & at.get((feature_id, last), set()):
                found.setdefault(key, []).append((first, last))
    for (owner, question, answer, confidence), ranges in found.items():
        yield Held(side.source, f"{owner} › {question}" if owner else question, answer, confidence, sorted(ranges))


def _there(track: Track, number: int) -> bool:
    return any(first <= number <= last for first, last in track.segments)


def _between(track: Track, number: int) -> Coordinates | None:
    """Where a track is in a frame of one of its segments."""
    after = bisect_right(track.keys, number, key=lambda pair: pair[0])
    if after == 0:
        return None
    first, here = track.keys[after - 1]
    if first == number or after == len(track.keys):
        return here
    last, there = track.keys[after]
    if len(here) != len(there):
        return here
    share = (number - first) / (last - first)
    return [a + (b - a) * share for a, b in zip(here, there, strict=True)]


def shapes_at(film: Film, number: int) -> list[Shape]:
    """What is drawn on a frame."""
    shapes = []
    for track in film.tracks:
        head: dict[str, Any] = {"source": track.source, "name": track.name, "confidence": track.confidence}
        if number in track.masks:
            shapes.append(Shape(form="mask", url=track.masks[number], **head))
        place = _between(track, number) if _there(track, number) and track.keys else None
        if place is None:
            continue
        if track.form == "rect":
            shapes.append(Shape(form="rect", box=(place[0], place[1], place[2], place[3]), **head))
        elif track.form == "point":
            shapes.append(Shape(form="point", box=(place[0], place[1], 0.0, 0.0), **head))
        else:
            points = " ".join(f"{x:g},{y:g}" for x, y in zip(place[::2], place[1::2], strict=True))
            shapes.append(Shape(form="polyline", points=points, **head))
    return shapes
