"""``hf-token-classification``: named entities as Hugging Face's ``token-classification`` pipeline gives.

Source: ``transformers/pipelines/token_classification.py``, with an aggregation strategy and without::

    [{"entity_group": "PER", "score": 0.99, "word": "Ada Lovelace", "start": 0, "end": 12}, ...]
    [{"entity": "B-PER", "score": 0.99, "index": 1, "word": "Ada", "start": 0, "end": 3},
     {"entity": "I-PER", "score": 0.97, "index": 2, "word": "Lovelace", "start": 4, "end": 12}, ...]

Offsets count characters from 0, the end is exclusive. Tokens are merged: an ``I-`` goes on with the entity before it
when the class is the same and at most one character (a space) lies between; the confidence is the mean over its
tokens. ``O`` is no entity. A class without ``B-`` or ``I-`` is taken as an entity of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import Fit, fit_of, parse, refuse, unit
from vertex_model_inference.decoders.spans import entity
from vertex_model_inference.findings import FoundEntity
from vertex_model_inference.rows import DataRow

__all__ = ["HfTokenClassification"]


class _Token(msgspec.Struct):
    start: int | None = None
    end: int | None = None
    entity_group: str | None = None
    entity: str | None = None
    score: float | None = None


class _Grouped(msgspec.Struct):
    entity_group: str
    start: int | None
    end: int | None


class _Plain(msgspec.Struct):
    entity: str
    start: int | None
    end: int | None


_ANSWER = msgspec.json.Decoder(list[_Token])
_GROUPED = msgspec.json.Decoder(list[_Grouped])
_PLAIN = msgspec.json.Decoder(list[_Plain])


class _Run(msgspec.Struct):
    """An entity that may go on."""

    label: str
    start: int
    end: int
    scores: list[float]
    open: bool


class HfTokenClassification:
    """Hugging Face named entities; see the module's docstring for the forms."""

    name = "hf-token-classification"

    def __init__(self, class_names: Sequence[str] = ()) -> None:
        self.class_names = tuple(class_names)  # the pipeline answers names; kept for the common constructor

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundEntity, ...]:
        """Each entity, in the model's order.

        Raises:
            DecodeError: See ``Decoder.decode``; also for tokens without offsets.
        """
        runs: list[_Run] = []
        answer = parse(_ANSWER, prediction, self.name, row)
        for index, token in enumerate(answer):
            where = f"[{index}]"
            given = token.entity_group if token.entity_group is not None else token.entity
            if given is None:
                refuse(self.name, row, f"{where} has neither entity nor entity_group")
            if given == "O":
                continue
            if token.start is None or token.end is None:
                refuse(self.name, row, f"{where} has no offsets", "Let the container use a fast tokenizer.")
            scores = [] if token.score is None else [unit(token.score, self.name, row, f"{where}.score")]
            tagged = token.entity_group is None and given[:2] in {"B-", "I-"}
            label = given[2:] if tagged else given
            entity(label, token.start, token.end - 1, None, row, self.name, where)  # for its checks
            last = runs[-1] if runs else None
            goes_on = tagged and given[0] == "I" and last is not None and last.open and last.label == label
            if goes_on and last is not None and 0 <= token.start - last.end <= 1:
                last.end = token.end
                last.scores += scores
            else:
                runs.append(_Run(label, token.start, token.end, scores, tagged))
        return tuple([FoundEntity(run.label, run.start, run.end - 1, _mean(run.scores)) for run in runs])

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form."""
        grouped = fit_of(_GROUPED, prediction)
        return grouped if grouped.form else fit_of(_PLAIN, prediction)


def _mean(scores: Sequence[float]) -> float | None:
    return min(sum(scores) / len(scores), 1.0) if scores else None
