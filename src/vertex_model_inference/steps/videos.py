"""Found tracks and masks of videos become annotations; makers of ``kinds.py``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite

from vertex_model_inference.annotations import FrameMask, KeyFrame, VideoBox, VideoMask
from vertex_model_inference.errors import MatchError
from vertex_model_inference.findings import FoundFrame, FoundLabel, FoundText, FoundTrack, FoundVideoMask
from vertex_model_inference.geometry.runs import MalformedRunsError, decode
from vertex_model_inference.geometry.tracks import key_frames
from vertex_model_inference.steps.features import ToolFeature
from vertex_model_inference.steps.shapes import INVISIBLE, About, LeftOut

__all__ = ["track", "video_mask"]

_SMALL = LeftOut("is too small or outside in all its frames and was left out")


def track(found: FoundTrack, tool: ToolFeature, about: About) -> Sequence[VideoBox] | LeftOut:
    """The track with the key frames that it needs.

    Boxes are cut at the picture's edge; those without an area are left out, and the whole track where no box has the
    smallest size. Of the others those stay without which the straight line between key frames would miss one of the
    model's boxes by more than ``simplify_px``, in any edge and any frame, and those at which an answer begins or ends.

    Raises:
        MatchError: Frames do not rise or are none of the video's, or a coordinate is not a number.
    """
    _check_frames(found, [box.frame for segment in found.segments for box in segment], about)
    changes = _changes(found.answers)
    made = []
    seen = False
    least = about.rules.min_size_px
    for segment in found.segments:
        boxes = [box for each in segment if (box := _within(each, found, about)) is not None]
        if not boxes:
            continue
        seen = seen or any(min(box.width, box.height) >= least for box in boxes)
        edges = [(box.left, box.top, box.left + box.width, box.top + box.height) for box in boxes]
        kept = set(key_frames([box.frame for box in boxes], edges, about.rules.simplify_px))
        for frame in changes:
            kept.update([index for index, box in enumerate(boxes) if box.frame >= frame][:1])
        made.append(tuple(boxes[index] for index in sorted(kept)))
    if not seen:
        return _SMALL
    return (VideoBox(tool.name, tool.feature_schema_id, tuple(made), found.confidence, by_id=tool.by_id),)


def _within(box: FoundFrame, found: FoundTrack, about: About) -> KeyFrame | None:
    """The part of a box that is within the picture; None: nothing, or nothing that has an area."""
    numbers = (box.left, box.top, box.width, box.height)
    if not all(map(isfinite, numbers)):
        raise _wrong(found, about, f"has a coordinate in frame {box.frame} that is not a finite number")
    endless = float("inf")
    left, top = max(box.left, 0.0), max(box.top, 0.0)
    right = min(box.left + box.width, about.row.width or endless)
    bottom = min(box.top + box.height, about.row.height or endless)
    if right - left < INVISIBLE or bottom - top < INVISIBLE:
        return None
    return KeyFrame(box.frame, left, top, right - left, bottom - top)


def _changes(answers: Sequence[FoundLabel | FoundText]) -> list[int]:
    """Frames at which an answer begins or has just ended."""

    def every(given: Sequence[FoundLabel | FoundText]) -> Iterator[int]:
        for each in given:
            if isinstance(each, FoundLabel):
                for first, last in each.frames:
                    yield first
                    yield last + 1
                yield from every(each.answers)

    return sorted(set(every(answers)))


def video_mask(found: FoundVideoMask, tool: ToolFeature, about: About) -> Sequence[VideoMask] | LeftOut:
    """The masks of those frames in which the object has pixels.

    Raises:
        MatchError: Frames do not rise or are none of the video's, or a mask is malformed or of another size.
    """
    import numpy as np

    row = about.row
    _check_frames(found, [mask.frame for mask in found.frames], about)
    if row.width and row.height and (found.width, found.height) != (row.width, row.height):
        raise _wrong(found, about, f"is {found.width} x {found.height} pixels, the video {row.width} x {row.height}")
    kept = []
    large = False
    for mask in found.frames:
        try:
            drawn = decode(mask.counts, found.width, found.height)
        except MalformedRunsError as error:
            raise _wrong(found, about, f"cannot be read in frame {mask.frame}: {error}") from error
        rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
        if not rows.size:
            continue
        kept.append(FrameMask(mask.frame, mask.counts))
        shortest = min(int(rows[-1] - rows[0]), int(columns[-1] - columns[0])) + 1
        large = large or shortest >= about.rules.min_size_px
    if not large:
        return _SMALL
    name, schema_id = tool.name, tool.feature_schema_id
    return (VideoMask(name, schema_id, tuple(kept), found.width, found.height, found.confidence, tool.by_id),)


def _check_frames(found: FoundTrack | FoundVideoMask, frames: Sequence[int], about: About) -> None:
    before = 0
    count = about.row.frame_count
    for frame in frames:
        if frame <= before:
            told = f"goes from frame {before} to {frame}" if before else f"has the frame {frame}"
            raise _wrong(found, about, f"{told}; frames count from 1 and rise")
        before = frame
    if count is not None and before > count:
        raise _wrong(found, about, f"has the frame {before}, the video only {count}")


def _wrong(found: FoundTrack | FoundVideoMask, about: About, why: str) -> MatchError:
    kind = "track" if isinstance(found, FoundTrack) else "video mask"
    return MatchError(
        f"The {kind} of class {found.label!r:.80} on data row {about.row.id} {why}.",
        hint="Correct what the model answers, or the decoder that reads it.",
        data_row_id=about.row.id,
    )
