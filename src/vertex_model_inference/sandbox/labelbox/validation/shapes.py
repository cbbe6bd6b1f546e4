"""Values of tools: boxes, points, outlines, masks, ranges of text. Coordinates: pixels of the asset, from top left."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any

from vertex_model_inference.sandbox.labelbox.layouts import Layout
from vertex_model_inference.sandbox.labelbox.validation.problems import Problem, is_index, is_number, unknown_fields

__all__ = [
    "UNITS",
    "check_box",
    "check_entity",
    "check_mask",
    "check_path",
    "check_point",
    "check_selections",
    "check_video_masks",
]

UNITS = frozenset({"POINTS", "PIXELS", "INCHES", "PERCENT"})
_BOX = frozenset({"left", "top", "width", "height"})
_SLACK = 1e-3  # pixels: what rounding of a normalized coordinate may add
_MASKS = (frozenset({"instanceURI", "colorRGB"}), frozenset({"png"}), frozenset({"size", "counts"}))


def check_box(box: Any, width: float | None, height: float | None, where: str) -> Iterable[Problem]:
    """``{"left", "top", "width", "height"}`` inside an asset of ``width`` x ``height`` (None: size unknown)."""
    if type(box) is not dict:
        yield Problem("InvalidGeometry", f"bbox of {where} must be an object with left, top, width and height.")
        return
    try:
        left, top, wide, high = box["left"], box["top"], box["width"], box["height"]
    except KeyError as error:
        yield Problem("MissingValue", f"bbox of {where} lacks {error.args[0]!r}.")
        return
    if len(box) > 4:
        yield from unknown_fields(box, _BOX, f"bbox of {where}")
    if not (is_number(left) and is_number(top) and is_number(wide) and is_number(high)):
        yield Problem("InvalidGeometry", f"bbox of {where} must have four finite numbers, not {box!r:.120}.")
        return
    if wide <= 0 or high <= 0:
        yield Problem("InvalidGeometry", f"bbox of {where} has no area: width {wide}, height {high}.")
        return
    if left < -_SLACK or top < -_SLACK:
        yield Problem("BoundingBoxOutOfBounds", f"bbox of {where} starts at {left}, {top}, outside the asset.")
    if width is not None and left + wide > width + _SLACK:
        yield Problem("BoundingBoxOutOfBounds", f"bbox of {where} ends at x {left + wide}; the asset is {width} wide.")
    if height is not None and top + high > height + _SLACK:
        yield Problem("BoundingBoxOutOfBounds", f"bbox of {where} ends at y {top + high}; the asset is {height} high.")


def check_point(point: Any, where: str) -> Iterable[Problem]:
    """``{"x", "y"}``."""
    if type(point) is not dict or set(point) != {"x", "y"} or not (is_number(point["x"]) and is_number(point["y"])):
        yield Problem(
            "InvalidGeometry", f'A point of {where} must be {{"x", "y"}} with finite numbers, not {point!r:.80}.'
        )


def check_path(points: Any, least: int, where: str) -> Iterable[Problem]:
    """A list of at least ``least`` different points; for an outline (3) the first may be repeated at the end."""
    if type(points) is not list:
        yield Problem("InvalidGeometry", f"{where} must be a list of points.")
        return
    for point in points:
        bad = list(check_point(point, where))
        if bad:
            yield bad[0]
            return
    if len({(point["x"], point["y"]) for point in points}) < least:
        yield Problem("InvalidGeometry", f"{where} needs at least {least} different points, it has {len(points)}.")


def check_mask(mask: Any, where: str) -> Iterable[Problem]:
    """One of ``{"instanceURI", "colorRGB"}``, ``{"png"}`` (base64) and ``{"size", "counts"}`` (run lengths)."""
    if type(mask) is not dict or not any(form == set(mask) for form in _MASKS):
        yield Problem(
            "InvalidGeometry",
            f'mask of {where} must be {{"instanceURI", "colorRGB"}}, {{"png"}} or {{"size", "counts"}}, nothing else.',
        )
    elif "png" in mask:
        if not _is_png(mask["png"]):
            yield Problem("InvalidGeometry", f"png of {where}'s mask is not a base64-encoded PNG.")
    elif "instanceURI" in mask:
        if not _is_url(mask["instanceURI"]):
            yield Problem("InvalidValue", f"instanceURI of {where}'s mask is not a URL: {mask['instanceURI']!r:.80}.")
        if not _is_color(mask["colorRGB"]):
            yield Problem("InvalidValue", f"colorRGB of {where}'s mask must be three whole numbers from 0 to 255.")
    else:
        size, counts = mask["size"], mask["counts"]
        shaped = type(size) is list and len(size) == 2 and all(is_index(n, 1) for n in size)
        if not shaped or type(counts) is not list or not all(is_index(n) for n in counts):
            yield Problem("InvalidGeometry", f"mask of {where} needs size [height, width] and a list of run lengths.")
        elif sum(counts) > size[0] * size[1]:
            yield Problem(
                "InvalidGeometry", f"The run lengths of {where}'s mask exceed its {size[0]} x {size[1]} pixels."
            )


def check_video_masks(masks: Any, where: str) -> Iterable[Problem]:
    """``{"frames": [{"index", "instanceURI" | "imBytes"}], "instances": [{"name", "colorRGB"}]}``."""
    if type(masks) is not dict or set(masks) != {"frames", "instances"}:
        yield Problem("InvalidGeometry", f'masks of {where} must be {{"frames", "instances"}}.')
        return
    for frame in masks["frames"] if type(masks["frames"]) is list and masks["frames"] else [None]:
        form: Mapping[str, Any] = frame if isinstance(frame, dict) else {}
        readable = _is_url(form.get("instanceURI")) or isinstance(form.get("imBytes"), str)
        if not is_index(form.get("index")) or not readable:
            yield Problem("InvalidGeometry", f"A frame of {where}'s masks needs index and instanceURI or imBytes.")
    for instance in masks["instances"] if type(masks["instances"]) is list and masks["instances"] else [None]:
        if type(instance) is not dict or not _is_color(instance.get("colorRGB")):
            yield Problem("InvalidGeometry", f"An instance of {where}'s masks needs name and colorRGB.")


def check_entity(location: Any, length: int | None, where: str) -> Iterable[Problem]:
    """``{"start", "end"}``: characters from 0, end inclusive, in a text of ``length`` (None: unknown)."""
    if type(location) is not dict:
        yield Problem("InvalidGeometry", f'location of {where} must be {{"start", "end"}}.')
        return
    if location.get("start") is None or location.get("end") is None:
        yield Problem("MissingValue", f"location of {where} needs start and end.")
        return
    yield from unknown_fields(location, frozenset({"start", "end"}), f"location of {where}")
    start, end = location["start"], location["end"]
    if not is_index(start) or not is_index(end) or end < start:
        yield Problem(
            "InvalidGeometry",
            f"location of {where} must be whole numbers, 0 <= start <= end, not {start!r:.20}-{end!r:.20}.",
        )
    elif length is not None and end >= length:
        yield Problem(
            "InvalidGeometry",
            f"location of {where} ends at {end}; the text has {length} characters (end is inclusive).",
        )


def check_selections(selections: Any, where: str, layout: Layout | None = None) -> Iterable[Problem]:
    """A document entity: ``[{"tokenIds", "groupId", "page"}]``, pages from 1; with tokens of its text layer."""
    if type(selections) is not list or not selections:
        yield Problem("InvalidGeometry", f"textSelections of {where} must be a non-empty list.")
        return
    for item in selections:
        form: Mapping[str, Any] = item if type(item) is dict else {}
        tokens = form.get("tokenIds")
        if (
            set(form) != {"tokenIds", "groupId", "page"}
            or type(tokens) is not list
            or not tokens
            or not all(isinstance(token, str) for token in tokens)
            or not isinstance(form["groupId"], str)
            or not is_index(form["page"], 1)
        ):
            yield Problem("InvalidGeometry", f"A text selection of {where} needs tokenIds, groupId and page (from 1).")
        elif layout is not None and layout.tokens:
            known = layout.tokens.get(form["page"], {}).get(form["groupId"], {})
            missing = [token for token in tokens if token not in known]
            if missing:
                yield Problem(
                    "TokenNotFound",
                    f"A text selection of {where} names token {missing[0]!r:.60}, which group {form['groupId']!r:.60} "
                    f"on page {form['page']} of the text layer does not have.",
                )


def _is_url(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://", "gs://"))


def _is_color(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(n) is int and 0 <= n <= 255 for n in value)


def _is_png(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return base64.b64decode(value, validate=True).startswith(b"\x89PNG\r\n\x1a\n")
    except (binascii.Error, ValueError):
        return False
