"""Filters of list calls (https://google.aip.dev/160, the part that Vertex AI documents)."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vertex_model_inference.sandbox.vertex.wire import ApiError, invalid

__all__ = ["ordered", "predicate"]

Predicate = Callable[[Mapping[str, Any]], bool]

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<open>\() | (?P<close>\)) | (?P<op><=|>=|!=|=|<|>|:)
    | "(?P<double>(?:[^"\\]|\\.)*)" | '(?P<single>(?:[^'\\]|\\.)*)'
    | (?P<word>[^\s()"'=<>!:]+)
    )""",
    re.VERBOSE,
)


def _tokens(text: str) -> list[tuple[str, str]]:
    found = []
    position = 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match:
            raise invalid(f"Invalid filter {text!r}: cannot read it at character {position}.")
        position = match.end()
        kind = match.lastgroup or ""
        value = match[kind]
        if kind in ("double", "single"):
            found.append(("string", re.sub(r"\\(.)", r"\1", value)))
        else:
            found.append((kind, value))
    return found


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


class _Parser:
    def __init__(self, text: str, fields: Sequence[str]) -> None:
        self.text = text
        self.fields = fields
        self.tokens = _tokens(text)
        self.at = 0

    def fail(self, why: str) -> ApiError:
        return invalid(f"Invalid filter {self.text!r}: {why}.")

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")

    def take(self) -> tuple[str, str]:
        token = self.peek()
        self.at += 1
        return token

    def either(self) -> Predicate:
        parts = [self.both()]
        while self.peek() == ("word", "OR"):
            self.take()
            parts.append(self.both())
        return parts[0] if len(parts) == 1 else lambda item: any(part(item) for part in parts)

    def both(self) -> Predicate:
        parts = [self.one()]
        while self.peek()[0] not in ("end", "close") and self.peek() != ("word", "OR"):
            if self.peek() == ("word", "AND"):
                self.take()
            parts.append(self.one())
        return parts[0] if len(parts) == 1 else lambda item: all(part(item) for part in parts)

    def one(self) -> Predicate:
        kind, value = self.take()
        if (kind, value) == ("word", "NOT"):
            inner = self.one()
            return lambda item: not inner(item)
        if kind == "open":
            inner = self.either()
            if self.take()[0] != "close":
                raise self.fail("a parenthesis is not closed")
            return inner
        if kind != "word":
            raise self.fail(f"expected a field, found {value!r}" if value else "it ends too early")
        path = value.split(".")
        if path[-1] == "" and self.peek()[0] == "string":  # labels."a key"
            path[-1] = self.take()[1]
        path = [_camel(path[0]), *path[1:]]
        if path[0] not in self.fields:
            raise self.fail(f"unknown field {value!r}; known are {', '.join(self.fields)}")
        kind, operator = self.take()
        if kind != "op":
            raise self.fail(f"expected an operator after {value!r}")
        kind, wanted = self.take()
        if kind not in ("word", "string"):
            raise self.fail(f"expected a value after {value}{operator}")
        if kind == "word":  # an unquoted time holds colons
            while operator != ":" and self.peek() == ("op", ":"):
                self.take()
                wanted += ":" + self.take()[1]
        return _comparison(path, operator, wanted)


def _comparison(path: list[str], operator: str, wanted: str) -> Predicate:
    def test(item: Mapping[str, Any]) -> bool:
        value: Any = item
        for part in path:
            value = value.get(part) if isinstance(value, Mapping) else None
        if operator == ":":
            if isinstance(value, Mapping):
                return wanted in value
            if value is None:
                return False
            return wanted == "*" or fnmatch.fnmatchcase(str(value), wanted if "*" in wanted else f"*{wanted}*")
        if path == ["name"] and value is not None:  # resources are filtered by their id as well
            value = str(value).rpartition("/")[2] if "/" not in wanted else value
        if value is None:
            return operator == "!="
        if path[0] in ("createTime", "updateTime", "startTime", "endTime"):
            # RFC 3339 in UTC compares as text once both sides have the same precision.
            value, other = str(value).rstrip("Z").ljust(26, "0"), wanted.rstrip("Z")
            other = other.ljust(26, "0") if "." in other else (other + ".").ljust(26, "0")
        else:
            value, other = str(value), wanted
        return bool(
            {
                "=": value == other,
                "!=": value != other,
                "<": value < other,
                ">": value > other,
                "<=": value <= other,
                ">=": value >= other,
            }[operator]
        )

    return test


def predicate(text: str, fields: Sequence[str]) -> Predicate:
    """What a filter means, as a function of a resource in its JSON form.

    Args:
        text: The filter; empty lets everything through.
        fields: Fields that may be filtered by, in camelCase (the filter may use snake_case).

    Raises:
        ApiError: INVALID_ARGUMENT: it cannot be read, or names an unknown field.
    """
    if not text.strip():
        return lambda _: True
    parser = _Parser(text, fields)
    result = parser.either()
    if parser.peek()[0] != "end":
        raise parser.fail(f"unexpected {parser.peek()[1]!r}")
    return result


def ordered(items: list[dict[str, Any]], order_by: str, fields: Sequence[str]) -> list[dict[str, Any]]:
    """``items`` sorted as ``orderBy`` says, e.g. ``display_name, create_time desc``.

    Raises:
        ApiError: Unknown field or direction.
    """
    for part in reversed([part.split() for part in order_by.split(",") if part.strip()]):
        field = _camel(part[0])
        if field not in fields or len(part) > 2 or (len(part) == 2 and part[1] not in ("asc", "desc")):
            raise invalid(f"Invalid order_by {order_by!r}; known fields are {', '.join(fields)}.")
        items = sorted(items, key=lambda item: str(item.get(field, "")), reverse=part[-1] == "desc")
    return items
