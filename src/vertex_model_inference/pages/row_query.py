"""Questions to the index of a run's rows: a page of a gallery, its neighbours, counts, and precision by confidence."""

# ruff: noqa: S608  # put together are names of our own columns and question marks; every value is bound
from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from vertex_model_inference.errors import RequestError
from vertex_model_inference.pages.row_filters import Filters
from vertex_model_inference.pages.row_index import SHARD_BITS, places_of
from vertex_model_inference.pages.row_records import Place

__all__ = [
    "Cause",
    "ClassCount",
    "IndexedRow",
    "Sweep",
    "causes",
    "classes",
    "count",
    "ends",
    "every",
    "find",
    "page",
    "sweep",
]

_COLUMNS = (
    "n, id, key, media, split, outcome, step, code, message, retryable, annotations, judged, error, least, trouble,"
    " places"
)
_ORDER = {"export": ("n", False), "wrong": ("error", True), "unsure": ("least", False), "trouble": ("trouble", True)}
"""Column, and whether the highest come first; rows without a value there are left out."""
_OF_AGREEMENT = {"right": (0,), "wrong": (1, 5), "missed": (6,), "extra": (2,), "any": (1, 2, 5, 6)}


class IndexedRow(NamedTuple):
    """A row as the index has it; ``places`` says where its lines are in the files of its ``shard``."""

    n: int
    id: str
    key: str | None
    media: str
    split: str
    outcome: str
    step: str
    code: str
    message: str | None
    retryable: bool
    annotations: int
    judged: bool
    error: float | None
    least: float | None
    trouble: int | None
    places: dict[str, Place]

    @property
    def shard(self) -> int:
        """Number of its shard."""
        return self.n >> SHARD_BITS


class Page(NamedTuple):
    """Some rows in their order; ``before`` and ``after`` lead to the pages beside it, None where there is none."""

    rows: list[IndexedRow]
    before: str | None
    after: str | None


class ClassCount(msgspec.Struct, frozen=True):
    """A class and how often it is predicted and labelled; ``feature`` as of ``agreement.Said``."""

    feature: str
    name: str
    predictions: int
    labels: int


class Cause(NamedTuple):
    """Rows that ended at one step for one reason; ``example`` is what one of them says."""

    outcome: str
    step: str
    code: str
    rows: int
    retryable: int
    example: str


class Sweep(msgspec.Struct, frozen=True):
    """Judged predictions and labels by confidence, for a slider.

    Attributes:
        right: Of each hundredth from 0 to 100: right predictions whose confidence reaches it and not the next one.
        judged: Likewise all judged predictions.
        labels: Labels.
    """

    right: tuple[int, ...]
    judged: tuple[int, ...]
    labels: int


def _row(values: Sequence[Any]) -> IndexedRow:
    given: dict[str, Any] = dict(zip(IndexedRow._fields, values, strict=True))
    given |= {name: bool(given[name]) for name in ("retryable", "judged")}
    return IndexedRow(**{**given, "places": places_of(given["places"])})


def _names(db: sqlite3.Connection, filters: Filters, name: str) -> list[int]:
    if filters.feature:
        found = db.execute("SELECT id FROM names WHERE name = ? AND feature = ?", (name, filters.feature))
    else:
        found = db.execute("SELECT id FROM names WHERE name = ?", (name,))
    return [row[0] for row in found]


def _where(db: sqlite3.Connection, filters: Filters) -> tuple[list[str], list[Any]]:
    """Conditions on the table ``rows`` and their values."""
    clauses: list[str] = []
    values: list[Any] = []
    for column, wanted in (
        ("outcome", filters.outcome),
        ("split", filters.split),
        ("step", filters.step),
        ("code", filters.code),
    ):
        if wanted:
            clauses.append(f"{column} = ?")
            values.append(wanted)
    if filters.q:
        beyond = filters.q + chr(0x10FFFF)
        clauses.append("((id >= ? AND id < ?) OR (key >= ? AND key < ?))")
        values += [filters.q, beyond, filters.q, beyond]
    verdicts = _OF_AGREEMENT.get(filters.agreement)
    if filters.agreement == "unjudged":
        clauses.append("judged = 0")
    if filters.class_ or filters.feature:
        _of_class(db, filters, verdicts, clauses, values)
    else:
        if filters.agreement == "right":
            clauses.append("judged = 1 AND trouble = 0")
        elif verdicts:
            clauses.append(f"n IN (SELECT n FROM items WHERE verdict IN ({_marks(verdicts)}))")
            values += verdicts
        _range(filters, "", (), clauses, values)
    return clauses, values


def _of_class(
    db: sqlite3.Connection, filters: Filters, verdicts: tuple[int, ...] | None, clauses: list[str], values: list[Any]
) -> None:
    if filters.class_:
        names = _names(db, filters, filters.class_)
    else:
        names = [row[0] for row in db.execute("SELECT id FROM names WHERE feature = ?", (filters.feature,))]
    among = f"name IN ({_marks(names)})"
    if filters.as_:
        said = _names(db, filters, filters.as_)
        confused = f"verdict = 1 AND name IN ({_marks(said)}) AND instead IN ({_marks(names)})"
        clauses.append(f"n IN (SELECT n FROM items WHERE {confused})")
        values += [*said, *names]
        return
    if verdicts:
        clauses.append(f"n IN (SELECT n FROM items WHERE {among} AND verdict IN ({_marks(verdicts)}))")
        values += [*names, *verdicts]
    elif filters.low is None and filters.high is None:
        clauses.append(f"n IN (SELECT n FROM items WHERE {among})")
        values += names
    _range(filters, f" AND {among}", names, clauses, values)


def _range(filters: Filters, among: str, names: Sequence[int], clauses: list[str], values: list[Any]) -> None:
    if filters.low is None and filters.high is None:
        return
    low = 0.0 if filters.low is None else filters.low
    high = 1.0 if filters.high is None else filters.high
    clauses.append(f"n IN (SELECT n FROM items WHERE verdict <= 3 AND ifnull(confidence, 1.0) BETWEEN ? AND ?{among})")
    values += [low, high, *names]


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _ordered(filters: Filters, *, backwards: bool) -> tuple[str, str, str]:
    """The column, the comparison of what follows, and the direction of it."""
    column, falling = _ORDER[filters.order]
    down = falling != backwards
    return column, "<" if down else ">", "DESC" if down else "ASC"


def _after(column: str, sign: str, n_sign: str, cursor: str) -> tuple[str, list[Any]]:
    value, _, n = cursor.rpartition("~")
    try:
        if column == "n":
            return f"n {n_sign} ?", [int(n)]
        return f"({column} {sign} ? OR ({column} = ? AND n {n_sign} ?))", [float(value), float(value), int(n)]
    except ValueError:
        raise RequestError("The address of this page is not complete.", code="bad_cursor") from None


def _cursor(row: IndexedRow, filters: Filters) -> str:
    column = _ORDER[filters.order][0]
    return f"~{row.n}" if column == "n" else f"{getattr(row, column)!r}~{row.n}"


def page(db: sqlite3.Connection, filters: Filters, most: int, *, after: str = "", before: str = "") -> Page:
    """Some rows in their order.

    Args:
        db: The index.
        filters: Which rows, in which order.
        most: How many.
        after: Of the page before: where this one begins. ``before``: of the page behind: where this one ends.

    Raises:
        RequestError: ``after`` or ``before`` was not given out by a page.
    """
    backwards = bool(before) and not after
    rows = _some(db, filters, most + 1, after or before, backwards=backwards)
    more = len(rows) > most
    rows = rows[:most]
    if backwards:
        rows.reverse()
    earlier = more if backwards else bool(after)
    later = bool(before) if backwards else more
    return Page(
        rows,
        _cursor(rows[0], filters) if rows and earlier else None,
        _cursor(rows[-1], filters) if rows and later else None,
    )


def _some(db: sqlite3.Connection, filters: Filters, most: int, cursor: str, *, backwards: bool) -> list[IndexedRow]:
    clauses, values = _where(db, filters)
    column, sign, direction = _ordered(filters, backwards=backwards)
    n_direction, n_sign = ("DESC", "<") if backwards else ("ASC", ">")
    if cursor:
        clause, bounds = _after(column, sign, n_sign, cursor)
        clauses.append(clause)
        values += bounds
    elif column != "n":
        clauses.append(f"{column} IS NOT NULL")
    order = f"n {n_direction}" if column == "n" else f"{column} {direction}, n {n_direction}"
    where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
    found = db.execute(f"SELECT {_COLUMNS} FROM rows{where} ORDER BY {order} LIMIT ?", (*values, most))
    return [_row(values) for values in found]


def neighbours(db: sqlite3.Connection, filters: Filters, row: IndexedRow) -> tuple[str | None, str | None]:
    """Ids of the rows before and behind this one, as the filters have them."""
    if getattr(row, _ORDER[filters.order][0]) is None:
        return None, None
    cursor = _cursor(row, filters)
    earlier = _some(db, filters, 1, cursor, backwards=True)
    later = _some(db, filters, 1, cursor, backwards=False)
    return (earlier[0].id if earlier else None), (later[0].id if later else None)


def every(db: sqlite3.Connection, filters: Filters) -> Iterator[IndexedRow]:
    """All rows in their order, streamed."""
    clauses, values = _where(db, filters)
    column, _, direction = _ordered(filters, backwards=False)
    if column != "n":
        clauses.append(f"{column} IS NOT NULL")
    where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
    order = "n" if column == "n" else f"{column} {direction}, n"
    for found in db.execute(f"SELECT {_COLUMNS} FROM rows{where} ORDER BY {order}", values):
        yield _row(found)


def find(db: sqlite3.Connection, row_id: str) -> IndexedRow | None:
    """A row by its id."""
    found = db.execute(f"SELECT {_COLUMNS} FROM rows WHERE id = ?", (row_id,)).fetchone()
    return None if found is None else _row(found)


def count(db: sqlite3.Connection, filters: Filters) -> int:
    """How many rows there are."""
    if not filters.narrowing and filters.order == "export":
        return int(db.execute("SELECT ifnull(sum(count), 0) FROM ends").fetchone()[0])
    clauses, values = _where(db, filters)
    column = _ORDER[filters.order][0]
    if column != "n":
        clauses.append(f"{column} IS NOT NULL")
    where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
    return int(db.execute(f"SELECT count(*) FROM rows{where}", values).fetchone()[0])


def ends(db: sqlite3.Connection, column: str) -> Counter[str]:
    """How many rows have which ``outcome``, ``split`` or ``media``."""
    if column not in ("outcome", "split", "media"):
        raise ValueError(column)
    return Counter(dict(db.execute(f"SELECT {column}, sum(count) FROM ends GROUP BY 1")))


def causes(db: sqlite3.Connection) -> list[Cause]:
    """Why rows failed or were skipped, the most frequent first."""
    found = db.execute(
        "SELECT outcome, step, code, sum(count), sum(count * retryable) FROM ends"
        " WHERE outcome IN ('failed', 'skipped') GROUP BY 1, 2, 3 ORDER BY outcome, 4 DESC"
    ).fetchall()
    example = "SELECT message FROM rows WHERE code = ? AND outcome = ? AND step = ? ORDER BY n LIMIT 1"
    causes_: list[Cause] = []
    for outcome, step, code, number, retryable in found:
        said = db.execute(example, (code, outcome, step)).fetchone()
        causes_.append(Cause(outcome, step, code, number, retryable, (said[0] if said else "") or ""))
    return causes_


def classes(db: sqlite3.Connection) -> list[ClassCount]:
    """Every class with its predictions and labels, the most frequent first."""
    found = db.execute(
        "SELECT feature, names.name, sum(count * (verdict <= 3)) AS said, sum(count * (verdict > 3)) AS meant"
        " FROM sums JOIN names ON names.id = sums.name GROUP BY names.id ORDER BY said + meant DESC, 1, 2"
    )
    return [ClassCount(*values) for values in found]


def sweep(db: sqlite3.Connection, filters: Filters) -> Sweep:
    """Judged predictions and labels of the filters' class, feature and split, by confidence."""
    clauses, values = ["1"], list[Any]()
    if filters.split:
        clauses.append("split = ?")
        values.append(filters.split)
    if filters.class_:
        names = _names(db, filters, filters.class_)
        clauses.append(f"name IN ({_marks(names)})")
        values += names
    elif filters.feature:
        clauses.append("name IN (SELECT id FROM names WHERE feature = ?)")
        values.append(filters.feature)
    right, judged = [0] * 101, [0] * 101
    labels = 0
    for hundredth, verdict, number in db.execute(
        f"SELECT hundredth, verdict, sum(count) FROM sums WHERE {' AND '.join(clauses)} GROUP BY 1, 2",
        values,
    ):
        if verdict > 3:
            labels += number
        elif verdict < 3:
            judged[hundredth] += number
            right[hundredth] += number if verdict == 0 else 0
    return Sweep(tuple(right), tuple(judged), labels)
