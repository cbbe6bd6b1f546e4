"""Which form a container answers in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TypeVar

__all__ = ["VARIABLE", "chosen"]

VARIABLE = "ANSWER_FORM"
"""Of the container's environment (``containerSpec.env``)."""

F = TypeVar("F")


def chosen(forms: Mapping[str, F], default: str) -> F:
    """The form that the environment names, else the default one.

    Raises:
        ValueError: There is no such form; the message lists those there are.
    """
    name = os.environ.get(VARIABLE) or default
    if name not in forms:
        msg = f"{VARIABLE} is {name!r}; this model answers as {', '.join(sorted(forms))}"
        raise ValueError(msg)
    return forms[name]
