"""resent: which annotations of a row are sent, where an earlier run has sent some of it already.

Labelbox's API takes no prediction back and replaces none (labelbox 7.17.0 has no call for it: ``ModelRun`` can only
delete whole data rows, with their labels). So an annotation that is the same as before keeps its uuid and is not sent
again where it was taken; one that is new gets a uuid of its own; one that is no more stays in Labelbox, and is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import orjson

from vertex_model_inference.steps.recall import Earlier

__all__ = ["Settled", "settle"]


class Settled(NamedTuple):
    """A row's lines with the uuids that they keep, and how many earlier annotations are none of them."""

    lines: list[bytes]
    left: int


def settle(lines: Sequence[bytes], earlier: Sequence[Earlier]) -> Settled:
    """Let each line that says what an earlier one said have its uuid. Pure.

    Two lines say the same when they are equal but for their uuids; relationships, when they join such lines.

    Args:
        lines: The row's NDJSON now.
        earlier: What was sent of it before; ``left`` counts those among them that some place took.
    """
    if not earlier:
        return Settled(list(lines), 0)
    waiting: dict[bytes, list[str]] = {}
    for uuid, said in _said([bytes(each.line) for each in earlier]):
        waiting.setdefault(said, []).append(uuid)
    settled = list(lines)
    kept = set()
    related = any(b'"relationship"' in line for line in lines)
    for index, (uuid, said) in enumerate(_said(lines)):
        same = waiting.get(said)
        if not same:
            continue
        old = same.pop(0)
        kept.add(old)
        if old == uuid:
            continue
        # A uuid stands in its own line and in relationships of the row that refer to it.
        for place in range(len(settled)) if related else (index,):
            settled[place] = settled[place].replace(uuid.encode(), old.encode())
    shown = [each for each in earlier if any(place != "files" for place in each.at)]
    left = sum(1 for each in shown if str(orjson.loads(bytes(each.line)).get("uuid")) not in kept)
    return Settled(settled, left)


def _said(lines: Sequence[bytes]) -> list[tuple[str, bytes]]:
    """(uuid, the line without uuids) of each line."""
    read: list[tuple[str, dict[str, Any]]] = []
    for line in lines:
        value = orjson.loads(line)
        read.append((str(value.pop("uuid", "")), value))
    plain = {uuid: _bytes(value) for uuid, value in read if "relationship" not in value}
    found = []
    for uuid, value in read:
        relation = value.get("relationship")
        if isinstance(relation, dict):
            ends = {end: plain.get(str(relation.get(end)), b"").decode() for end in ("source", "target")}
            value = {**value, "relationship": {**relation, **ends}}
        found.append((uuid, _bytes(value)))
    return found


def _bytes(value: dict[str, Any]) -> bytes:
    return msgspec.json.encode(value, order="deterministic")
