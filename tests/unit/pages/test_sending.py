"""Rows sent to a project for labelling: names of batches, ids of projects, and words."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vertex_model_inference.errors import LabelboxError, RequestError
from vertex_model_inference.labelbox.gateway import BATCH_ROWS, Labelbox, ProjectInfo
from vertex_model_inference.pages.sending import Sender, project_of
from vertex_model_inference.runs.labelling import Sent, batch_name, send_rows


class _Labelbox:
    """A project that holds rows; ``gate`` keeps it from answering, ``refusal`` is what filling raises."""

    def __init__(self) -> None:
        self.rows: set[str] = set()
        self.filled: list[tuple[str, list[str], int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.refusal: LabelboxError | None = None

    def project(self, project_id: str) -> ProjectInfo:
        assert self.gate.wait(60)
        return ProjectInfo(id=project_id, name="", ontology=None)

    def rows_in_project(self, project_id: str, data_row_ids: Sequence[str]) -> set[str]:
        return self.rows & set(data_row_ids)

    def batch(self, project_id: str, name: str) -> str:
        return name

    def fill_batch(self, project_id: str, batch_id: str, data_row_ids: Sequence[str], priority: int) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.filled.append((batch_id, list(data_row_ids), priority))
        self.rows |= set(data_row_ids)

    def close(self) -> None:
        pass


def _as(fake: _Labelbox) -> Labelbox:
    return cast(Labelbox, fake)  # the methods that sending uses


@given(st.lists(st.text("abc123", min_size=1, max_size=4), min_size=1, unique=True), st.randoms())
def test_a_batch_is_named_by_its_rows_in_whatever_order(ids: list[str], chance: Any) -> None:
    mixed = list(ids)
    chance.shuffle(mixed)
    assert batch_name("run-1", mixed) == batch_name("run-1", ids)
    assert batch_name("run-2", ids) != batch_name("run-1", ids)
    assert batch_name("run-1", [*ids, "another"]) != batch_name("run-1", ids)
    assert len(batch_name("run-1", ids)) < 60


def test_only_what_is_lacking_is_sent_and_named_by_all() -> None:
    fake = _Labelbox()
    fake.rows = {"b"}
    sent = send_rows(_as(fake), "r", "p", ["a", "b", "c", "a"])
    assert sent == Sent(project="p", batch=batch_name("r", ["a", "b", "c"]), added=2, already=1)
    assert fake.filled == [(sent.batch, ["a", "c"], 5)]
    assert send_rows(_as(fake), "r", "p", ["c", "b", "a"]) == Sent(project="p", batch=None, added=0, already=3)


@pytest.mark.parametrize(("rows", "code"), [(0, "no_rows"), (BATCH_ROWS + 1, "too_many")])
def test_too_few_and_too_many_rows_are_refused(rows: int, code: str) -> None:
    with pytest.raises(RequestError) as caught:
        send_rows(_as(_Labelbox()), "r", "p", [str(number) for number in range(rows)])
    assert caught.value.error_code == code


def test_a_batch_that_cannot_be_filled_says_what_to_do_here() -> None:
    fake = _Labelbox()
    fake.refusal = LabelboxError("Not put in.", code="batch_failed", hint="Start the run again.", project_id="p")
    with pytest.raises(LabelboxError, match=r"Not put in.*Send them again") as caught:
        send_rows(_as(fake), "r", "p", ["a"])
    assert caught.value.context == {"project_id": "p"}


def test_who_sends_the_same_joins() -> None:
    fake = _Labelbox()
    fake.gate.clear()
    sender = Sender(lambda: _as(fake))
    first, second = sender.send("r", "p", ["a", "b"]), sender.send("r", "p", ["b", "a"])
    other = sender.send("r", "p", ["c"])
    assert first is second
    assert other is not first
    fake.gate.set()
    assert first.result(60).added == 2
    assert other.result(60).added == 1
    # What has ended is done anew: the project is asked again.
    assert sender.send("r", "p", ["a", "b"]).result(60).already == 2


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (" cm1abc ", "cm1abc"),
        ("https://app.labelbox.com/projects/cm1abc", "cm1abc"),
        ("https://app.labelbox.com/projects/cm1abc/overview?tab=1#x", "cm1abc"),
        ("http://127.0.0.1:9001/projects/cm1abc/", "cm1abc"),
        ("", None),
        ("a b", None),
        ("https://app.labelbox.com/catalog/cm1abc", None),
        ("x" * 65, None),
    ],
)
def test_a_project_is_named_by_its_id_or_address(text: str, found: str | None) -> None:
    if found is not None:
        assert project_of(text) == found
        return
    with pytest.raises(RequestError) as caught:
        project_of(text)
    assert caught.value.error_code == "bad_project"


def test_what_became_of_the_rows_in_words() -> None:
    words = Sent(project="Dogs", batch="b1", added=1200, already=1, absent=2).words
    assert words.startswith("1,200 rows are sent to project Dogs as batch b1. 1 row is there already. 2 rows are not")
    assert Sent(project="Dogs", batch=None, added=0, already=1).words == (
        "The row is in project Dogs already: nothing was sent."
    )
