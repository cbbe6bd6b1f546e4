"""Videos: objects as segments of key frames, masks, and the frames of answers. Frames count from 1."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any

from vertex_model_inference.sandbox.labelbox.validation import shapes
from vertex_model_inference.sandbox.labelbox.validation.answers import check_questions, find_feature
from vertex_model_inference.sandbox.labelbox.validation.features import Feature, FeatureIndex
from vertex_model_inference.sandbox.labelbox.validation.problems import Problem, is_index, unknown_fields

__all__ = ["check_masks", "check_segments", "check_spans", "of_instance"]

_SHAPE = {"rectangle": "bbox", "point": "point", "line": "line"}


def check_segments(
    value: Any, feature: Feature, width: float | None, height: float | None, count: float | None = None
) -> Iterable[Problem]:
    """``[{"keyframes": [{"frame", shape, "classifications"}]}]``; frames rise within a segment, up to ``count``."""
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
            elif count and frame > count:
                yield Problem("InvalidGeometry", f"frame of {where} is {frame}; the video has {count:g} frames.")
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


def check_spans(row: dict[str, Any], feature: Feature, count: float) -> Iterable[Problem]:
    """The ``frames`` of an answer's row and of its parts, whose form is checked already, against the video's length."""
    answer = row.get("answers", row.get("answer"))
    parts = answer if type(answer) is list else [answer]
    for form in (row, *parts):
        spans = form.get("frames") if type(form) is dict else None
        for span in spans if type(spans) is list else ():
            if type(span) is not dict or not (is_index(span.get("start")) and is_index(span.get("end"))):
                continue
            if span["start"] < 1 or span["end"] > count:
                yield Problem(
                    "InvalidGeometry",
                    f"frames of {feature.name!r} go from {span['start']} to {span['end']}; the video has frames 1 to "
                    f"{count:g}.",
                )


def check_masks(
    masks: Any, index: FeatureIndex, width: float | None, height: float | None, count: float | None
) -> Iterable[Problem]:
    """``{"frames", "instances"}`` of a row: its form, what its instances name, its pictures and frames."""
    bad = list(shapes.check_video_masks(masks, "the row"))
    if bad:
        yield from bad
        return
    seen: set[int] = set()
    for frame in masks["frames"]:
        yield from unknown_fields(frame, frozenset({"index", "instanceURI", "imBytes"}), "A frame of the row's masks")
        number = frame["index"]
        if number < 1 or (count and number > count):
            until = f" to {count:g}" if count else ""
            yield Problem("InvalidGeometry", f"A mask is of frame {number}; the video has frames 1{until}.")
        if number in seen:
            yield Problem("InvalidGeometry", f"Two masks are of frame {number}.")
        seen.add(number)
    yield from _size_problems(masks, width, height)
    known = frozenset({"name", "schemaId", "featureSchemaId", "colorRGB"})
    for instance in masks["instances"]:
        yield from unknown_fields(instance, known, "An instance of the row's masks")
        feature = of_instance(instance, index)
        if isinstance(feature, Problem):
            yield feature
        elif feature.kind != "raster-segmentation":
            yield Problem("AnnotationKindMismatch", f"{feature.name!r} is a {feature.kind}; masks do not fit it.")


def of_instance(instance: Mapping[str, Any], index: FeatureIndex) -> Feature | Problem:
    """The tool that an instance names: by ``name``, by ``schemaId``, or as the SDK writes it, by name and
    ``featureSchemaId``."""
    if instance.get("featureSchemaId") is None:
        return find_feature(instance, index, tool=True, both_allowed=False)
    form = {"name": instance.get("name"), "schemaId": instance["featureSchemaId"]}
    return find_feature(form, index, tool=True, both_allowed=True)


def _size_problems(masks: Mapping[str, Any], width: float | None, height: float | None) -> Iterable[Problem]:
    """Pictures inside the row must be PNGs, and of the video's size where that is known."""
    for frame in masks["frames"]:
        given = frame.get("imBytes")
        if given is None:
            continue
        try:
            data = base64.b64decode(given, validate=True)
        except (binascii.Error, ValueError):
            data = b""
        if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 33:
            yield Problem("InvalidGeometry", f"imBytes of frame {frame['index']} is not a base64-encoded PNG.")
            continue
        size = (int.from_bytes(data[16:20]), int.from_bytes(data[20:24]))
        if width and height and size != (width, height):
            yield Problem(
                "InvalidGeometry",
                f"The mask of frame {frame['index']} has {size[0]} x {size[1]} pixels; the video has "
                f"{width:g} x {height:g}.",
            )
