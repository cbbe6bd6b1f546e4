"""The cells of the matrix that are about videos: answers about two animals, and what must come back of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from faster_coco_eval.core import mask as coco

__all__ = ["COUNT", "HEIGHT", "MASKS", "RATE", "STRETCHES", "TRACKS", "VIDEO_CELLS", "WIDTH", "VideoCell"]

WIDTH, HEIGHT, RATE, COUNT = 48, 32, 10, 20
"""Of the video: pixels, frames a second, frames."""

Box = tuple[float, float, float, float]

TRACKS: dict[str, tuple[float, dict[int, Box]]] = {
    # The cat's way is no straight line, so that no box follows from its neighbours; the dog is seen in one frame.
    "cat": (
        0.8,
        {frame: (2 + frame * frame / 8, 4.0, 12 + frame * frame / 8, 20 + frame / 4) for frame in range(3, 10)},
    ),
    "dog": (0.4, {15: (0.0, 0.0, 48.0, 16.0)}),
}
"""Class -> score, and frame (from 1) -> left, top, right, bottom in pixels."""

STRETCHES = {"cat": (0.8, (3, 9)), "dog": (0.4, (10, 20))}
"""Class -> score, and the first and last frame in which it holds."""


def _mask(left: int, top: int, right: int, bottom: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    pixels = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    pixels[top:bottom, left:right] = True
    pixels[top, left] = False
    return pixels


MASKS = {
    "cat": (0.8, {2: _mask(2, 3, 12, 20), 3: _mask(4, 3, 14, 20), 5: _mask(9, 5, 20, 20)}),
    "dog": (0.4, {5: _mask(10, 10, 40, 32)}),
}
"""Class -> score, and frame (from 1) -> its pixels; the two overlap in frame 5."""


class VideoCell(msgspec.Struct):
    """How one family of video is put through one way; ``known``: it is recognised by its form."""

    family: str
    way: str
    answer: Callable[[], Any]
    known: bool = True


def _time(frame: float) -> str:
    """When a frame begins, as Vertex writes it."""
    return f"{(frame - 1) / RATE:.3f}s"


def _automl_segments(kind: str | None) -> Any:
    answer = []
    for label, (score, (first, last)) in STRETCHES.items():
        times = {"timeSegmentStart": _time(first), "timeSegmentEnd": _time(last + 1)}
        one = {"id": "1", "displayName": label, **times, "confidence": score}
        answer.append(one if kind is None else {**one, "type": kind})
    return answer


def _automl_tracks() -> Any:
    answer = []
    for label, (score, boxes) in TRACKS.items():
        frames = [
            {
                "timeOffset": _time(frame),
                "xMin": box[0] / WIDTH,
                "xMax": box[2] / WIDTH,
                "yMin": box[1] / HEIGHT,
                "yMax": box[3] / HEIGHT,
            }
            for frame, box in boxes.items()
        ]
        times = {"timeSegmentStart": _time(min(boxes)), "timeSegmentEnd": _time(max(boxes))}
        answer.append({"id": "1", "displayName": label, **times, "confidence": score, "frames": frames})
    return answer


def _segments() -> Any:
    return [
        {"label": label, "score": score, "start": (first - 1) / RATE, "end": last / RATE}
        for label, (score, (first, last)) in STRETCHES.items()
    ]


def _numbered_segments() -> Any:
    return [
        {"label": label, "score": score, "start_frame": first, "end_frame": last}
        for label, (score, (first, last)) in STRETCHES.items()
    ]


def _tracks() -> Any:
    return [
        {
            "id": number,
            "label": label,
            "score": score,
            "frames": [
                {"frame": frame - 1, "box": [box[0], box[1], box[2] - box[0], box[3] - box[1]]}
                for frame, box in boxes.items()
            ],
        }
        for number, (label, (score, boxes)) in enumerate(TRACKS.items())
    ]


def _detections() -> Any:
    frames: dict[str, list[Any]] = {}
    for number, (label, (score, boxes)) in enumerate(TRACKS.items()):
        for frame, (left, top, right, bottom) in boxes.items():
            box = {"xmin": left, "ymin": top, "xmax": right, "ymax": bottom}
            one = {"label": label, "score": score, "box": box, "track_id": number}
            frames.setdefault(str(frame - 1), []).append(one)
    return frames


def _masks() -> Any:
    answer = []
    for number, (label, (score, masks)) in enumerate(MASKS.items()):
        frames = []
        for frame, pixels in masks.items():
            runs = coco.encode(np.asfortranarray(pixels, dtype=np.uint8))
            segmentation = {"size": [HEIGHT, WIDTH], "counts": runs["counts"].decode()}
            frames.append({"frame": frame - 1, "segmentation": segmentation})
        answer.append({"id": number, "label": label, "score": score, "frames": frames})
    return answer


VIDEO_CELLS = [
    *(
        VideoCell(family, way, answer, known)
        for way in ("radio", "checklist")
        for family, answer, known in (
            ("automl-video-classification", lambda: _automl_segments("shot-classification"), True),
            ("automl-action-recognition", lambda: _automl_segments(None), True),
            ("video-segments", _segments, True),
            ("video-segments:from-1", _numbered_segments, False),
        )
    ),
    VideoCell("automl-object-tracking", "track", _automl_tracks),
    VideoCell("video-tracks:xywh", "track", _tracks, known=False),
    VideoCell("frame-detections", "track", _detections),
    VideoCell("video-masks", "video mask", _masks),
]
