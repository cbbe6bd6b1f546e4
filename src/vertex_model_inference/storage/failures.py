"""What can go wrong with storage: which failures are worth another try, and how they are told.

obstore tries again by itself what it sees refused (up to ten times, three minutes); an answer that breaks off, or that
is none of Cloud Storage's, it gives up at once.
"""

from __future__ import annotations

import random
import re
import time

from obstore.exceptions import BaseError, GenericError
from obstore.exceptions import NotFoundError as ObjectNotFoundError

from vertex_model_inference.errors import NotFoundError, StorageError
from vertex_model_inference.waiting import FAULT, note

__all__ = ["FAILURES", "JSON_ENDS", "TRIES", "CutError", "broken", "explain", "pause_of", "rest"]

TRIES = 4
FAILURES = (BaseError, OSError, ValueError)  # obstore gives missing and existing objects as OSErrors
_TRIED = re.compile(r" in ([\d.]+)(\w+), after (\d+) retries, max_retries: (\d+), retry_timeout: (\d+)s")
"""In obstore's words: how long and how often it has tried."""
JSON_ENDS = b'}]"\n'
"""A JSON document of ours ends with one of these."""


class CutError(ValueError):
    """Fewer bytes came than there are."""


def broken(error: Exception) -> bool:
    """Whether an answer broke off or was none: obstore tries again by itself only what it sees refused, and says so."""
    if isinstance(error, CutError):
        return True
    if not isinstance(error, GenericError):
        return False
    tried = _TRIED.search(words_of(error))
    if tried is None:
        return True
    seconds = float(tried[1]) if tried[2] == "s" else 0.0
    return int(tried[3]) < int(tried[4]) and seconds < float(tried[5]) / 2


def pause_of(failures: int) -> float:
    """Seconds to wait after the n-th failure in a row, with jitter."""
    return 0.2 * 2.0**failures * random.uniform(0.5, 1.0)  # noqa: S311  # jitter


def rest(failures: int) -> None:
    """Sleep so long, and note it as a wait of the run."""
    pause = pause_of(failures)
    note("storage", FAULT, pause)
    time.sleep(pause)


def explain(error: Exception, verb: str, uri: str) -> NotFoundError | StorageError:
    """The error as people are told it.

    Args:
        error: One of ``FAILURES``.
        verb: What was to be done: read, write, list, ...
        uri: To what.
    """
    if isinstance(error, ObjectNotFoundError | FileNotFoundError):
        return NotFoundError(f"{uri} does not exist.", code="object_not_found", uri=uri)
    return StorageError(f"Storage could not {verb} {uri}: {words_of(error)[:400]}", uri=uri, retryable=True)


def words_of(error: Exception) -> str:
    """The first line: what follows it are the insides of obstore."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    if "missing from response" in said:
        said = f"what answered is not Cloud Storage, but perhaps a proxy with a page of its own ({said})"
    return said
