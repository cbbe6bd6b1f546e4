"""Video objects: segments of key frames."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vertex_model_inference.sandbox.labelbox.validation import shapes
from vertex_model_inference.sandbox.labelbox.validation.answers import check_questions
from vertex_model_inference.sandbox.labelbox.validation.features import Feature
from vertex_model_inference.sandbox.labelbox.validation.problems import Problem, is_index, unknown_fields

__all__ = ["check_segments"]

_SHAPE = {"rectangle": "bbox", "point": "point", "line": "line"}


def check_segments(value: Any, feature: Feature, width: float | None, height: float | None) -> Iterable[Problem]:
    """``[{"keyframes": [{"frame", shape, "classifications"}]}]``; frames count from 1 and rise within a segment."""
    where = f"{feature.name!r}"
    if type(value) is not list or not value:
        yield Problem("InvalidGeometry", f"segments of {where} must be a non-empty list.")
        return
    shape = _SHAPE[feature.kind]
    for segment in value:
        keyframes = segment.get("keyframes") if type(segment) is dict else None
        if type(keyframes) is not list or not keyframes:
            yield Problem("InvalidGeometry", f"A segment of {where} needs a non-empty list keyframes.")
            continue
        last = 0
        for keyframe in keyframes:
            if type(keyframe) is not dict:
                yield Problem("InvalidGeometry", f"A key frame of {where} must be an object.")
                continue
            yield from unknown_fields(
                keyframe, frozenset({"frame", shape, "classifications"}), f"A key frame of {where}"
            )
            frame: Any = keyframe.get("frame")
            if not is_index(frame, 1):
                yield Problem("InvalidGeometry", f"frame of {where} must be a whole number from 1, not {frame!r:.20}.")
            elif frame <= last:
                yield Problem("InvalidGeometry", f"Key frames of {where} must rise; {frame} follows {last}.")
            else:
                last = frame
            at = f"{where} in frame {frame!r:.20}"
            if keyframe.get(shape) is None:
                yield Problem("MissingValue", f"{at} has no {shape}.")
            elif shape == "bbox":
                yield from shapes.check_box(keyframe["bbox"], width, height, at)
            elif shape == "point":
                yield from shapes.check_point(keyframe["point"], at)
            else:
                yield from shapes.check_path(keyframe["line"], 2, f"line of {at}")
            yield from check_questions(keyframe.get("classifications"), feature.questions, at, both_allowed=False)
