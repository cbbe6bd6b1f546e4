"""``spacy-entities``: named entities as spaCy writes them.

Source: ``Doc.to_json`` of spaCy (https://spacy.io/api/doc#to_json)::

    {"text": "Ada lived in London.", "ents": [{"start": 0, "end": 3, "label": "PERSON"}, ...]}

Offsets count characters from 0, the end is exclusive. spaCy gives no confidence; a ``score`` is read where a container
adds one.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import Fit, fit_of, parse, refuse, unit
from vertex_model_inference.decoders.spans import entity
from vertex_model_inference.findings import FoundEntity
from vertex_model_inference.rows import DataRow

__all__ = ["SpacyEntities"]


class _Entity(msgspec.Struct):
    start: int
    end: int
    label: str
    score: float | None = None


class _Answer(msgspec.Struct):
    ents: list[_Entity]
    text: str | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


class SpacyEntities:
    """spaCy's entities; see the module's docstring for the form."""

    name = "spacy-entities"

    def __init__(self, class_names: Sequence[str] = ()) -> None:
        self.class_names = tuple(class_names)  # spaCy answers names; kept for the common constructor

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundEntity, ...]:
        """Each entity, in the model's order.

        Raises:
            DecodeError: See ``Decoder.decode``; also for an entity that ends after the text.
        """
        answer = parse(_ANSWER, prediction, self.name, row)
        found = []
        for index, one in enumerate(answer.ents):
            where = f"ents[{index}]"
            c = None if one.score is None else unit(one.score, self.name, row, f"{where}.score")
            if answer.text is not None and one.end > len(answer.text):
                refuse(self.name, row, f"{where} ends at {one.end}, the text has {len(answer.text)} characters")
            found.append(entity(one.label, one.start, one.end - 1, c, row, self.name, where))
        return tuple(found)

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form."""
        return fit_of(_ANSWER, prediction)
