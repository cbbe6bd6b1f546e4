"""Where each value of a JSON text stands in it, so that it can be told how sure the model was of those words."""

from __future__ import annotations

import json
import re

__all__ = ["Path", "spans"]

Path = tuple[str | int, ...]
"""Keys and list positions from the root to a value."""

_TOKEN = re.compile(r'[\s,:]*(?:("(?:[^"\\]|\\.)*")|([\[{])|([\]}])|([^\s,:\[\]{}"]+))', re.DOTALL)


def spans(text: str) -> dict[Path, tuple[int, int]]:
    """Path -> (first character, one past the last) of every value, objects and lists too.

    Args:
        text: Valid JSON; of a key that stands twice in an object the last counts, as for a reader of JSON.
    """
    found: dict[Path, tuple[int, int]] = {}
    open_: list[tuple[Path, int, bool]] = []  # path, first character, whether it is an object
    key: str | None = None
    counts: list[int] = []
    at = 0
    while (match := _TOKEN.match(text, at)) is not None:
        at = match.end()
        string, opened, closed, other = match.groups()
        if closed:
            path, start, _ = open_.pop()
            counts.pop()
            found[path] = (start, at)
            continue
        if string is not None and open_ and open_[-1][2] and key is None:
            key = json.loads(string)
            continue
        path = ()
        if open_:
            parent, _, is_object = open_[-1]
            if is_object:
                path = (*parent, key or "")
                key = None
            else:
                path = (*parent, counts[-1])
                counts[-1] += 1
        start = at - len(string or opened or other)
        if opened:
            open_.append((path, start, opened == "{"))
            counts.append(0)
        else:
            found[path] = (start, at)
    return found
