"""What is kept of a URL once nobody needs it to open a door any more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vertex_model_inference.steps.signatures import unsigned


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://h/a.jpg", "https://h/a.jpg"),
        ("https://h/a.jpg?X-Sig=abc&id=7", "https://h/a.jpg?X-Sig=***&id=***"),
        ("https://h/a?abc", "https://h/a?***"),
        ("https://h/a?", "https://h/a?"),
        ("https://user:word@h/a@b?x=1#f", "https://***@h/a@b?x=***#f"),
        ("ftp://h/a?t=1", "ftp://h/a?t=***"),
        ("gs://bucket/what?=1", "gs://bucket/what?=1"),
        ("Is x=1 or x=2? See https://h/a?x=1", "Is x=1 or x=2? See https://h/a?x=1"),
        ("a text", "a text"),
    ],
)
def test_unsigned(url: str, kept: str) -> None:
    assert unsigned(url) == kept
    assert unsigned(kept) == kept


@given(st.dictionaries(st.text(alphabet="abXY-", min_size=1, max_size=9), st.just("s3cr3t/+%"), min_size=1))
def test_no_value_is_kept(query: dict[str, str]) -> None:
    joined = "&".join(f"{name}={value}" for name, value in query.items())
    assert "s3cr3t" not in unsigned(f"https://h/a?{joined}")
