"""Annotations that were sent before: the same keep their uuid, whatever their order, and nothing is counted twice."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import orjson
from hypothesis import given
from hypothesis import strategies as st

from vertex_model_inference.labelbox.ndjson import row_uuid
from vertex_model_inference.steps.recall import Earlier
from vertex_model_inference.steps.resent import settle

_THINGS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), max_size=8)


def _lines(run: str, things: list[tuple[str, int]], relations: list[tuple[int, int]] = []) -> list[bytes]:  # noqa: B006
    """NDJSON as ``ndjson.lines`` writes it: uuids by run and place, relations by uuid."""
    uuids = [row_uuid(run, "row", n) for n in range(len(things) + len(relations))]
    made: list[dict[str, Any]] = [
        {"uuid": uuids[n], "dataRow": {"id": "row"}, "name": name, "bbox": {"left": at}}
        for n, (name, at) in enumerate(things)
    ]
    for n, (source, target) in enumerate(relations, start=len(things)):
        made.append({
            "uuid": uuids[n], "name": "rel", "relationship": {"source": uuids[source], "target": uuids[target]}
        })  # fmt: skip
    return [orjson.dumps(each) for each in made]


def _earlier(lines: list[bytes], *at: str) -> list[Earlier]:
    return [Earlier("row", msgspec.Raw(line), at) for line in lines]


def _uuids(lines: list[bytes]) -> list[str]:
    return [orjson.loads(line)["uuid"] for line in lines]


@given(_THINGS, _THINGS)
def test_the_same_keep_their_uuid(before: list[tuple[str, int]], now: list[tuple[str, int]]) -> None:
    old, new = _lines("one", before), _lines("two", now)
    settled = settle(new, _earlier(old, "model-run"))
    same = sum((Counter(before) & Counter(now)).values())
    kept = set(_uuids(old)) & set(_uuids(settled.lines))
    assert len(kept) == same
    assert settled.left == len(before) - same
    assert len(set(_uuids(settled.lines))) == len(now), "no uuid twice"
    by_uuid = dict(zip(_uuids(old), before, strict=True))
    for uuid, line, thing in zip(_uuids(settled.lines), settled.lines, now, strict=True):
        assert by_uuid.get(uuid, thing) == thing
        assert (orjson.loads(line)["name"], orjson.loads(line)["bbox"]["left"]) == thing
    # Settled once more, nothing changes.
    assert settle(settled.lines, _earlier(settled.lines, "model-run")).lines == settled.lines


@given(st.permutations([("a", 0), ("b", 1), ("c", 2)]))
def test_relations_go_with_what_they_join(now: list[tuple[str, int]]) -> None:
    before = [("a", 0), ("b", 1), ("c", 2)]
    old = _lines("one", before, [(0, 1)])
    new = _lines("two", now, [(now.index(("a", 0)), now.index(("b", 1)))])
    settled = settle(new, _earlier(old, "model-run"))
    assert settled.left == 0
    assert set(_uuids(settled.lines)) == set(_uuids(old))
    relation = orjson.loads(settled.lines[-1])["relationship"]
    assert relation == orjson.loads(old[-1])["relationship"]


def test_files_alone_show_nobody_anything() -> None:
    old = _lines("one", [("a", 0)])
    assert settle([], _earlier(old, "files")).left == 0
    assert settle([], _earlier(old)).left == 0, "nobody knows whether it came there"
    assert settle([], _earlier(old, "files", "project:p")).left == 1
