"""Reading parsed JSON by the letter: each look gives a value of the wanted form, or says what is where instead."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NoReturn

from vertex_model_inference.errors import DecodeError
from vertex_model_inference.gemini.times import seconds_of
from vertex_model_inference.gemini.words import Path
from vertex_model_inference.geometry.timeline import Timeline
from vertex_model_inference.rows import DataRow

__all__ = ["OffSchemaError", "fields_of", "list_of", "number", "off", "size", "string", "time", "timeline"]


class OffSchemaError(Exception):
    """The answer is not what the schema asks for; the message says what is where."""


def off(path: Path, what: str) -> NoReturn:
    """Raise the error of something wrong at a place.

    Raises:
        OffSchemaError: Always.
    """
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
    raise OffSchemaError(f"at {where or 'its root'}, {what}")


def fields_of(value: Any, required: Iterable[str], path: Path, optional: Iterable[str] = ()) -> dict[str, Any]:
    """An object with all the required properties and none that is not named.

    Raises:
        OffSchemaError: It is another thing.
    """
    if not isinstance(value, dict):
        off(path, f"an object is expected, not {_kind(value)}")
    names = list(required)
    missing = [name for name in names if name not in value]
    if missing:
        off(path, f"{missing[0]!r} is missing")
    if len(value) == len(names):
        return value
    unknown = sorted(value.keys() - set(names) - set(optional))
    if unknown:
        off(path, f"{unknown[0][:80]!r} was not asked for")
    return value


def list_of(value: Any, path: Path) -> list[Any]:
    """A list.

    Raises:
        OffSchemaError: It is another thing.
    """
    if not isinstance(value, list):
        off(path, f"a list is expected, not {_kind(value)}")
    return value


def string(value: Any, path: Path) -> str:
    """A text.

    Raises:
        OffSchemaError: It is another thing.
    """
    if not isinstance(value, str):
        off(path, f"a text is expected, not {_kind(value)}")
    return value


def number(value: Any, path: Path, least: float, most: float) -> float:
    """A number from ``least`` to ``most``.

    Raises:
        OffSchemaError: It is another thing.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        off(path, f"a number is expected, not {_kind(value)}")
    if not least <= value <= most:
        off(path, f"{value!r:.40} is not from {least:g} to {most:g}")
    return float(value)


def time(value: Any, path: Path) -> float:
    """Seconds from the beginning of a video.

    Raises:
        OffSchemaError: It is no time.
    """
    seconds = None
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        seconds = seconds_of(value)
    if seconds is None or not math.isfinite(seconds):
        off(path, f"{value!r:.40} is no time of the form MM:SS.mmm")
    return seconds


def size(row: DataRow) -> tuple[int, int]:
    """Width and height of the row's picture in pixels.

    Raises:
        DecodeError: They are not known.
    """
    if not row.width or not row.height:
        raise DecodeError(
            f"Gemini's coordinates for data row {row.id} are relative, and the size of the asset is not known.",
            code="size_unknown",
            hint="Let Labelbox process the data row's media attributes (width and height), then run again.",
            data_row_id=row.id,
        )
    return row.width, row.height


def timeline(row: DataRow) -> Timeline:
    """When the frames of the row's video are shown.

    Raises:
        DecodeError: Its frame rate is not known.
    """
    try:
        return Timeline(row.frame_rate, row.frame_count, row.frame_times)
    except ValueError as error:
        raise DecodeError(
            f"Gemini's times for data row {row.id} are in seconds, and the video's frame rate is not known: {error}.",
            code="frame_rate_unknown",
            hint="Install vertex-model-inference[video], which reads it from the file, or let Labelbox process the "
            "data row's media attributes, then run again.",
            data_row_id=row.id,
        ) from None


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), f"{value!r:.40}")
