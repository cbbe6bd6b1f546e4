"""The scores that a model gives the options of a radio, also those that lost: for top-k accuracy and log loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from vertex_model_inference.decoders.base import Decoder
from vertex_model_inference.decoders.registry import by_name
from vertex_model_inference.errors import NotFoundError, VmiError
from vertex_model_inference.findings import FoundLabel
from vertex_model_inference.labelbox.vocabulary import Vocabulary
from vertex_model_inference.ontology import Ontology
from vertex_model_inference.rows import DataRow
from vertex_model_inference.spec import Answer, Files, RunSpec
from vertex_model_inference.steps.names import NameIndex
from vertex_model_inference.storage.store import Store

__all__ = ["OptionScores"]

_ANSWER = msgspec.json.Decoder(Answer)
Scores = dict[str, dict[str, float]]


class _Option(NamedTuple):
    """An option of a top-level radio, as ``NameIndex`` takes it."""

    names: tuple[str, ...]
    path: tuple[str, ...]
    question: str
    option: str


class OptionScores:
    """Reads the run's answers again with its own decoder, for the rows that are asked for.

    Args:
        store: Where the run is. ``files``: its files. ``spec``: what it was.
        ontology: Of the model run.
        names: Of the ontology.
    """

    def __init__(self, store: Store, files: Files, spec: RunSpec, ontology: Ontology, names: Vocabulary) -> None:
        self._store = store
        self._files = files
        self._classes = spec.option.rules.classes
        options = [
            _Option(
                (option.name, option.label, option.feature_schema_id),
                (question.name, option.name),
                names.name(question.name, question.feature_schema_id),
                names.name(option.name, option.feature_schema_id),
            )
            for question in ontology.classifications
            if question.kind == "radio"
            for option in question.options
        ]
        self._index: NameIndex[_Option] = NameIndex(options)
        self._known: dict[str, tuple[_Option, ...]] = {}
        self._decoder: Decoder | None = None
        if options:
            try:
                chosen = msgspec.json.decode(store.get(f"{files.folder}/decoder.json"), type=str)
                self._decoder = by_name(chosen, spec.option.class_names, spec.option.mapping)
            except VmiError:  # the run's decoder is not here any more; the answers that were uploaded are
                self._decoder = None

    def of_shard(self, shard: int, rows: dict[str, DataRow]) -> dict[str, Scores]:
        """Row id -> question -> option -> score, of the rows whose answers can be read."""
        if self._decoder is None:
            return {}
        found: dict[str, Scores] = {}
        try:
            for line in self._store.lines(self._files.shard("answers", shard)):
                answer = _ANSWER.decode(line)
                row = rows.get(answer.data_row_id)
                if row is not None:
                    found[row.id] = self._scores(self._decoder, bytes(answer.prediction), row)
        except NotFoundError:  # answers were removed; the predictions tell enough
            return {}
        return found

    def _scores(self, decoder: Decoder, prediction: bytes, row: DataRow) -> Scores:
        scores: Scores = {}
        try:
            for finding in decoder.decode(prediction, row):
                if isinstance(finding, FoundLabel) and finding.confidence is not None and not finding.frames:
                    for _, path, question, name in self._options(finding.label):
                        if finding.question in (None, path[0]) and finding.message_id is None:
                            mine = scores.setdefault(question, {})
                            mine[name] = max(finding.confidence, mine.get(name, 0.0))
        except VmiError:  # such a row failed at decode, or has no scores of this form
            return {}
        return scores

    def _options(self, label: str) -> Iterator[_Option]:
        known = self._known.get(label)
        if known is None:
            wanted = self._classes.get(label, label)
            found = [self._index.find(name) for name in ((wanted,) if isinstance(wanted, str) else wanted)]
            if len(self._known) >= 50_000:
                self._known.clear()
            known = self._known[label] = tuple(one[0] for one in found if len(one) == 1)
        yield from known
