"""Telling rows with their pictures, to be put into one file: bounded in number and bytes."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from vertex_model_inference.errors import AssetError, StorageError
from vertex_model_inference.pages import stills
from vertex_model_inference.pages.answers import Chip
from vertex_model_inference.pages.asset_source import AssetSource
from vertex_model_inference.pages.row_files import RowFacts, read_rows, vocabulary_of
from vertex_model_inference.pages.row_query import IndexedRow
from vertex_model_inference.pages.row_records import KINDS, Record, read_shard
from vertex_model_inference.pages.row_view import RowView, view_of
from vertex_model_inference.pages.telling import Group
from vertex_model_inference.rows import MediaType
from vertex_model_inference.spec import Files
from vertex_model_inference.storage.store import Store

__all__ = ["Exhibit", "ExhibitGroup", "exhibits_of"]

_SIDE = {MediaType.IMAGE: 440, MediaType.VIDEO: 440, MediaType.DOCUMENT: 860}
"""Pixels of the longer side; pages of documents have words on them."""
_MOST_CHIPS = 8
_PLACES = tuple(kind for kind in KINDS if kind not in ("decoded", "label_masks"))
"""Of ``Record.places``."""


class Exhibit(NamedTuple):
    """A row as the report shows it.

    Attributes:
        why: In words, why it is shown. ``view``: as the pages show it.
        picture: ``data:`` address of its picture; empty where there is none.
        problem: Why there is no picture.
        chips: The answers that are shown, wrong ones first. ``more_chips``: how many are not.
    """

    why: str
    view: RowView
    picture: str
    problem: str
    chips: tuple[Chip, ...]
    more_chips: int


class ExhibitGroup(NamedTuple):
    """Rows shown for the same reason."""

    title: str
    means: str
    exhibits: tuple[Exhibit, ...]


def exhibits_of(
    store: Store, files: Files, groups: Sequence[Group], source: AssetSource, most_bytes: int
) -> tuple[ExhibitGroup, ...]:
    """The rows of some groups with their pictures.

    Args:
        store: Where the run is. ``files``: its files.
        groups: Rows to show.
        source: Where assets are read from.
        most_bytes: Of all pictures together, before they are written as text; those beyond are left out in words.

    Raises:
        StorageError: The run's own files cannot be read.
    """
    facts = _facts(store, files, groups)
    left = most_bytes
    found = []
    for group in groups:
        exhibits = []
        for row in group.rows:
            if row.data_row_id not in facts:
                continue
            one = _exhibit(row.why, facts[row.data_row_id], source, left)
            left -= len(one.picture) * 3 // 4
            exhibits.append(one)
        found.append(ExhibitGroup(group.title, group.means, tuple(exhibits)))
    return tuple(found)


def _facts(store: Store, files: Files, groups: Sequence[Group]) -> Mapping[str, RowFacts]:
    wanted: dict[int, set[str]] = defaultdict(set)
    for group in groups:
        for row in group.rows:
            wanted[row.shard].add(row.data_row_id)
    names = vocabulary_of(store, files)
    rows = [
        _indexed(shard, record)
        for shard, ids in sorted(wanted.items())
        for record in read_shard(store, files, shard, names)
        if record.id in ids
    ]
    return {found.row.id: found for found in read_rows(store, files, rows, names)}


def _indexed(shard: int, record: Record) -> IndexedRow:
    from vertex_model_inference.pages.row_index import SHARD_BITS

    outcome = record.outcome
    return IndexedRow(
        n=shard << SHARD_BITS,
        id=record.id,
        key=record.key,
        media=record.media,
        split=record.split,
        outcome="pending" if outcome is None else outcome.status.value,
        step="" if outcome is None else outcome.step or "",
        code="" if outcome is None else outcome.code or "",
        message=None if outcome is None else outcome.message,
        retryable=outcome is not None and outcome.retryable,
        annotations=0 if outcome is None else outcome.annotations,
        judged=record.judged,
        error=record.error,
        least=None,
        trouble=None,
        places={kind: place for kind, place in zip(_PLACES, record.places, strict=True) if place[0] >= 0},
    )


def _exhibit(why: str, facts: RowFacts, source: AssetSource, left: int) -> Exhibit:
    textual = facts.row.media_type not in _SIDE
    view = view_of(facts, source, card=textual)
    if textual or not view.picture:
        return _made(why, view, "", view.problem)
    try:
        still = _still(facts, view, source)
    except (AssetError, StorageError) as error:
        return _made(why, view, "", error.message)
    if len(still.data) > left:
        return _made(why, view, "", "Its picture is left out, to keep this file small.")
    if view.width is None:
        view = view_of(facts, source, card=False, page=view.page, frame=view.frame, size=lambda: still[2:4])
    coded = base64.b64encode(still.data).decode("ascii")
    return _made(why, view, str(Markup("data:{};base64,{}").format(still.mime_type, coded)), "")


def _made(why: str, view: RowView, picture: str, problem: str) -> Exhibit:
    ordered = sorted(view.chips, key=lambda chip: chip.verdict not in ("confused", "false_alarm", "missed"))
    shown = tuple(ordered[:_MOST_CHIPS])
    return Exhibit(why, view, picture, problem, shown, len(ordered) - len(shown) + view.more_chips)


def _still(facts: RowFacts, view: RowView, source: AssetSource) -> stills.Still:
    side = _SIDE[facts.row.media_type]
    if facts.row.media_type is MediaType.VIDEO:
        rate = facts.staged.frame_rate if facts.staged is not None else facts.row.frame_rate
        with source.film(facts) as film:
            return stills.frame_of_video(film, view.frame or 1, side, rate=rate)
    with source.opened(facts) as file:
        if facts.row.media_type is MediaType.DOCUMENT:
            return stills.page_of_pdf(file, view.page or 1, side)
        return stills.picture(file, side)
