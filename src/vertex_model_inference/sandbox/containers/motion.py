"""What moves in videos: ``python -m ...containers.motion``. Classical vision (``movement``), in each family's form.

It answers as AutoML object tracking; below the predict route are the other families in whose forms it answers
(``FORMS``). The AutoML forms and parameters are those of
``google/cloud/aiplatform/v1/schema/predict/{instance,params,prediction}/video_*.proto``; their classes:

* tracking: ``moving``, the confidence of a track is the share of pictures in which it moved
* classification: ``moving`` and ``still`` for the segment, for each shot and second when the parameters ask for them
* action recognition: ``starts moving`` and ``stops moving``, at the moment

The other forms are those of custom containers: ``video-tracks``, ``frame-detections``, ``video-segments`` and
``video-masks``, whose class is ``moving pixels``.

Instances ``{"content": "gs://...", "mimeType", "timeSegmentStart": "0.0s", "timeSegmentEnd": "Infinity"}``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from vertex_model_inference.sandbox.containers.classes import class_id
from vertex_model_inference.sandbox.containers.gcs import bytes_of
from vertex_model_inference.sandbox.containers.movement import Movement, Track, watch
from vertex_model_inference.sandbox.containers.serve import Forms, InstanceError, Parameters, Predict, each, main

__all__ = ["FORMS", "MOVING", "PIXELS", "STILL", "Asked", "Asking", "actions", "load", "predictor"]

MOVING, STILL, PIXELS = "moving", "still", "moving pixels"
STARTS, STOPS = "starts moving", "stops moving"
_MIME_TYPES = ("video/mp4", "video/avi", "video/quicktime")
_LIVELY = 0.5
_MOMENT = 3  # pictures that a change must last


@dataclass(frozen=True)
class Asked:
    """Parameters of a request, of all forms; numbers may come as floats, as protobuf makes them."""

    threshold: float = 0.0
    most: int = 10_000
    smallest: float = 0.0
    segment: bool = True
    shot: bool = False
    second: bool = False

    @classmethod
    def of(cls, parameters: Parameters) -> Asked:
        """Read a request's parameters.

        Raises:
            InstanceError: A value of the wrong type or out of its range.
        """
        given = parameters or {}
        threshold, most = given.get("confidenceThreshold", 0.0), given.get("maxPredictions", 10_000)
        smallest = given.get("minBoundingBoxSize", 0.0)
        for name, value in (("confidenceThreshold", threshold), ("minBoundingBoxSize", smallest)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise InstanceError(f"{name} is {value!r}; expected a number from 0 to 1.")
        if isinstance(most, bool) or not isinstance(most, int | float) or most < 1 or most != int(most):
            raise InstanceError(f"maxPredictions is {most!r}; expected a whole number from 1.")
        wanted = []
        for name, default in (
            ("segmentClassification", True),
            ("shotClassification", False),
            ("oneSecIntervalClassification", False),
        ):
            value = given.get(name, default)
            if not isinstance(value, bool):
                raise InstanceError(f"{name} is {value!r}; expected true or false.")
            wanted.append(value)
        return cls(float(threshold), int(most), float(smallest), *wanted)


@dataclass(frozen=True)
class Asking:
    """The segment of an instance: as it was sent, and in seconds."""

    start: str
    end: str
    first: float
    beyond: float


Form = Callable[[Movement, Asking, Asked], Any]


def _asking(instance: dict[str, Any]) -> Asking:
    start, end = instance.get("timeSegmentStart", "0s"), instance.get("timeSegmentEnd", "Infinity")
    return Asking(str(start), str(end), _seconds(start, "timeSegmentStart"), _seconds(end, "timeSegmentEnd"))


def _seconds(text: Any, field: str) -> float:
    plain = str(text).strip().removesuffix("s").lower()
    try:
        found = math.inf if plain in ("inf", "infinity") else float(plain)
    except ValueError:
        found = math.nan
    if not found >= 0:
        raise InstanceError(f'"{field}" is {text!r}; expected seconds such as "1.2s", or "Infinity" for the end.')
    return found


def _offset(seconds: float) -> str:
    """A duration as protobuf's JSON writes it: up to a microsecond, no needless zeros."""
    text = f"{seconds:.6f}".rstrip("0").rstrip(".")
    return f"{text}s"


def _kept(movement: Movement, asked: Asked) -> list[Track]:
    """The most confident tracks that the parameters leave, in the order in which they began."""
    found = [track for track in movement.tracks if track.confidence >= asked.threshold]
    found = [track for track in found if any(_shortest(seen.box) >= asked.smallest for seen in track.seen)]
    best = sorted(range(len(found)), key=lambda index: -found[index].confidence)[: asked.most]
    return [found[index] for index in sorted(best)]


def _shortest(box: Sequence[float]) -> float:
    return min(box[2] - box[0], box[3] - box[1])


def tracking(movement: Movement, _: Asking, asked: Asked) -> list[dict[str, Any]]:
    """AutoML object tracking."""
    return [
        {
            "id": class_id("video-object-tracking", MOVING),
            "displayName": MOVING,
            "timeSegmentStart": _offset(track.seen[0].seconds),
            "timeSegmentEnd": _offset(track.seen[-1].seconds),
            "confidence": track.confidence,
            "frames": [
                {
                    "timeOffset": _offset(seen.seconds),
                    "xMin": seen.box[0],
                    "xMax": seen.box[2],
                    "yMin": seen.box[1],
                    "yMax": seen.box[3],
                }
                for seen in track.seen
            ],
        }
        for track in _kept(movement, asked)
    ]


def _stretches(movement: Movement, asking: Asking, asked: Asked) -> Iterator[tuple[str, str, str, float, float]]:
    """Type, start and end as written, and in seconds, of each stretch that is classified."""
    last = movement.looked[-1][0]
    end = min(asking.beyond, last + 0.1)
    if asked.segment:
        yield "segment", asking.start, asking.end, asking.first, asking.beyond
    if asked.shot:
        cuts = [asking.first, *movement.cuts, end]
        for start, stop in pairwise(cuts):
            yield "shot", _offset(start), _offset(stop), start, stop
    if asked.second:
        for second in range(int(asking.first), math.ceil(end)):
            start, stop = max(float(second), asking.first), min(second + 1.0, asking.beyond)
            yield "one-sec-interval", _offset(start), _offset(stop), start, stop


def classification(movement: Movement, asking: Asking, asked: Asked) -> list[dict[str, Any]]:
    """AutoML video classification."""
    made = []
    for kind, start, stop, first, beyond in _stretches(movement, asking, asked):
        scores = [score for seconds, score in movement.moving if first <= seconds < beyond]
        moving = sum(scores) / len(scores) if scores else 0.0
        for label, confidence in sorted(((MOVING, moving), (STILL, 1 - moving)), key=lambda pair: -pair[1]):
            if confidence >= asked.threshold:
                made.append(
                    {
                        "id": class_id("video-classification", label),
                        "displayName": label,
                        "type": f"{kind}-classification",
                        "timeSegmentStart": start,
                        "timeSegmentEnd": stop,
                        "confidence": confidence,
                    }
                )
    return sorted(made, key=lambda one: -float(str(one["confidence"])))[: asked.most]


def _changes(movement: Movement) -> list[tuple[float, str, float]]:
    """Seconds, action and confidence of each moment at which a still picture begins to move or a moving one stops."""
    lively = [score >= _LIVELY for _, score in movement.moving]
    found = []
    for index in range(_MOMENT, len(lively) - _MOMENT + 1):
        before, after = lively[index - _MOMENT : index], lively[index : index + _MOMENT]
        if all(before) is not all(after) and any(before) is all(before) and any(after) is all(after):
            earlier = sum(score for _, score in movement.moving[index - _MOMENT : index]) / _MOMENT
            later = sum(score for _, score in movement.moving[index : index + _MOMENT]) / _MOMENT
            found.append((movement.moving[index][0], STARTS if later > earlier else STOPS, abs(later - earlier)))
    return found


def actions(movement: Movement, _: Asking, asked: Asked) -> list[dict[str, Any]]:
    """AutoML action recognition."""
    made = [
        {
            "id": class_id("video-action-recognition", label),
            "displayName": label,
            "timeSegmentStart": _offset(seconds),
            "timeSegmentEnd": _offset(seconds),
            "confidence": confidence,
        }
        for seconds, label, confidence in _changes(movement)
        if confidence >= asked.threshold
    ]
    return sorted(made, key=lambda one: -float(str(one["confidence"])))[: asked.most]


def _pixels(box: Sequence[float], movement: Movement) -> dict[str, float]:
    wide, high = movement.width, movement.height
    return {"xmin": box[0] * wide, "ymin": box[1] * high, "xmax": box[2] * wide, "ymax": box[3] * high}


def tracks(movement: Movement, _: Asking, asked: Asked) -> dict[str, Any]:
    """``video-tracks``: boxes in pixels by frame number, from 0."""
    return {
        "tracks": [
            {
                "id": number,
                "label": MOVING,
                "score": track.confidence,
                "frames": [{"frame": seen.frame, "box": _pixels(seen.box, movement)} for seen in track.seen],
            }
            for number, track in enumerate(_kept(movement, asked))
        ]
    }


def detections(movement: Movement, _: Asking, asked: Asked) -> dict[str, Any]:
    """``frame-detections``: every frame that was looked at, by its number from 0."""
    frames: dict[str, list[dict[str, Any]]] = {str(frame): [] for _, frame in movement.looked}
    for number, track in enumerate(_kept(movement, asked)):
        for seen in track.seen:
            frames[str(seen.frame)].append(
                {
                    "label": MOVING,
                    "score": track.confidence,
                    "track_id": number,
                    "box": _pixels(seen.box, movement),
                }
            )
    return {"frames": frames}


def segments(movement: Movement, _: Asking, asked: Asked) -> list[dict[str, Any]]:
    """``video-segments``: stretches of movement and of stillness, second by second."""
    step = 1.0
    end = movement.looked[-1][0]
    made = []
    for number in range(math.ceil(end / step) or 1):
        scores = [score for seconds, score in movement.moving if number * step <= seconds < (number + 1) * step]
        moving = sum(scores) / len(scores) if scores else 0.0
        label, score = (MOVING, moving) if moving >= _LIVELY else (STILL, 1 - moving)
        if score >= asked.threshold:
            made.append({"label": label, "score": score, "start": number * step, "end": (number + 1) * step})
    return made


def masks(movement: Movement, _: Asking, asked: Asked) -> list[dict[str, Any]]:
    """``video-masks``: uncompressed COCO run lengths of the video's size, by frame number from 0."""
    return [
        {
            "id": str(number),
            "label": PIXELS,
            "score": track.confidence,
            "frames": [
                {
                    "frame": seen.frame,
                    "segmentation": {
                        "size": [movement.height, movement.width],
                        "counts": _runs(seen.mask, movement.width, movement.height),
                    },
                }
                for seen in track.seen
            ],
        }
        for number, track in enumerate(_kept(movement, asked))
    ]


def _runs(mask: npt.NDArray[np.bool_], width: int, height: int) -> list[int]:
    """A mask enlarged to the video's size, as lengths of runs down the columns, beginning with background."""
    rows = np.arange(height) * mask.shape[0] // height
    columns = np.arange(width) * mask.shape[1] // width
    flat = mask[np.ix_(rows, columns)].T.reshape(-1)
    turns = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff(np.concatenate(([0], turns, [flat.size]))).tolist()
    return [0, *lengths] if flat[0] else lengths


FORMS: dict[str, Form] = {
    "automl-object-tracking": tracking,
    "automl-video-classification": classification,
    "automl-action-recognition": actions,
    "video-tracks": tracks,
    "frame-detections": detections,
    "video-segments": segments,
    "video-masks": masks,
}


def predictor(form: Form) -> Predict:
    """The predict function that answers in a form."""

    def predict(instances: list[Any], parameters: Parameters) -> list[Any]:
        asked = Asked.of(parameters)

        def one(instance: Any) -> Any:
            if not isinstance(instance, dict) or "content" not in instance:
                raise InstanceError('An instance must be an object with "content", the gs:// URI of a video.')
            mime_type = instance.get("mimeType")
            if mime_type is not None and mime_type not in _MIME_TYPES:
                raise InstanceError(f'"mimeType" is {mime_type!r}; expected one of {", ".join(_MIME_TYPES)}.')
            asking = _asking(instance)
            return form(watch(bytes_of(instance["content"], "content"), asking.first, asking.beyond), asking, asked)

        return each(one, instances)

    return predict


def load(_artifact_uri: str) -> Forms:
    """Make the predict functions; there is no artifact, nothing is trained."""
    return Forms(predictor(tracking), {name: predictor(form) for name, form in FORMS.items()})


if __name__ == "__main__":
    main(load)
