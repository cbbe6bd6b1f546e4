"""The data rows of a model run or a project, ready to be shown: a page at a time, bounded work for each page."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from vertex_model_inference.sandbox.labelbox.fetch import FetchError
from vertex_model_inference.sandbox.labelbox.page.annotated import Annotated, Owner, annotations_of
from vertex_model_inference.sandbox.labelbox.page.compare import Verdict, verdict
from vertex_model_inference.sandbox.labelbox.page.draw import Drawing, draw
from vertex_model_inference.sandbox.labelbox.page.film import Film, film_of, shapes_at
from vertex_model_inference.sandbox.labelbox.page.media import TEXT_BYTES, WIDTHS, Media, asset_url, document_url
from vertex_model_inference.sandbox.labelbox.page.shapes import Shape
from vertex_model_inference.sandbox.labelbox.page.tags import Tag, tags_of

if TYPE_CHECKING:
    from vertex_model_inference.sandbox.labelbox.page.shapes import Document
    from vertex_model_inference.sandbox.labelbox.page.talk import Said
    from vertex_model_inference.sandbox.labelbox.store import Row, Store

__all__ = ["PAGE", "Filters", "RowPage", "RowView", "Scene", "data_row", "one_row", "row_page"]

PAGE = 60
#: Right and wrong are found by looking; one request looks at no more rows than this and says where to go on.
_MOST_LOOKED_AT = 10_000
_BATCH = 500
_CARD_CHARACTERS = 600
_CARD_MESSAGES = 6
_MOST_PAGES = 40

SPLITS = ("TRAINING", "VALIDATION", "TEST", "UNASSIGNED")
SHOWS = ("right", "wrong", "none")


class Filters(msgspec.Struct, frozen=True):
    """What to show: a split or "" for all; ``right``, ``wrong``, ``none`` (no prediction) or "" for all."""

    split: str = ""
    show: str = ""
    after: int = 0


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """A picture with what is drawn on it: the row's own, a page of it, a frame of it.

    Attributes:
        url: Of the picture.
        width: Of the coordinates that shapes are in; likewise ``height``. None: the picture's own pixels.
        title: ``page 2``, ``frame 17``; "" when it is all there is.
        small: The picture has so few pixels that they should stay sharp.
        tags: The shapes' names, where the row is shown by itself.
    """

    url: str
    shapes: list[Shape]
    width: float | None = None
    height: float | None = None
    title: str = ""
    small: bool = False
    tags: list[Tag] = []


class RowView(msgspec.Struct, frozen=True):
    """One data row for the templates.

    Attributes:
        seq: Its place; the cursor of the following page.
        scenes: What to draw on; on a card one, the page or frame that tells most.
        text: The text (or its beginning), or None.
        cut: The text, the messages or the pages go on behind what is shown.
        film: Of a video, what changes from frame to frame.
        sound: URL of a sound.
        problem: Why nothing of the asset is shown, in plain words.
        link: Where the asset itself is.
        stamp: Changes when anything here changes.
    """

    seq: int
    id: str
    title: str
    split: str
    media_type: str
    verdict: Verdict
    drawing: Drawing
    scenes: list[Scene] = []
    text: str | None = None
    cut: bool = False
    film: Film | None = None
    sound: str | None = None
    problem: str = ""
    link: str | None = None
    stamp: str = ""


class RowPage(msgspec.Struct, frozen=True):
    """Rows to show; ``next`` is the following page's cursor, None at the end.

    ``looked_at`` is set when the search stopped early: so many rows were looked at for this page.
    """

    rows: list[RowView]
    next: int | None
    looked_at: int | None = None


_COLUMNS = """
 d.id, d.global_key, d.external_id, d.row_data, d.is_object, d.media_type, d.media_attributes, d.text_length, l.layout
"""
_OF_RUN = f"""
SELECT r.seq AS cursor, r.split, {_COLUMNS}
FROM run_rows r JOIN data_rows d ON d.id = r.data_row_id LEFT JOIN layouts l ON l.data_row_id = d.id
WHERE r.run_id = ?1 AND r.seq > ?2 AND (?3 = '' OR r.split = ?3)
"""  # noqa: S608  # the columns are the constant above
_OF_PROJECT = f"""
SELECT d.seq AS cursor, '' AS split, {_COLUMNS}
FROM data_rows d LEFT JOIN layouts l ON l.data_row_id = d.id
WHERE d.seq > ?2 AND ?3 = '' AND EXISTS
  (SELECT 1 FROM batch_rows b WHERE b.project_id = ?1 AND b.data_row_id = d.id)
"""  # noqa: S608
_WITHOUT = " AND NOT EXISTS (SELECT 1 FROM annotations a WHERE a.owner_id = ?1 AND a.data_row_id = d.id)"
_WITH = " AND EXISTS (SELECT 1 FROM annotations a WHERE a.owner_id = ?1 AND a.data_row_id = d.id)"
_ORDER = " ORDER BY cursor LIMIT ?4"


def row_page(media: Media, store: Store, owner: Owner, filters: Filters) -> RowPage:
    """The page of rows behind ``filters.after``."""
    select = _OF_PROJECT if owner.project else _OF_RUN
    if filters.show not in ("right", "wrong"):
        sql = select + (_WITHOUT if filters.show == "none" else "") + _ORDER
        rows = store.database.all(sql, owner.id, filters.after, filters.split, PAGE + 1)
        views = _views(media, store, owner, rows[:PAGE])
        return RowPage(views, views[-1].seq if len(rows) > PAGE else None)
    wanted = Verdict(filters.show)
    found: list[Row] = []
    after, looked_at = filters.after, 0
    while looked_at < _MOST_LOOKED_AT:
        rows = store.database.all(select + _WITH + _ORDER, owner.id, after, filters.split, _BATCH)
        sides = annotations_of(store, owner, [row["id"] for row in rows])
        for row in rows:
            if verdict(*sides[row["id"]]) is not wanted:
                continue
            if len(found) == PAGE:
                return RowPage(_views(media, store, owner, found), found[-1]["cursor"])
            found.append(row)
        looked_at += len(rows)
        if len(rows) < _BATCH:
            return RowPage(_views(media, store, owner, found), None)
        after = rows[-1]["cursor"]
    return RowPage(_views(media, store, owner, found), after, looked_at)


def data_row(store: Store, owner: Owner, data_row_id: str) -> Row | None:
    """A data row of the model run or project, or None."""
    select = _OF_PROJECT if owner.project else _OF_RUN
    return next(iter(store.database.all(select + " AND d.id = ?4", owner.id, 0, "", data_row_id)), None)


def one_row(media: Media, store: Store, owner: Owner, data_row_id: str) -> RowView | None:
    """One row with its whole text and all its pages, or None."""
    row = data_row(store, owner, data_row_id)
    return None if row is None else _views(media, store, owner, [row], whole=True)[0]


def _views(media: Media, store: Store, owner: Owner, rows: list[Row], *, whole: bool = False) -> list[RowView]:
    sides = annotations_of(store, owner, [row["id"] for row in rows])
    base = f"/{'projects' if owner.project else 'runs'}/{owner.id}/rows"
    views = [_view(media, f"{base}/{row['id']}", row, *sides[row["id"]], whole=whole) for row in rows]
    return [
        msgspec.structs.replace(
            view, stamp=hashlib.blake2b(msgspec.json.encode(view, order="sorted"), digest_size=8).hexdigest()
        )
        for view in views
    ]


def _view(
    media: Media, base: str, row: Row, labels: Annotated | None, predictions: Annotated, *, whole: bool
) -> RowView:
    sides = [side for side in (labels, predictions) if side is not None]
    document: Document | None = None
    said: list[Said] = []
    more: dict[str, Any] = {"cut": False}
    kind: str = row["media_type"]
    try:
        if kind == "TEXT" and not row["is_object"]:
            more["text"], more["cut"] = media.text(row, TEXT_BYTES if whole else _CARD_CHARACTERS)
        elif kind == "CONVERSATIONAL":
            said = media.messages(row)
            more["cut"] = not whole and len(said) > _CARD_MESSAGES
        elif kind == "PDF":
            document = media.document(row)
    except FetchError as error:
        more["problem"] = f"The {'text' if kind == 'TEXT' else 'conversation'} cannot be read: {error}"
    drawing = draw(sides, more.get("text"), document=document, said=said)
    if said and more["cut"]:
        drawing = msgspec.structs.replace(drawing, messages=drawing.messages[:_CARD_MESSAGES])
    if kind == "PDF" and document is not None:
        more |= _pages(base, document, drawing, whole=whole)
    elif kind == "VIDEO":
        more |= _film(base, row, sides)
    elif kind == "IMAGE":
        more |= _picture(row, drawing, media.storage_url)
    elif kind == "AUDIO" and not row["is_object"]:
        more["sound"] = asset_url(row["row_data"], media.storage_url)
    elif not said and "text" not in more and "problem" not in more:
        name = "PDF" if kind == "PDF" else kind.replace("_", " ").capitalize()
        why = "The document cannot be opened" if kind == "PDF" else f"{name} rows are not drawn here"
        more["problem"] = f"{why}; the annotations are listed."
    if whole and kind != "VIDEO":  # a video's names move with its frames
        more["scenes"] = [
            msgspec.structs.replace(scene, tags=tags_of(scene.shapes, scene.width, scene.height))
            for scene in more.get("scenes", ())
        ]
    address = document_url(row) if kind == "PDF" else None if row["is_object"] else row["row_data"]
    return RowView(
        seq=row["cursor"],
        id=row["id"],
        title=row["global_key"] or row["external_id"] or row["id"],
        split=row["split"],
        media_type=kind,
        verdict=verdict(labels, predictions),
        drawing=drawing,
        link=asset_url(address, media.storage_url) if address else None,
        **more,
    )


def _facts(row: Row) -> dict[str, Any]:
    facts: dict[str, Any] = orjson.loads(row["media_attributes"]) if row["media_attributes"] else {}
    return facts


def _picture(row: Row, drawing: Drawing, storage_url: str) -> dict[str, Any]:
    url = asset_url(row["row_data"], storage_url)
    if url is None:
        return {"problem": f"This address cannot be shown: {row['row_data'][:200]}"}
    facts = _facts(row)
    width, height = facts.get("width"), facts.get("height")
    small = bool(width and height and max(width, height) <= 96)
    return {"scenes": [Scene(url=url, shapes=drawing.shapes, width=width, height=height, small=small)]}


def _pages(base: str, document: Document, drawing: Drawing, *, whole: bool) -> dict[str, Any]:
    count = len(document.pages)
    by_page: dict[int, list[Shape]] = {number: [] for number in range(1, count + 1)}
    for shape in drawing.shapes:
        by_page[shape.page].append(shape)
    numbers = list(by_page)[:_MOST_PAGES] if whole else [max(by_page, key=lambda n: (len(by_page[n]), -n))]
    scenes = [
        Scene(
            url=f"{base}/pages/{number}.jpg?width={WIDTHS[whole]}",
            shapes=by_page[number],
            width=document.pages[number - 1][0],
            height=document.pages[number - 1][1],
            title=f"page {number} of {count}" if count > 1 else "",
        )
        for number in numbers
    ]
    return {"scenes": scenes, "cut": whole and count > _MOST_PAGES}


def _film(base: str, row: Row, sides: list[Annotated]) -> dict[str, Any]:
    facts = _facts(row)
    count = facts.get("frame_count")
    if not count:
        return {"problem": "The video cannot be opened, or is still being looked at."}
    film = film_of(sides, int(count), float(facts.get("frame_rate") or 25.0))
    scene = Scene(
        url=f"{base}/frames/{film.front}.jpg",
        shapes=shapes_at(film, film.front),
        width=facts.get("width"),
        height=facts.get("height"),
        title=f"frame {film.front} of {count:,}",
    )
    return {"scenes": [scene], "film": film}
