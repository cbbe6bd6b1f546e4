"""A run's rows with what was predicted and what is labelled, from its files: nothing else is needed to evaluate it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from vertex_model_inference.annotations import (
    Box,
    DocumentEntity,
    Mask,
    MaskLink,
    Point,
    Polygon,
    Polyline,
    Relationship,
    TextEntity,
    VideoBox,
    VideoMask,
)
from vertex_model_inference.errors import NotFoundError, RowError
from vertex_model_inference.evaluation.evaluator import RowPair
from vertex_model_inference.evaluation.kinds import Annotated, Unmeasured
from vertex_model_inference.labelbox.export_labels import RELATIONSHIP, LabelledRow, parse_labels
from vertex_model_inference.labelbox.linked_masks import LinkedMask, LinkedVideoMask
from vertex_model_inference.labelbox.ndjson_reading import parse_predictions
from vertex_model_inference.labelbox.vocabulary import Vocabulary
from vertex_model_inference.ontology import Ontology
from vertex_model_inference.rows import DataRow
from vertex_model_inference.settings import Settings
from vertex_model_inference.spec import Decoded, Files, RunSpec, read_spec
from vertex_model_inference.steps.label_masks import label_masks, predicted_masks
from vertex_model_inference.steps.option_scores import OptionScores
from vertex_model_inference.storage.store import Store

__all__ = ["JudgedRows"]

_ROW = msgspec.json.Decoder(DataRow)
_DECODED = msgspec.json.Decoder(Decoded)
_ONTOLOGY = msgspec.json.Decoder(Ontology)

UNREADABLE = "label that cannot be read"
NOT_FETCHED = "mask that cannot be fetched"
NOT_FETCHED_SAID = "predicted mask that cannot be fetched"
STRANGE = "prediction of a kind that is not read"

# Part of Labelbox's name for a kind of label that is not read -> predictions that cannot be judged beside it.
_TOUCHED: tuple[tuple[str, tuple[type[Any], ...]], ...] = (
    ("BoundingBox", (Box, VideoBox)),
    ("Polygon", (Polygon,)),
    ("Polyline", (Polyline,)),
    ("Point", (Point,)),
    ("Mask", (Mask, VideoMask)),
    ("mask", (Mask, VideoMask)),
    ("Entity", (TextEntity, DocumentEntity)),
    (RELATIONSHIP, (Relationship,)),
)


class JudgedRows:
    """Reads a run shard by shard.

    Args:
        store: Where the run is.
        files: Its files.
        settings: To fetch masks of labels that were not fetched before; None: fetch nothing.

    Attributes:
        spec: Of the run. ``unsupported``: kinds of labels and predictions that could not be judged -> how many.

    Raises:
        NotFoundError: There is no run there.
        StorageError: Storage did not answer.
    """

    def __init__(self, store: Store, files: Files, settings: Settings | None) -> None:
        self._store = store
        self._files = files
        self._settings = settings
        self.unsupported: Counter[str] = Counter()
        try:
            self.spec: RunSpec = read_spec(store.get(files.spec))
        except NotFoundError:
            raise NotFoundError(
                f"{store.uri(files.folder)} holds no run: it has no spec.json.", hint="`vmi status` lists the runs."
            ) from None
        ontology: Ontology | None
        try:
            ontology = _ONTOLOGY.decode(store.get(files.ontology))
        except NotFoundError:
            ontology = None
        self._names = Vocabulary(ontology)
        self._scores = None if ontology is None else OptionScores(store, files, self.spec, ontology, self._names)

    def shards(self) -> list[int]:
        """Numbers of the shards that were exported, rising."""
        folder = f"{self._files.folder}/rows"
        names = (re.fullmatch(r"(\d+)\.jsonl", entry.path.rsplit("/", 1)[-1]) for entry in self._store.entries(folder))
        return sorted(int(name.group(1)) for name in names if name)

    def of_shard(self, shard: int) -> list[RowPair]:
        """The rows of a shard, in the order of the export.

        Raises:
            StorageError: The run's files cannot be read.
        """
        rows = [_ROW.decode(line) for line in self._lines("rows", shard)]
        labels: dict[str, LabelledRow] = {}
        for line in self._lines("labels", shard):
            try:
                labelled = parse_labels(line, self._names)
            except RowError:
                self.unsupported[UNREADABLE] += 1
                continue
            labels[labelled.data_row_id] = labelled
            self.unsupported.update(labelled.unsupported)
        masks = label_masks(self._store, self._files, shard, list(labels.values()), self._settings)
        self.unsupported[NOT_FETCHED] += sum(1 for mask in masks.values() if mask is None)
        predicted = self._predictions(shard)
        self._draw(shard, {row_id: mine for row_id, mine in predicted.items() if row_id in labels})
        scores = {}
        if self._scores is not None:
            scores = self._scores.of_shard(shard, {row.id: row for row in rows if row.id in labels})
        return [
            self._pair(row, predicted.get(row.id), labels.get(row.id), masks, scores.get(row.id, {})) for row in rows
        ]

    def counted(self) -> dict[str, int]:
        """``unsupported`` without what did not occur."""
        return {kind: count for kind, count in sorted(self.unsupported.items()) if count}

    def _pair(
        self,
        row: DataRow,
        said: list[Annotated] | None,
        labelled: LabelledRow | None,
        masks: dict[tuple[str, int], Mask | VideoMask | None],
        scores: dict[str, dict[str, float]],
    ) -> RowPair:
        meant: list[Annotated] | None = None
        if labelled is not None:
            meant = []
            unread = set(labelled.unsupported)
            for index, each in enumerate(labelled.annotations):
                if isinstance(each, LinkedMask | LinkedVideoMask):
                    mask = masks.get((row.id, index))
                    if mask is None:
                        unread.add(NOT_FETCHED)
                    meant.append(mask or Unmeasured(each.name))
                else:
                    meant.append(each)
            touched = tuple(kind for word, kinds in _TOUCHED if any(word in name for name in unread) for kind in kinds)
            if said is not None and touched:
                # Beside a label that could not be read, nobody can say whether such a prediction is right.
                said = [Unmeasured(one.name) if isinstance(one, touched) else one for one in said]
            links = [one for one in said or () if isinstance(one, MaskLink)]
            if said is not None and links:
                names = {one.name for one in links}
                meant = [Unmeasured(one.name) if isinstance(one, Mask) and one.name in names else one for one in meant]
                said = [Unmeasured(one.name) if isinstance(one, MaskLink) else one for one in said]
        return RowPair(
            data_row_id=row.id,
            split=row.split,
            predictions=None if said is None else tuple(said),
            labels=None if meant is None else tuple(meant),
            global_key=row.global_key,
            several=labelled is not None and labelled.labels > 1,
            scores=scores,
        )

    def _predictions(self, shard: int) -> dict[str, list[Annotated]]:
        """Row id -> what was predicted, of every row that the model answered, if only with nothing."""
        found: dict[str, list[Annotated]] = {}
        lines = self._lines("predictions", shard, "ndjson")
        for decoded in map(_DECODED.decode, self._lines("decoded", shard)):
            mine = found.setdefault(decoded.data_row_id, [])
            mine_lines = [next(lines, b"") for _ in range(decoded.annotations)]
            for annotation in parse_predictions(mine_lines, self._names):
                if annotation is None:
                    self.unsupported[STRANGE] += 1
                mine.append(annotation or Unmeasured())
        return found

    def _draw(self, shard: int, predicted: dict[str, list[Annotated]]) -> None:
        """Predicted masks that are links become masks; those that cannot be had stay links."""
        links = [
            (row_id, index, one)
            for row_id, mine in predicted.items()
            for index, one in enumerate(mine)
            if isinstance(one, MaskLink)
        ]
        drawn = predicted_masks(self._store, self._files, shard, links, self._settings)
        for row_id, index, one in links:
            predicted[row_id][index] = drawn[(row_id, index)] or one
        self.unsupported[NOT_FETCHED_SAID] += sum(1 for mask in drawn.values() if mask is None)

    def _lines(self, kind: str, shard: int, suffix: str = "jsonl") -> Iterator[bytes]:
        try:
            yield from self._store.lines(self._files.shard(kind, shard, suffix))
        except NotFoundError:  # a shard without labels has no such file; one that never came so far has fewer
            return
