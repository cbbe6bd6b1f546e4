"""Retries of calls to Labelbox: bounded, jittered, only for what can succeed, and never past ``Retry-After``.

The SDK's own retry knows neither 429 nor network errors, and sends creating mutations twice; so it is bypassed and this
one is used for everything.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

import stamina

from vertex_model_inference.errors import LabelboxError
from vertex_model_inference.waiting import FAULT, RATE_LIMIT, note, seconds_of

__all__ = ["ATTEMPTS", "MAX_WAIT_S", "Wait", "backoff", "rest", "retrying", "wait_of"]

ATTEMPTS = 8
TOTAL_S = 150.0  # two and a half of Labelbox's fixed 60 s rate windows
MAX_WAIT_S = 65.0  # one rate window and a bit: a longer Retry-After fails at once, retryable for the engine

T = TypeVar("T")


class Wait(Exception):  # noqa: N818 - not an error: a request to try again
    """A call failed in a way that passes.

    Attributes:
        error: What to raise when tries run out.
        seconds: What the server asked to wait; None: back off as usual.
    """

    def __init__(self, error: LabelboxError, seconds: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.seconds = seconds


def wait_of(header: str | None) -> float | None:
    """Seconds that a ``Retry-After`` header asks for; nonsense counts as a rate window of 60 s; None without header."""
    if header is None:
        return None
    seconds = seconds_of(header)
    return 60.0 if seconds is None else seconds


def backoff(failures: int, seconds: float | None) -> float:
    """Seconds to wait after the n-th failure in a row: what the server asked for, else 0.2 s doubling; with jitter."""
    wait = seconds if seconds is not None else min(15.0, 0.1 * 2.0**failures)
    return wait + random.uniform(0.0, min(1.0, 0.1 + wait / 10))  # noqa: S311 - jitter


def rest(wait: Wait, failures: int) -> None:
    """Sleep before the next try of something that goes on where it was.

    Raises:
        LabelboxError: The ``wait``'s own, after ``ATTEMPTS`` failures in a row, or when the server asks for more
            patience than we have.
    """
    if failures >= ATTEMPTS or (wait.seconds or 0) > MAX_WAIT_S:
        raise wait.error from None
    seconds = backoff(failures, wait.seconds)
    note("labelbox", RATE_LIMIT if wait.error.error_code == "labelbox_limit" else FAULT, seconds)
    time.sleep(seconds)


def retrying(call: Callable[[], T]) -> T:
    """Run ``call`` until it does not raise ``Wait``, at most 8 times and 150 s.

    Raises:
        LabelboxError: The last ``Wait.error`` when tries run out or the server asks for more patience than we have.
    """

    def hook(error: Exception) -> bool | float:
        if not isinstance(error, Wait):
            return False
        if error.seconds is None:
            return True
        if error.seconds > MAX_WAIT_S:
            return False
        return backoff(1, error.seconds)

    try:
        for attempt in stamina.retry_context(
            on=hook, attempts=ATTEMPTS, timeout=TOTAL_S, wait_initial=0.2, wait_max=15.0, wait_jitter=0.5
        ):
            with attempt:
                return call()
    except Wait as last:
        raise last.error from None
    raise AssertionError("stamina always returns or raises")  # pragma: no cover
