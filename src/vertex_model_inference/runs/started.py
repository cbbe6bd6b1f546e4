"""The answer to a request for a run."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Started"]


class Started(NamedTuple):
    """A run that goes on now.

    Attributes:
        run_id: Ours.
        joined: It was going on already: the request was a repetition.
    """

    run_id: str
    joined: bool
