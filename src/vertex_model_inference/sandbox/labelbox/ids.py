"""Identifiers and times as Labelbox writes them."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from random import Random

__all__ = ["export_time", "new_id", "now", "wire_time"]

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_random = Random(int.from_bytes(os.urandom(16), "big"))  # noqa: S311  # names, not secrets


def new_id() -> str:
    """A new cuid: ``c``, then 24 of ``0-9a-z``. Exactly 25 characters, because the SDK's ``Cuid`` type demands it."""
    return "c" + "".join(_random.choices(_ALPHABET, k=24))


def now() -> float:
    """Seconds since 1970."""
    return time.time()


def wire_time(seconds: float | None) -> str | None:
    """``2023-03-15T14:46:58.123Z``: the only form the SDK parses (``%Y-%m-%dT%H:%M:%S.%fZ``)."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def export_time(seconds: float) -> str:
    """``2023-03-15T14:46:58.000+00:00``: the form in export rows."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
