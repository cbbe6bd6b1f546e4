"""What the index of a run's rows knows of one shard, read from the shard's files. Pure but for reading them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from vertex_model_inference.errors import NotFoundError
from vertex_model_inference.evaluation.agreement import LabelVerdict, RowAgreement, SaidVerdict
from vertex_model_inference.labelbox.vocabulary import Vocabulary
from vertex_model_inference.outcomes import Outcome
from vertex_model_inference.spec import Decoded, Files
from vertex_model_inference.storage.store import Store

__all__ = ["KINDS", "VERDICTS", "Item", "Place", "Record", "bucket_of", "read_shard"]

KINDS = {
    "rows": "jsonl",
    "outcomes": "jsonl",
    "staged": "jsonl",
    "labels": "jsonl",
    "label_masks": "jsonl",
    "predictions": "ndjson",
    "decoded": "jsonl",
    "agreement": "jsonl",
}
"""Folders of a run that its pages read -> how their files end."""

VERDICTS = ("right", "confused", "false_alarm", "open", "found", "confused_label", "missed")
"""What became of a prediction (the first four) or a label; their places are the numbers in the index."""
_SAID = {SaidVerdict.RIGHT: 0, SaidVerdict.CONFUSED: 1, SaidVerdict.FALSE_ALARM: 2, SaidVerdict.OPEN: 3}
_MEANT = {LabelVerdict.FOUND: 4, LabelVerdict.CONFUSED: 5, LabelVerdict.MISSED: 6}

Place = tuple[int, int]
"""Where a row's lines are in the shard's file of a kind: offset and length in bytes; (-1, 0): nowhere."""
_NOWHERE: Place = (-1, 0)
_STEPS = [step / 100 for step in range(101)]


class Item(NamedTuple):
    """A prediction or a label.

    Attributes:
        feature: Kind of the object, or the question's path, as of ``agreement.Said``.
        name: The class.
        verdict: Place in ``VERDICTS``.
        confidence: None: there is none (and Labelbox takes it as 1).
        instead: Of a confused prediction: the class that is labelled there.
    """

    feature: str
    name: str
    verdict: int
    confidence: float | None = None
    instead: str | None = None


class Record(NamedTuple):
    """One row.

    Attributes:
        id: Labelbox's. ``key``: the customer's. ``media``, ``split``: as of ``rows.DataRow``.
        outcome: None while the row is under way.
        judged: The row is labelled and answered. ``error``: as of ``RowAgreement``.
        items: Predictions, and of judged rows labels.
        places: Of ``KINDS`` without ``decoded`` and ``label_masks``, in their order.
    """

    id: str
    key: str | None
    media: str
    split: str
    outcome: Outcome | None
    judged: bool
    error: float | None
    items: list[Item]
    places: tuple[Place, ...]


class _Row(msgspec.Struct):
    id: str
    global_key: str | None = None
    external_id: str | None = None
    media_type: str = "unknown"
    split: str = "unassigned"


class _Id(msgspec.Struct):
    data_row_id: str


class _Answer(msgspec.Struct):
    name: str | None = None
    schemaId: str | None = None  # noqa: N815  # Labelbox's name
    confidence: float | None = None


class _Instance(msgspec.Struct):
    name: str | None = None
    featureSchemaId: str | None = None  # noqa: N815


class _Masks(msgspec.Struct):
    instances: list[_Instance] = []


class _Said(msgspec.Struct):
    """A line of ``predictions/``, as far as a list of rows needs it: no geometry is read."""

    name: str | None = None
    schemaId: str | None = None  # noqa: N815
    confidence: float | None = None
    answer: str | _Answer | list[_Answer] | None = None
    bbox: msgspec.Raw = msgspec.Raw(b"")
    polygon: msgspec.Raw = msgspec.Raw(b"")
    line: msgspec.Raw = msgspec.Raw(b"")
    point: msgspec.Raw = msgspec.Raw(b"")
    mask: msgspec.Raw = msgspec.Raw(b"")
    location: msgspec.Raw = msgspec.Raw(b"")
    textSelections: msgspec.Raw = msgspec.Raw(b"")  # noqa: N815
    segments: msgspec.Raw = msgspec.Raw(b"")
    masks: _Masks | None = None


_ROWS = msgspec.json.Decoder(_Row)
_IDS = msgspec.json.Decoder(_Id)
_OUTCOMES = msgspec.json.Decoder(Outcome)
_DECODED = msgspec.json.Decoder(Decoded)
_AGREEMENT = msgspec.json.Decoder(RowAgreement)
_PREDICTION = msgspec.json.Decoder(_Said)
_TOOLS = {
    "bbox": "box",
    "polygon": "polygon",
    "line": "line",
    "point": "point",
    "mask": "mask",
    "location": "entity",
    "textSelections": "document_entity",
    "segments": "video_box",
}


def bucket_of(confidence: float | None) -> int:
    """The highest hundredth that a confidence reaches, 0..100; none counts as 1.

    ``bucket_of(c) >= k`` exactly when ``c >= k / 100`` as numbers of a computer are compared, in scripts too.
    """
    if confidence is None:
        return 100
    low = min(max(int(confidence * 100), 0), 100)
    if low < 100 and confidence >= _STEPS[low + 1]:
        return low + 1
    return low - 1 if low and confidence < _STEPS[low] else low


def read_shard(store: Store, files: Files, shard: int, names: Vocabulary) -> Iterator[Record]:
    """The rows of a shard, in the order of the export.

    Args:
        store: Where the run is. ``files``: its files.
        shard: Its number.
        names: Of the ontology, as the evaluation calls classes.

    Raises:
        StorageError: The files cannot be read.
        msgspec.MsgspecError: One is not of its form.
    """
    lines = {kind: _lines(store, files, kind, shard) for kind in KINDS if kind != "label_masks"}
    nothing: tuple[None, Place] = (None, _NOWHERE)
    outcomes: dict[str, tuple[Outcome | None, Place]] = {}
    for at, line in lines["outcomes"]:
        ended = _OUTCOMES.decode(line)
        outcomes[ended.data_row_id] = (ended, (at, len(line)))
    placed = {kind: _placed(lines[kind]) for kind in ("staged", "labels")}
    judged: dict[str, tuple[RowAgreement | None, Place]] = {}
    for at, line in lines["agreement"]:
        row = _AGREEMENT.decode(line)
        judged[row.data_row_id] = (row, (at, len(line)))
    said = iter(lines["predictions"])
    predicted: dict[str, tuple[Place, list[bytes]]] = {}
    for _, line in lines["decoded"]:
        decoded = _DECODED.decode(line)
        mine = [each for each in (next(said, None) for _ in range(decoded.annotations)) if each is not None]
        if mine:
            start = mine[0][0]
            span = (start, mine[-1][0] + len(mine[-1][1]) - start)
            predicted[decoded.data_row_id] = (span, [each for _, each in mine])
    for at, line in lines["rows"]:
        given = _ROWS.decode(line)
        outcome, outcome_at = outcomes.get(given.id, nothing)
        agreement, agreement_at = judged.get(given.id, nothing)
        said_at, own = predicted.get(given.id, (_NOWHERE, []))
        items = _judged(agreement) if agreement is not None else [_item(each, names) for each in own]
        yield Record(
            id=given.id,
            key=given.global_key or given.external_id,
            media=given.media_type,
            split=given.split,
            outcome=outcome,
            judged=agreement is not None,
            error=None if agreement is None else agreement.error,
            items=items,
            places=(
                (at, len(line)),
                outcome_at,
                placed["staged"].get(given.id, _NOWHERE),
                placed["labels"].get(given.id, _NOWHERE),
                said_at,
                agreement_at,
            ),
        )


def _placed(lines: list[tuple[int, bytes]]) -> dict[str, Place]:
    return {_IDS.decode(line).data_row_id: (at, len(line)) for at, line in lines}


def _lines(store: Store, files: Files, kind: str, shard: int) -> list[tuple[int, bytes]]:
    """Offset and content of each line of a file; none where there is no file."""
    try:
        data = store.get(files.shard(kind, shard, KINDS[kind]))
    except NotFoundError:
        return []
    found = []
    at = 0
    for line in data.split(b"\n"):
        if line:
            found.append((at, line))
        at += len(line) + 1
    return found


def _judged(row: RowAgreement) -> list[Item]:
    confused = Counter[tuple[int, str, str]]()
    for meant in row.labels:
        if meant.verdict is LabelVerdict.CONFUSED:
            confused[(meant.index, meant.feature, meant.name)] += 1
    instead = {(index, feature): name for index, feature, name in confused}
    items = [
        Item(
            said.feature,
            said.name,
            _SAID[said.verdict],
            said.confidence,
            instead.get((said.label, said.feature))
            if said.verdict is SaidVerdict.CONFUSED and said.label is not None
            else None,
        )
        for said in row.predictions
    ]
    items += [Item(meant.feature, meant.name, _MEANT[meant.verdict]) for meant in row.labels]
    return items


def _item(line: bytes, names: Vocabulary) -> Item:
    said = _PREDICTION.decode(line)
    name = names.name(said.name, said.schemaId)
    if said.answer is not None:
        answers = said.answer if isinstance(said.answer, list) else [said.answer]
        known = [each for each in answers if isinstance(each, _Answer)]
        if not known:
            return Item(name, name, 3, said.confidence)
        surest = max(known, key=lambda each: 1.0 if each.confidence is None else each.confidence)
        return Item(name, names.name(surest.name, surest.schemaId), 3, surest.confidence)
    if said.masks is not None:
        one = said.masks.instances[0] if said.masks.instances else _Instance()
        return Item("video_mask", names.name(one.name, one.featureSchemaId), 3, said.confidence)
    kind = next((kind for field, kind in _TOOLS.items() if bytes(getattr(said, field))), "other")
    return Item(kind, name, 3, said.confidence)
