"""The index of a run's rows: what it counts is what is in the run's files, while these change too."""

from __future__ import annotations

import itertools
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from bench.gallery import CLASSES, RUN, write_run
from hypothesis import given
from hypothesis import strategies as st

from vertex_model_inference.errors import RequestError
from vertex_model_inference.evaluation.agreement import RowAgreement
from vertex_model_inference.outcomes import Counts, Outcome
from vertex_model_inference.pages import row_query
from vertex_model_inference.pages.row_files import read_rows, vocabulary_of
from vertex_model_inference.pages.row_filters import ORDERS, Filters, read_filters
from vertex_model_inference.pages.row_index import RowIndex
from vertex_model_inference.pages.row_records import bucket_of
from vertex_model_inference.pages.shelf import Shelf, open_shelf
from vertex_model_inference.spec import Files
from vertex_model_inference.steps.evaluate import evaluate, stored

_ROWS, _SHARD = 400, 150
_AGREEMENT = msgspec.json.Decoder(RowAgreement)
_OUTCOME = msgspec.json.Decoder(Outcome)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shelf, Counts, Path]:
    root = tmp_path_factory.mktemp("runs")
    counts = write_run(root, _ROWS, shard_rows=_SHARD, pictures=2)
    return open_shelf(root), counts, root


@pytest.fixture(scope="module")
def index(made: tuple[Shelf, Counts, Path]) -> RowIndex:
    shelf, _, root = made
    found = RowIndex(root / "index.sqlite", shelf.store, shelf.files(RUN))
    assert found.refresh() == 3
    assert found.refresh() == 0
    return found


@pytest.fixture
def db(index: RowIndex) -> Iterator[sqlite3.Connection]:
    with index.reading() as connection:
        yield connection


@pytest.fixture(scope="module")
def agreements(made: tuple[Shelf, Counts, Path]) -> dict[str, RowAgreement]:
    shelf, _, _ = made
    files = shelf.files(RUN)
    lines = itertools.chain.from_iterable(shelf.store.lines(files.shard("agreement", n)) for n in range(3))
    return {row.data_row_id: row for row in map(_AGREEMENT.decode, lines)}


def _ids(db: sqlite3.Connection, filters: Filters) -> list[str]:
    return [row.id for row in row_query.every(db, filters)]


def test_every_row_is_there_once_with_its_outcome(db: sqlite3.Connection, made: tuple[Shelf, Counts, Path]) -> None:
    counts = made[1]
    assert row_query.count(db, Filters()) == _ROWS
    assert row_query.ends(db, "outcome") == {
        name: getattr(counts, name) for name in ("predicted", "empty", "skipped", "failed") if getattr(counts, name)
    }
    assert counts.failed
    assert counts.skipped
    for outcome, number in row_query.ends(db, "outcome").items():
        assert row_query.count(db, Filters(outcome=outcome)) == number
    causes = row_query.causes(db)
    assert sum(cause.rows for cause in causes) == counts.failed + counts.skipped
    assert {cause.code for cause in causes} == {"asset_not_found", "unsupported_type"}
    assert all(cause.example for cause in causes)


def test_precision_and_recall_by_confidence_are_those_of_the_agreement(
    db: sqlite3.Connection, agreements: dict[str, RowAgreement]
) -> None:
    for name, split in itertools.product(("", *CLASSES), ("", "test")):
        found = row_query.sweep(db, Filters(class_=name, split=split))
        rows = [row for row in agreements.values() if not split or row.split == split]
        said = [one for row in rows for one in row.predictions if not name or one.name == name]
        meant = [one for row in rows for one in row.labels if not name or one.name == name]
        assert found.labels == len(meant)
        for hundredth in (0, 1, 29, 57, 58, 90, 100):
            kept = [one for one in said if (one.confidence or 0) >= hundredth / 100]
            assert sum(found.judged[hundredth:]) == len(kept)
            assert sum(found.right[hundredth:]) == sum(one.verdict == "right" for one in kept)


def test_the_sweep_agrees_with_the_evaluation(db: sqlite3.Connection, made: tuple[Shelf, Counts, Path]) -> None:
    shelf = made[0]
    evaluation = stored(shelf.store, shelf.files(RUN))
    assert evaluation is not None
    boxes = evaluation.splits[0].objects[0]
    whole = row_query.sweep(db, Filters())
    assert (sum(whole.judged), whole.labels) == (boxes.predictions, boxes.labels)
    assert sum(whole.right) / sum(whole.judged) == pytest.approx(boxes.micro.precision)


@pytest.mark.parametrize(
    ("agreement", "verdicts"),
    [
        ("wrong", {("said", "confused"), ("meant", "confused")}),
        ("missed", {("meant", "missed")}),
        ("extra", {("said", "false_alarm")}),
    ],
)
@pytest.mark.parametrize("name", ["", "cat"])
def test_filters_by_agreement_find_the_rows_that_the_files_have(
    db: sqlite3.Connection,
    agreements: dict[str, RowAgreement],
    agreement: str,
    verdicts: set[tuple[str, str]],
    name: str,
) -> None:
    expected = [
        row_id
        for row_id, row in agreements.items()
        if any(
            (side, one.verdict.value) in verdicts and name in ("", one.name)
            for side, given_ in (("said", row.predictions), ("meant", row.labels))
            for one in given_
        )
    ]
    assert expected
    assert _ids(db, Filters(agreement=agreement, class_=name)) == expected


def test_a_cell_of_the_confusion_matrix_opens_its_rows(
    db: sqlite3.Connection, agreements: dict[str, RowAgreement]
) -> None:
    def pairs(row: RowAgreement) -> set[tuple[str, str]]:
        labels = {one.index: one.name for one in row.labels}
        confused = (one for one in row.predictions if one.verdict == "confused" and one.label is not None)
        return {(labels[one.label], one.name) for one in confused if one.label is not None}

    counts = Counter(pair for row in agreements.values() for pair in pairs(row))
    assert counts
    for (meant, said), number in counts.items():
        found = _ids(db, Filters(class_=meant, as_=said))
        assert len(found) == number
        assert all((meant, said) in pairs(agreements[row_id]) for row_id in found)


@given(low=st.floats(0, 1), high=st.floats(0, 1), name=st.sampled_from(("", *CLASSES)))
def test_a_range_of_confidence_is_of_one_prediction(
    index: RowIndex, agreements: dict[str, RowAgreement], low: float, high: float, name: str
) -> None:
    with index.reading() as db:
        found = set(_ids(db, Filters(low=low, high=high, class_=name)))
    for row_id, row in agreements.items():
        fits = any(low <= (one.confidence or 0) <= high and name in ("", one.name) for one in row.predictions)
        assert (row_id in found) == fits


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("filters", [Filters(), Filters(split="test"), Filters(agreement="any")])
def test_pages_forth_and_back_show_every_row_once(db: sqlite3.Connection, order: str, filters: Filters) -> None:
    filters = msgspec.structs.replace(filters, order=order)
    whole = _ids(db, filters)
    assert len(whole) == row_query.count(db, filters) > 20
    seen: list[str] = []
    after = ""
    pages = 0
    while True:
        page = row_query.page(db, filters, 17, after=after)
        seen += [row.id for row in page.rows]
        assert (page.before is None) == (pages == 0)
        pages += 1
        if page.after is None:
            break
        after = page.after
    assert seen == whole
    back: list[str] = []
    while page.before is not None:
        page = row_query.page(db, filters, 17, before=page.before)
        back = [row.id for row in page.rows] + back
    assert back == whole[: len(back)]
    assert len(back) == 17 * (pages - 1)


def test_neighbours_are_those_of_the_order(db: sqlite3.Connection) -> None:
    filters = Filters(order="wrong", split="test")
    whole = list(row_query.every(db, filters))
    assert row_query.neighbours(db, filters, whole[0]) == (None, whole[1].id)
    assert row_query.neighbours(db, filters, whole[5]) == (whole[4].id, whole[6].id)
    assert row_query.neighbours(db, filters, whole[-1]) == (whole[-2].id, None)
    errors = [row.error for row in whole]
    assert errors == sorted(errors, reverse=True, key=lambda error: error or 0)


def test_rows_are_found_by_the_beginning_of_their_id_or_key(db: sqlite3.Connection) -> None:
    assert len(_ids(db, Filters(q="animal-00012"))) == 10
    assert _ids(db, Filters(q="animal-000123")) == [f"crow{123:021d}"]
    assert _ids(db, Filters(q="%")) == []
    assert _ids(db, Filters(q="' OR 1=1 --")) == []


def test_rows_read_by_their_places_are_the_rows(index: RowIndex, made: tuple[Shelf, Counts, Path]) -> None:
    shelf = made[0]
    files = shelf.files(RUN)
    with index.reading() as db:
        rows = list(row_query.every(db, Filters(order="trouble")))[::7]
    facts = read_rows(shelf.store, files, rows, vocabulary_of(shelf.store, files))
    for row, one in zip(rows, facts, strict=True):
        assert one.row.id == row.id
        assert one.outcome is not None
        assert one.outcome.data_row_id == row.id
        assert len(one.predictions) == one.outcome.annotations
        assert one.agreement is not None
        assert len(one.agreement.labels) == len(one.labels or ())


def test_what_changes_is_read_again_and_nothing_else(tmp_path: Path) -> None:
    write_run(tmp_path, 60, shard_rows=20, pictures=1)
    shelf = open_shelf(tmp_path)
    files: Files = shelf.files(RUN)
    outcomes = tmp_path / files.shard("outcomes", 2)
    kept = outcomes.read_bytes()
    outcomes.unlink()
    index = RowIndex(tmp_path / "index.sqlite", shelf.store, files)
    index.refresh()
    with index.reading() as db:
        assert row_query.ends(db, "outcome")["pending"] == 20
    before = index.version
    outcomes.write_bytes(kept)
    assert index.refresh() == 1
    assert index.version != before
    with index.reading() as db:
        assert "pending" not in row_query.ends(db, "outcome")
        whole = row_query.sweep(db, Filters())
    evaluate(shelf.store, files, None, iou=0.9, write=True)
    assert index.refresh() == 3
    with index.reading() as db:
        assert row_query.count(db, Filters()) == 60
        assert sum(row_query.sweep(db, Filters()).right) < sum(whole.right)
    (tmp_path / files.shard("rows", 0)).unlink()
    index.refresh()
    with index.reading() as db:
        assert row_query.count(db, Filters()) == 40


def test_a_broken_index_is_made_anew_and_a_broken_file_is_told(tmp_path: Path) -> None:
    write_run(tmp_path, 20, pictures=1)
    shelf = open_shelf(tmp_path)
    path = tmp_path / "index.sqlite"
    path.write_bytes(b"not a database at all" * 100)
    index = RowIndex(path, shelf.store, shelf.files(RUN))
    assert index.keep_up(every_s=0, wait_s=60)
    assert index.problem == ""
    with index.reading() as db:
        assert row_query.count(db, Filters()) == 20
    (tmp_path / index.files.shard("outcomes", 0)).write_bytes(b'{"data_row_id": 5}\n')
    assert index.keep_up(every_s=0, wait_s=60)
    assert "data_row_id" in index.problem
    with index.reading() as db:
        assert row_query.count(db, Filters()) == 20  # what was known stays


@given(st.floats(0, 1))
def test_a_hundredth_is_reached_exactly_when_scripts_think_so(confidence: float) -> None:
    reached = [step for step in range(101) if confidence >= step / 100]
    assert bucket_of(confidence) == reached[-1]


def test_no_confidence_counts_as_certain() -> None:
    assert bucket_of(None) == 100


@given(
    st.builds(
        Filters,
        outcome=st.sampled_from(("", "failed")),
        split=st.sampled_from(("", "test")),
        class_=st.text(max_size=20).map(str.strip),
        feature=st.text(max_size=10).map(str.strip),
        agreement=st.sampled_from(("", "missed")),
        low=st.none() | st.sampled_from((0.0, 0.25, 1.0)),
        q=st.text(max_size=10).map(str.strip),
        order=st.sampled_from(tuple(ORDERS)),
        t=st.integers(0, 100),
    )
)
def test_every_view_has_a_link(filters: Filters) -> None:
    assert read_filters(filters.fields()) == filters


@pytest.mark.parametrize("bad", [{"outcome": "gone"}, {"low": "2"}, {"high": "nan"}, {"order": "n; DROP TABLE rows"}])
def test_filters_that_mean_nothing_are_refused(bad: dict[str, str]) -> None:
    with pytest.raises(RequestError):
        read_filters(bad)


@pytest.mark.parametrize("cursor", ["x", "~", "1e400~x", "a~1"])
def test_a_cursor_that_no_page_gave_is_refused(db: sqlite3.Connection, cursor: str) -> None:
    with pytest.raises(RequestError):
        row_query.page(db, Filters(order="wrong"), 5, after=cursor)
