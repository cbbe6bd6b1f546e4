"""A row out of its run's files: only its own lines are read, wherever the files are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import msgspec

from vertex_model_inference.errors import NotFoundError, RowError
from vertex_model_inference.evaluation.agreement import RowAgreement
from vertex_model_inference.labelbox.export_labels import LabelledRow, parse_labels
from vertex_model_inference.labelbox.linked_masks import LinkedMask, LinkedVideoMask
from vertex_model_inference.labelbox.ndjson_reading import parse_predictions
from vertex_model_inference.labelbox.vocabulary import Vocabulary
from vertex_model_inference.ontology import Ontology
from vertex_model_inference.outcomes import Outcome
from vertex_model_inference.pages.row_query import IndexedRow
from vertex_model_inference.pages.row_records import KINDS
from vertex_model_inference.rows import DataRow
from vertex_model_inference.spec import Files, Staged
from vertex_model_inference.steps.label_masks import label_masks
from vertex_model_inference.storage.store import Store

__all__ = ["RowFacts", "read_rows", "vocabulary_of"]

_ROW = msgspec.json.Decoder(DataRow)
_STAGED = msgspec.json.Decoder(Staged)
_OUTCOME = msgspec.json.Decoder(Outcome)
_AGREEMENT = msgspec.json.Decoder(RowAgreement)
_ONTOLOGY = msgspec.json.Decoder(Ontology)
_MOST_SAID = 5000
"""Predictions of one row that are read; what is beyond is counted."""


class RowFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a run knows of a row.

    Attributes:
        index: As the index has it.
        row: As exported. ``staged``: what the model read, once that is known.
        outcome: None while the row is under way.
        predictions: In the order of the run's file; None in the place of what cannot be read.
        labels: Likewise, in the order of ``parse_labels``; None: the row has no label.
        agreement: What is right; None: not judged.
        unread: What could not be read -> how often.
    """

    index: IndexedRow
    row: DataRow
    staged: Staged | None
    outcome: Outcome | None
    predictions: tuple[object, ...]
    labels: tuple[object, ...] | None
    agreement: RowAgreement | None
    unread: dict[str, int]


def vocabulary_of(store: Store, files: Files) -> Vocabulary:
    """How the run's ontology names things; where there is none, as the files do.

    Raises:
        StorageError: Storage did not answer.
    """
    try:
        return Vocabulary(_ONTOLOGY.decode(store.get(files.ontology)))
    except (NotFoundError, msgspec.MsgspecError):
        return Vocabulary(None)


def read_rows(store: Store, files: Files, rows: Sequence[IndexedRow], names: Vocabulary) -> list[RowFacts]:
    """Some rows, in their order. Of each file that they are in, all their lines come in one request.

    Args:
        store: Where the run is. ``files``: its files.
        rows: As the index has them.
        names: Of the ontology.

    Raises:
        NotFoundError: The files have changed since; the index will follow.
        StorageError: Storage did not answer.
        msgspec.MsgspecError: A line is not of its form.
    """
    wanted: dict[tuple[str, int], list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        for kind in row.places:
            wanted[(kind, row.shard)].append(place)
    lines: list[dict[str, bytes]] = [{} for _ in rows]
    for (kind, shard), places in wanted.items():
        spans = [rows[place].places[kind] for place in places]
        for place, data in zip(places, store.ranges(files.shard(kind, shard, KINDS[kind]), spans), strict=True):
            lines[place][kind] = data
    labels = _labels(store, files, rows, lines, names)
    return [
        _facts(row, found, *labels.get(row.id, (None, Counter())), names)
        for row, found in zip(rows, lines, strict=True)
    ]


def _labels(
    store: Store, files: Files, rows: Sequence[IndexedRow], lines: list[dict[str, bytes]], names: Vocabulary
) -> dict[str, tuple[tuple[object, ...] | None, Counter[str]]]:
    """Row id -> annotations of its label, with masks as far as the run fetched them, and what could not be read."""
    parsed: dict[int, list[LabelledRow]] = defaultdict(list)
    found: dict[str, tuple[tuple[object, ...] | None, Counter[str]]] = {}
    for row, mine in zip(rows, lines, strict=True):
        if "labels" in mine:
            try:
                parsed[row.shard].append(parse_labels(mine["labels"], names))
            except RowError:
                found[row.id] = None, Counter({"label that cannot be read": 1})
    for shard, labelled in parsed.items():
        masks = label_masks(store, files, shard, labelled, None)
        for each in labelled:
            annotations: list[object] = list(each.annotations)
            unread = Counter(each.unsupported)
            for place, one in enumerate(each.annotations):
                if isinstance(one, LinkedMask | LinkedVideoMask):
                    annotations[place] = masks.get((each.data_row_id, place))
                    unread["mask that was not fetched"] += annotations[place] is None
            found[each.data_row_id] = tuple(annotations), unread
    return found


def _facts(
    index: IndexedRow,
    lines: dict[str, bytes],
    labels: tuple[object, ...] | None,
    unread: Counter[str],
    names: Vocabulary,
) -> RowFacts:
    unread = Counter(unread)
    predictions: list[object] = []
    said = [line for line in lines.get("predictions", b"").split(b"\n") if line]
    if len(said) > _MOST_SAID:
        unread[f"prediction beyond {_MOST_SAID:,}"] += len(said) - _MOST_SAID
    for annotation in parse_predictions(said[:_MOST_SAID], names):
        if annotation is None:
            unread["prediction of a kind that is not read"] += 1
        predictions.append(annotation)
    row = _ROW.decode(lines["rows"])
    if row.id != index.id:
        raise NotFoundError("The run's files have changed since this page was made.", hint="Load the page again.")
    return RowFacts(
        index=index,
        row=row,
        staged=_STAGED.decode(lines["staged"]) if "staged" in lines else None,
        outcome=_OUTCOME.decode(lines["outcomes"]) if "outcomes" in lines else None,
        predictions=tuple(predictions),
        labels=labels,
        agreement=_AGREEMENT.decode(lines["agreement"]) if "agreement" in lines else None,
        unread={what: number for what, number in unread.items() if number},
    )
