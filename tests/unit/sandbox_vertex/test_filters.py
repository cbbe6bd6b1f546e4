"""Filters of list calls."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vertex_model_inference.sandbox.vertex.filters import ordered, predicate
from vertex_model_inference.sandbox.vertex.wire import ApiError

FIELDS = ("name", "displayName", "labels", "state", "createTime")
ITEM: dict[str, Any] = {
    "name": "projects/p/locations/l/models/7",
    "displayName": "My cats (v2)",
    "labels": {"team": "vision", "env": "prod"},
    "state": "JOB_STATE_RUNNING",
    "createTime": "2026-11-23T11:40:00.500000Z",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ('display_name="My cats (v2)"', True),
        ("displayName='My cats (v2)'", True),
        ('display_name="other"', False),
        ('display_name!="other"', True),
        ('display_name:"*cats*"', True),
        ("display_name:cats", True),
        ("labels.team=vision", True),
        ('labels.team="vision" AND labels.env="prod"', True),
        ('labels.team="vision" labels.env="test"', False),
        ('labels.team="x" OR labels.env="prod"', True),
        ('NOT labels.team="x"', True),
        ('(labels.team="x" OR labels.env="prod") AND NOT state="JOB_STATE_FAILED"', True),
        ("labels.team:*", True),
        ("labels:team", True),
        ("labels:none", False),
        ("labels.none:*", False),
        ('labels."team"=vision', True),
        ("labels.none=x", False),
        ("labels.none!=x", True),
        ("name=7", True),
        ('create_time>"2026-11-23T11:40:00Z"', True),
        ("create_time<2026-11-23T11:40:00.5Z", False),
        ("create_time<=2026-11-23T11:40:00.5Z", True),
    ],
)
def test_meaning(text: str, expected: bool) -> None:
    assert predicate(text, FIELDS)(ITEM) is expected


@pytest.mark.parametrize(
    "text",
    ["unknown=1", "display_name", "display_name=", '(state="a"', 'state="a" AND', '= "a"', 'state="a', "state = )"],
)
def test_refused(text: str) -> None:
    with pytest.raises(ApiError) as caught:
        predicate(text, FIELDS)
    assert caught.value.status == "INVALID_ARGUMENT"


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        meaning = predicate(text, FIELDS)
    except ApiError:
        return
    assert meaning(ITEM) in (True, False)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_any_quoted_name_finds_itself(name: str) -> None:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    assert predicate(f'display_name="{quoted}"', FIELDS)({"displayName": name})


def test_order() -> None:
    items = [{"displayName": name, "createTime": time} for name, time in [("b", "1"), ("a", "1"), ("a", "2")]]
    found = ordered(items, "display_name, create_time desc", FIELDS)
    assert [(item["displayName"], item["createTime"]) for item in found] == [("a", "2"), ("a", "1"), ("b", "1")]
    with pytest.raises(ApiError):
        ordered(items, "size", FIELDS)
