"""Listing against its definition: every page, prefix, delimiter and offset, over any names."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vertex_model_inference.sandbox.storage.listing import ListQuery, glob_to_regex, list_page, successor
from vertex_model_inference.sandbox.storage.resources import StoredObject
from vertex_model_inference.sandbox.storage.wire import ApiError

_TEXT = st.text(alphabet="ab/é\U0010ffff\ud7ff", max_size=6)
_NAMES = st.lists(_TEXT.filter(bool), max_size=25, unique=True)


def _object(name: str) -> StoredObject:
    return StoredObject("b", name, 1, 1, 0, None, 0, None, 0, 0, 1, "{}")


@given(
    _NAMES,
    _TEXT,
    st.sampled_from(["", "/", "ab"]),
    _TEXT,
    st.one_of(st.none(), _TEXT),
    st.integers(1, 4),
    st.booleans(),
)
@settings(deadline=None, max_examples=300)
def test_pages_add_up_to_the_definition(
    names: list[str], prefix: str, delimiter: str, start: str, end: str | None, limit: int, trailing: bool
) -> None:
    names.sort()

    def seek(first: str, last: str | None, most: int) -> list[StoredObject]:
        return [_object(n) for n in names if n >= first and (last is None or n < last)][:most]

    objects, prefixes = [], []
    for name in names:
        if not name.startswith(prefix) or name < start or (end is not None and name >= end):
            continue
        cut = name.find(delimiter, len(prefix)) if delimiter else -1
        common = name[: cut + len(delimiter)] if cut >= 0 else None
        if common is None or (trailing and common == name):
            objects.append(name)
        if common is not None and common not in prefixes:
            prefixes.append(common)

    got_objects: list[str] = []
    got_prefixes: list[str] = []
    token = None
    for _ in range(100):
        page = list_page(
            seek,
            ListQuery(
                prefix=prefix, delimiter=delimiter, start=start, end=end, limit=limit, token=token, trailing=trailing
            ),
        )
        assert len(page.objects) + len(page.prefixes) <= limit + trailing
        got_objects += [stored.name for stored in page.objects]
        got_prefixes += page.prefixes
        token = page.next_token
        if token is None:
            break
    assert got_objects == objects
    assert list(dict.fromkeys(got_prefixes)) == prefixes
    if not trailing:
        assert got_prefixes == prefixes


@given(_TEXT, _TEXT)
def test_successor_is_above_all_that_start_with_it(prefix: str, rest: str) -> None:
    after = successor(prefix)
    if after is None:
        assert set(prefix) <= {"\U0010ffff"}
    else:
        assert prefix + rest < after
        assert not after.startswith(prefix) or not prefix
        after.encode()


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("*.png", ["a.png", ".png"], ["a/b.png", "a.jpg"]),
        ("**.png", ["a.png", "a/b.png"], ["a.jpg"]),
        ("a/**/c", ["a/b/c", "a/x/y/c"], ["a/c"]),
        ("a?", ["ab"], ["a/", "a", "abc"]),
        ("[a-c][!x]", ["ab", "cz"], ["dx", "ax", "a/"]),
        ("{a,b*}/x", ["a/x", "bbb/x"], ["c/x"]),
        (r"\*\{", ["*{"], ["a{"]),
        ("a.b+(c)", ["a.b+(c)"], ["aXb+(c)"]),
    ],
)
def test_globs(glob: str, yes: list[str], no: list[str]) -> None:
    pattern = glob_to_regex(glob)
    assert [name for name in yes if not pattern.fullmatch(name)] == []
    assert [name for name in no if pattern.fullmatch(name)] == []


@given(st.text(alphabet="ab*?", max_size=8), st.text(alphabet="ab", max_size=8))
def test_globs_without_slashes_are_shell_patterns(glob: str, name: str) -> None:
    assert bool(glob_to_regex(glob).fullmatch(name)) == fnmatch.fnmatchcase(name, glob)


@pytest.mark.parametrize("glob", ["[a", "{a", "a{b,c"])
def test_malformed_globs_are_refused(glob: str) -> None:
    with pytest.raises(ApiError, match="Invalid matchGlob"):
        glob_to_regex(glob)
