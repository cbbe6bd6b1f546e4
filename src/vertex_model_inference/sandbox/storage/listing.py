"""Listing with prefix, delimiter, offsets, glob and pages, over anything that can seek in name order.

Names are ordered by their UTF-8 bytes, which is the order of code points. With a delimiter the walk jumps over each
common prefix, so that a folder of a million objects costs one step.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from collections.abc import Callable, Iterable

import msgspec

from vertex_model_inference.sandbox.storage.resources import StoredObject
from vertex_model_inference.sandbox.storage.wire import ApiError

__all__ = ["ListQuery", "Page", "glob_to_regex", "list_page", "successor"]

#: Objects with ``start <= name < end`` (end None: no bound) in order, at most ``limit``.
Seek = Callable[[str, str | None, int], Iterable[StoredObject]]


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What to list.

    Attributes:
        start: First name that may be listed (``startOffset``).
        end: First name that may not (``endOffset``).
        limit: Most objects and prefixes together on the page.
        token: ``next_token`` of the page before.
        glob: ``matchGlob``.
        trailing: List objects that end in the delimiter as objects too (``includeTrailingDelimiter``).
    """

    prefix: str = ""
    delimiter: str = ""
    start: str = ""
    end: str | None = None
    limit: int = 1000
    token: str | None = None
    glob: str | None = None
    trailing: bool = False


class Page(msgspec.Struct, frozen=True):
    """One page; ``next_token`` is None on the last."""

    objects: list[StoredObject]
    prefixes: list[str]
    next_token: str | None


def successor(prefix: str) -> str | None:
    """The smallest string greater than every string that starts with ``prefix``; None if there is none."""
    for index in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[index])
        if code < 0x10FFFF:
            following = 0xE000 if code + 1 == 0xD800 else code + 1  # surrogates are no characters
            return prefix[:index] + chr(following)
    return None


def _encode_token(start: str) -> str:
    return base64.urlsafe_b64encode(start.encode()).decode()


def _decode_token(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise ApiError(400, f"Invalid page token: {token}", reason="invalid", code="InvalidArgument") from None


def list_page(seek: Seek, query: ListQuery) -> Page:
    """One page.

    Raises:
        ApiError: 400, the token or the glob is malformed.
    """
    matches = glob_to_regex(query.glob).fullmatch if query.glob is not None else None
    start = max(query.prefix, query.start)
    if query.token is not None:
        start = max(start, _decode_token(query.token))
    end = successor(query.prefix)
    if query.end is not None and (end is None or query.end < end):
        end = query.end
    objects: list[StoredObject] = []
    prefixes: list[str] = []
    width = len(query.prefix)
    position: str | None = start
    while position is not None and (end is None or position < end):
        batch = min(query.limit + 1, 1001)
        seen = 0
        jumped = False
        for stored in seek(position, end, batch):
            seen += 1
            name = stored.name
            cut = name.find(query.delimiter, width) if query.delimiter else -1
            common = name[: cut + len(query.delimiter)] if cut >= 0 else None
            own = common is None or (query.trailing and common == name)
            if matches is not None and not matches(name):
                position = name + "\0"
                continue
            if len(objects) + len(prefixes) >= query.limit and not (
                common is not None and prefixes and prefixes[-1] == common
            ):
                return Page(objects, prefixes, _encode_token(name))
            if own:
                objects.append(stored)
            if common is not None:
                if not prefixes or prefixes[-1] != common:
                    prefixes.append(common)
                if matches is None:
                    position = name + "\0" if own else successor(common)
                    jumped = True
                    break
            position = name + "\0"
        if not jumped and seen < batch:
            break
    return Page(objects, prefixes, None)


@functools.lru_cache(256)
def glob_to_regex(glob: str) -> re.Pattern[str]:
    """A regular expression for Cloud Storage's globs: ``*``, ``**``, ``?``, ``[a-z]``, ``[!a]``, ``{a,b}``, ``\\``.

    Source: https://cloud.google.com/storage/docs/json_api/v1/objects/list#list-objects-and-prefixes-using-glob

    Raises:
        ApiError: 400, a bracket or brace is not closed.
    """
    out: list[str] = []
    depth = 0
    i = 0
    while i < len(glob):
        char = glob[i]
        i += 1
        if char == "*":
            if glob[i : i + 1] == "*":
                i += 1
                out.append(".*")
            else:
                out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[":
            close = glob.find("]", i + 1)
            if close < 0:
                raise _bad_glob(glob)
            inner = glob[i:close]
            i = close + 1
            negate = inner[:1] in ("!", "^")
            inner = inner[1:] if negate else inner
            out.append("[" + ("^/" if negate else "") + re.sub(r"([\\\[\]^&~|])", r"\\\1", inner) + "]")
        elif char == "{":
            depth += 1
            out.append("(?:")
        elif char == "}" and depth:
            depth -= 1
            out.append(")")
        elif char == "," and depth:
            out.append("|")
        elif char == "\\" and i < len(glob):
            out.append(re.escape(glob[i]))
            i += 1
        else:
            out.append(re.escape(char))
    if depth:
        raise _bad_glob(glob)
    try:
        return re.compile("".join(out), re.DOTALL)
    except re.error:
        raise _bad_glob(glob) from None


def _bad_glob(glob: str) -> ApiError:
    return ApiError(400, f"Invalid matchGlob: {glob}", reason="invalid", code="InvalidArgument")
