"""What moves in a video, by classical vision: differences of frames, their regions, and regions followed in time.

Ten times a second the picture is compared with the one before, which is first shifted by how far the whole scene moved
(phase correlation), so that a swaying camera is not taken for movement. What differs clearly makes regions; a region
that overlaps one of the picture before goes on with its track. The same video gives the same answer. Nothing is learnt,
and nothing is known of what it is that moves.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from vertex_model_inference.sandbox.containers.serve import InstanceError

__all__ = ["RATE", "Box", "Movement", "Picture", "Seen", "Track", "pictures", "watch"]

RATE = 10.0
"""Pictures a second that are looked at."""

_WIDEST = 320  # pixels across that the eye works with
_DIFFERENT = 20  # grey levels of 0..255
_SMALLEST = 0.004  # of the picture's area
_SAME = 0.25  # overlap (intersection over union) with which a region goes on with a track
_PATIENCE = 4  # pictures that a track may be unseen before it ends
_SHORTEST = 4  # pictures that a track must be seen in
_CUT = (0.85, 40.0)  # another shot: histograms correlate less, and grey levels differ by more in the mean
_LIVELY = 0.01  # share of moving pixels at which a picture is as likely moving as still
MAX_SECONDS = 600.0

Grey = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]
"""left, top, right, bottom, relative to the picture, 0..1."""


@dataclass(frozen=True)
class Picture:
    """A picture that was looked at: seconds from the first frame, its frame's number from 0, its grey levels."""

    seconds: float
    frame: int
    grey: Grey


@dataclass(frozen=True)
class Seen:
    """A region in one picture; ``mask`` covers the small picture that was worked with."""

    seconds: float
    frame: int
    box: Box
    mask: npt.NDArray[np.bool_]


@dataclass
class Track:
    """A region that was followed; ``looked``: pictures from its first to its last."""

    seen: list[Seen]
    looked: int = 1
    missed: int = 0

    @property
    def confidence(self) -> float:
        """Share of those pictures in which it moved."""
        return len(self.seen) / max(self.looked, len(self.seen))


@dataclass
class Movement:
    """What was seen of a video.

    Attributes:
        tracks: What moved, in the order in which it began.
        moving: (seconds, score 0..1 that the picture moves) of each picture but the first.
        cuts: Seconds at which another shot begins.
        looked: (seconds, frame from 0) of every picture that was looked at.
        width: Of the video in pixels; likewise ``height``.
    """

    width: int
    height: int
    tracks: list[Track] = field(default_factory=list)
    moving: list[tuple[float, float]] = field(default_factory=list)
    cuts: list[float] = field(default_factory=list)
    looked: list[tuple[float, int]] = field(default_factory=list)


def pictures(data: bytes, start: float, end: float) -> Iterator[tuple[Picture, int, int]]:
    """The pictures of a video to look at, with its width and height.

    Args:
        data: An MP4, QuickTime or AVI file.
        start: Seconds; ``end``: seconds, exclusive, may be infinite.

    Raises:
        InstanceError: It is no such video, is damaged, or is longer than ``MAX_SECONDS``.
    """
    import av

    known = "avi" if data[:4] == b"RIFF" else "mov" if data[4:8] == b"ftyp" else None
    if known is None:
        raise InstanceError("The content is not an MP4, QuickTime or AVI file.")
    try:
        container: Any
        with av.open(io.BytesIO(data), format=known, options={"protocol_whitelist": ""}) as container:
            if not container.streams.video:
                raise InstanceError("The content has no pictures in it.")
            stream = container.streams.video[0]
            wide, high = int(stream.width), int(stream.height)
            scale = min(1.0, _WIDEST / wide)
            small = (max(1, round(wide * scale)), max(1, round(high * scale)))
            first: float | None = None
            due = start
            for number, frame in enumerate(container.decode(stream)):
                first = frame.time if first is None else first
                seconds = frame.time - first
                if seconds > MAX_SECONDS:
                    raise InstanceError(f"The video is longer than {MAX_SECONDS:g} s.")
                if seconds >= end:
                    return
                if seconds + 1e-6 >= due:
                    due = max(due + 1 / RATE, seconds + 0.5 / RATE)
                    grey = frame.reformat(*small, format="gray").to_ndarray()
                    yield Picture(seconds, number, np.ascontiguousarray(grey)), wide, high
    except (av.error.FFmpegError, ValueError) as error:
        raise InstanceError(f"The video is damaged: {error}") from None


def watch(data: bytes, start: float = 0.0, end: float = float("inf")) -> Movement:
    """See what moves from ``start`` to ``end``.

    Raises:
        InstanceError: As ``pictures``.
    """
    import cv2

    movement: Movement | None = None
    before: Picture | None = None
    histogram: Any = None
    open_tracks: list[Track] = []
    for picture, wide, high in pictures(data, start, end):
        if movement is None:
            movement = Movement(wide, high)
        movement.looked.append((picture.seconds, picture.frame))
        now = cv2.calcHist([picture.grey], [0], None, [32], [0, 256])
        cut = (
            before is not None
            and cv2.compareHist(histogram, now, cv2.HISTCMP_CORREL) < _CUT[0]
            and float(cv2.absdiff(before.grey, picture.grey).mean()) > _CUT[1]
        )
        histogram = now
        if cut:
            movement.cuts.append(picture.seconds)
            open_tracks = []
        elif before is not None:
            different = _different(before.grey, picture.grey)
            share = float(different.mean())
            movement.moving.append((picture.seconds, share / (share + _LIVELY)))
            open_tracks = _follow(open_tracks, list(_regions(picture, different)), movement)
        before = picture
    if movement is None:
        raise InstanceError("There is no picture in the time segment.")
    movement.tracks = [track for track in movement.tracks if len(track.seen) >= _SHORTEST]
    return movement


def _different(before: Grey, now: Grey) -> npt.NDArray[np.uint8]:
    """1 where the picture differs from the one before, once that is shifted as the scene moved."""
    import cv2

    window = cv2.createHanningWindow(now.shape[::-1], cv2.CV_32F)
    (dx, dy), response = cv2.phaseCorrelate(before.astype(np.float32), now.astype(np.float32), window)
    if response > 0.1 and max(abs(dx), abs(dy)) < 0.1 * max(now.shape):
        moved = np.array([[1, 0, dx], [0, 1, dy]], dtype=np.float32)
        shifted = cv2.warpAffine(before, moved, now.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        # A large thing that moves alone is not the scene: then the shift makes all else differ.
        if float(cv2.absdiff(shifted, now).mean()) < float(cv2.absdiff(before, now).mean()):
            before = shifted
    blurred = [cv2.GaussianBlur(each, (5, 5), 0) for each in (before, now)]
    different = (cv2.absdiff(*blurred) > _DIFFERENT).astype(np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    closed: npt.NDArray[np.uint8] = cv2.morphologyEx(different, cv2.MORPH_CLOSE, kernel)
    opened: npt.NDArray[np.uint8] = cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return opened


def _regions(picture: Picture, different: npt.NDArray[np.uint8]) -> Iterator[Seen]:
    """Regions of a size worth telling, the largest first."""
    import cv2

    high, wide = different.shape
    count, labels, stats, _ = cv2.connectedComponentsWithStats(different)
    for number in sorted(range(1, count), key=lambda n: -int(stats[n][cv2.CC_STAT_AREA])):
        left, top, width, height, area = (int(value) for value in stats[number][:5])
        if area >= _SMALLEST * wide * high:
            box = (left / wide, top / high, (left + width) / wide, (top + height) / high)
            yield Seen(picture.seconds, picture.frame, box, labels == number)


def _follow(tracks: list[Track], regions: list[Seen], movement: Movement) -> list[Track]:
    """The tracks that may go on after a picture: each takes the region that overlaps it most, others begin."""
    pairs = sorted(
        (
            (_overlap(track.seen[-1].box, region.box), t, r)
            for t, track in enumerate(tracks)
            for r, region in enumerate(regions)
        ),
        key=lambda pair: (-pair[0], pair[1], pair[2]),
    )
    taken_tracks: set[int] = set()
    taken: set[int] = set()
    for overlap, t, r in pairs:
        if overlap >= _SAME and t not in taken_tracks and r not in taken:
            taken_tracks.add(t)
            taken.add(r)
            track = tracks[t]
            track.looked += track.missed + 1
            track.missed = 0
            track.seen.append(regions[r])
    for t, track in enumerate(tracks):
        if t not in taken_tracks:
            track.missed += 1
    begun = [Track([region]) for r, region in enumerate(regions) if r not in taken]
    movement.tracks += begun
    return [track for track in tracks if track.missed <= _PATIENCE] + begun


def _overlap(one: Box, other: Box) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    both = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1])
    return wide * high / (both - wide * high)
