"""One reason why a row is refused, and the checks that every kind shares."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

__all__ = ["Problem", "confidence", "custom_metrics", "frames", "is_index", "is_number", "unknown_fields"]


_LARGEST = 2**53  # beyond it, whole numbers are not exact in every JSON reader


class Problem(msgspec.Struct, frozen=True):
    """A named error of a row.

    Attributes:
        name: One of the table in the package's docstring.
        message: For people: what is wrong, where, and what was expected.
    """

    name: str
    message: str


def is_number(value: Any) -> bool:
    """A finite int or float (a bool is neither), no larger than JSON's readers agree on."""
    kind = type(value)
    return (kind is int and -_LARGEST <= value <= _LARGEST) or (kind is float and math.isfinite(value))


def is_index(value: Any, least: int = 0) -> bool:
    """An int, ``least`` or more."""
    return type(value) is int and least <= value <= _LARGEST


def confidence(form: Mapping[str, Any], where: str, *, allowed: bool = True) -> Iterable[Problem]:
    """``confidence`` of an object, an answer or a text."""
    value = form.get("confidence")
    if value is None:
        return
    if not allowed:
        yield Problem("InvalidConfidence", f"{where} cannot have a confidence.")
    elif not is_number(value) or not 0 <= value <= 1:
        yield Problem(
            "InvalidConfidence", f"The confidence of {where} must be a number from 0 to 1, not {value!r:.40}."
        )


def custom_metrics(form: Mapping[str, Any], where: str, *, allowed: bool = True) -> Iterable[Problem]:
    """``customMetrics`` of an object, an answer or a text."""
    value = form.get("customMetrics")
    if value is None:
        return
    good = isinstance(value, list) and all(
        isinstance(item, dict)
        and set(item) == {"name", "value"}
        and isinstance(item["name"], str)
        and bool(item["name"])
        and is_number(item["value"])
        for item in value
    )
    if not allowed:
        yield Problem("InvalidCustomMetrics", f"{where} cannot have custom metrics.")
    elif not good:
        yield Problem("InvalidCustomMetrics", f'customMetrics of {where} must be a list of {{"name", "value"}}.')


def frames(value: Any, where: str) -> Iterable[Problem]:
    """``frames``: a non-empty list of ``{"start", "end"}``: frame numbers (of audio: milliseconds), inclusive."""
    if not isinstance(value, list) or not value:
        yield Problem("InvalidValue", f'frames of {where} must be a non-empty list of {{"start", "end"}}.')
        return
    for item in value:
        if not isinstance(item, dict) or not is_index(item.get("start")) or not is_index(item.get("end")):
            yield Problem("InvalidValue", f"frames of {where} need whole numbers `start` and `end`, not {item!r:.60}.")
        elif item["end"] < item["start"]:
            yield Problem(
                "InvalidGeometry", f"frames of {where} end ({item['end']}) before they start ({item['start']})."
            )


def unknown_fields(form: Mapping[str, Any], known: frozenset[str], where: str) -> Iterable[Problem]:
    """Fields that a form does not have; nothing is accepted silently."""
    if not known.issuperset(form):
        for name in form:
            if name not in known:
                yield Problem("UnknownField", f"{where} has no field {name!r:.60}.")
