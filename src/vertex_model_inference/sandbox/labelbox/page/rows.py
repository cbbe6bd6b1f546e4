"""A page of a run's data rows, with labels, predictions and what to show of them. Bounded work for each page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
import orjson

from vertex_model_inference.sandbox.labelbox.fetch import FetchError
from vertex_model_inference.sandbox.labelbox.page.compare import Verdict, verdict
from vertex_model_inference.sandbox.labelbox.page.draw import Annotated, Drawing, draw

if TYPE_CHECKING:
    from vertex_model_inference.sandbox.labelbox.app import Server
    from vertex_model_inference.sandbox.labelbox.store import Row

__all__ = ["PAGE", "Filters", "RowPage", "RowView", "one_row", "row_page"]

PAGE = 60
#: Right and wrong are found by looking; one request looks at no more rows than this and says where to go on.
_MOST_LOOKED_AT = 10_000
_BATCH = 500
_TEXT_BYTES = 24_000
_CARD_CHARACTERS = 600

SPLITS = ("TRAINING", "VALIDATION", "TEST", "UNASSIGNED")
SHOWS = ("right", "wrong", "none")


class Filters(msgspec.Struct, frozen=True):
    """What to show: a split or "" for all; ``right``, ``wrong``, ``none`` (no prediction) or "" for all."""

    split: str = ""
    show: str = ""
    after: int = 0


class RowView(msgspec.Struct, frozen=True):
    """One data row for the templates.

    Attributes:
        seq: Its place in the run; the cursor of the following page.
        picture: URL of the picture, or None.
        small: The picture has so few pixels that they should stay sharp.
        text: The text (or its beginning), or None.
        cut: The text goes on behind what is shown.
        problem: Why there is neither picture nor text, in plain words.
    """

    seq: int
    id: str
    title: str
    split: str
    media_type: str
    verdict: Verdict
    drawing: Drawing
    picture: str | None = None
    width: int | None = None
    height: int | None = None
    small: bool = False
    text: str | None = None
    cut: bool = False
    problem: str = ""
    link: str | None = None


class RowPage(msgspec.Struct, frozen=True):
    """Rows to show; ``next`` is the following page's cursor, None at the end.

    ``looked_at`` is set when the search stopped early: so many rows were looked at for this page.
    """

    rows: list[RowView]
    next: int | None
    looked_at: int | None = None


_SELECT = """
SELECT r.seq AS run_seq, r.split, d.id, d.global_key, d.external_id, d.row_data, d.is_object, d.media_type,
  d.media_attributes, d.text_length
FROM run_rows r JOIN data_rows d ON d.id = r.data_row_id
WHERE r.run_id = ?1 AND r.seq > ?2 AND (?3 = '' OR r.split = ?3)
"""
_WITHOUT = " AND NOT EXISTS (SELECT 1 FROM annotations a WHERE a.owner_id = ?1 AND a.data_row_id = r.data_row_id)"
_WITH = " AND EXISTS (SELECT 1 FROM annotations a WHERE a.owner_id = ?1 AND a.data_row_id = r.data_row_id)"
_ORDER = " ORDER BY r.seq LIMIT ?4"


def row_page(server: Server, run_id: str, filters: Filters) -> RowPage:
    """The page of rows behind ``filters.after``."""
    database = server.store.database
    if filters.show not in ("right", "wrong"):
        sql = _SELECT + (_WITHOUT if filters.show == "none" else "") + _ORDER
        rows = database.all(sql, run_id, filters.after, filters.split, PAGE + 1)
        views = _views(server, run_id, rows[:PAGE])
        return RowPage(views, views[-1].seq if len(rows) > PAGE else None)
    wanted = Verdict(filters.show)
    found: list[tuple[Row, Verdict]] = []
    after, looked_at = filters.after, 0
    while looked_at < _MOST_LOOKED_AT:
        rows = database.all(_SELECT + _WITH + _ORDER, run_id, after, filters.split, _BATCH)
        sides = _annotations(server, run_id, [row["id"] for row in rows])
        for row in rows:
            labels, predictions = sides[row["id"]]
            if verdict(labels, predictions) is not wanted:
                continue
            if len(found) == PAGE:
                return RowPage(_views(server, run_id, [row for row, _ in found]), found[-1][0]["run_seq"])
            found.append((row, wanted))
        looked_at += len(rows)
        if len(rows) < _BATCH:
            return RowPage(_views(server, run_id, [row for row, _ in found]), None)
        after = rows[-1]["run_seq"]
    return RowPage(_views(server, run_id, [row for row, _ in found]), after, looked_at)


def one_row(server: Server, run_id: str, data_row_id: str) -> RowView | None:
    """One row with its whole text, or None."""
    rows = server.store.database.all(_SELECT + " AND d.id = ?4", run_id, 0, "", data_row_id)
    return next(iter(_views(server, run_id, rows, whole=True)), None)


def _annotations(server: Server, run_id: str, ids: list[str]) -> dict[str, tuple[Annotated | None, Annotated]]:
    runs = server.store.runs
    predictions = {row_id: Annotated("prediction", [], []) for row_id in ids}
    others = dict.fromkeys(ids, 0)
    for row in runs.predictions_of(run_id, ids):
        side = predictions[row["data_row_id"]]
        if row["place"] == "objects":
            side.objects.append(orjson.loads(row["annotation"]))
        elif row["place"] == "classifications":
            side.classifications.append(orjson.loads(row["annotation"]))
        else:
            others[row["data_row_id"]] += 1
    labels: dict[str, Annotated] = {}
    for row in runs.labels_of(run_id, ids):
        form: dict[str, Any] = orjson.loads(row["annotations"])
        more = sum(len(form.get(name) or ()) for name in ("relationships", "frames", "metrics"))
        labels[row["data_row_id"]] = Annotated(
            "label", form.get("objects") or [], form.get("classifications") or [], more
        )
    return {
        row_id: (labels.get(row_id), msgspec.structs.replace(predictions[row_id], others=others[row_id]))
        for row_id in ids
    }


def _views(server: Server, run_id: str, rows: list[Row], *, whole: bool = False) -> list[RowView]:
    sides = _annotations(server, run_id, [row["id"] for row in rows])
    return [_view(server, row, *sides[row["id"]], whole=whole) for row in rows]


def _view(server: Server, row: Row, labels: Annotated | None, predictions: Annotated, *, whole: bool) -> RowView:
    facts: dict[str, Any] = orjson.loads(row["media_attributes"]) if row["media_attributes"] else {}
    width, height = facts.get("width"), facts.get("height")
    media_type: str = row["media_type"]
    picture = text = link = None
    cut = False
    problem = ""
    if media_type == "IMAGE":
        picture = asset_url(row["row_data"], server.config.storage_url)
        if picture is None:
            problem = f"This address cannot be shown: {row['row_data'][:200]}"
    elif media_type == "TEXT" and not row["is_object"]:
        text, cut, problem = _text(server, row, whole=whole)
    else:
        problem = f"{media_type.replace('_', ' ').capitalize()} rows are not drawn here; their annotations are listed."
        link = None if row["is_object"] else asset_url(row["row_data"], server.config.storage_url)
    sides = [side for side in (labels, predictions) if side is not None]
    return RowView(
        seq=row["run_seq"],
        id=row["id"],
        title=row["global_key"] or row["external_id"] or row["id"],
        split=row["split"],
        media_type=media_type,
        verdict=verdict(labels, predictions),
        drawing=draw(sides, text),
        picture=picture,
        width=width,
        height=height,
        small=bool(width and height and max(width, height) <= 96),
        text=text,
        cut=cut,
        problem=problem,
        link=link,
    )


def _text(server: Server, row: Row, *, whole: bool) -> tuple[str | None, bool, str]:
    raw: str = row["row_data"]
    if asset_url(raw, "") is not None and row["text_length"] != len(raw):
        try:
            raw = server.fetcher.read(raw, _TEXT_BYTES).decode("utf-8", "ignore")
        except FetchError as error:
            return None, False, f"The text cannot be read: {error}"
    most = _TEXT_BYTES if whole else _CARD_CHARACTERS
    return raw[:most], len(raw) > most or (row["text_length"] or 0) > most, ""


def asset_url(row_data: str, storage_url: str) -> str | None:
    """Where a browser finds the asset; ``gs://`` is the sandbox's Cloud Storage. None for what is no address."""
    for scheme in ("gs://", "https://storage.googleapis.com/", "https://storage.cloud.google.com/"):
        if row_data.startswith(scheme):
            rest = row_data[len(scheme) :]
            return f"{storage_url}/{quote(rest) if scheme == 'gs://' else rest}"
    return row_data if row_data.startswith(("http://", "https://")) else None
