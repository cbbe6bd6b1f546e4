"""Families that answer spans of a text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vertex_model_inference.sandbox.containers.classes import class_id

__all__ = ["SPANS", "Form", "Span"]


@dataclass(frozen=True)
class Span:
    """An entity.

    Attributes:
        label: Its class.
        score: 0..1.
        start: Its first character, from 0, in code points; ``end``: the one after its last.
        tokens: (number, start, end) of the words it is made of, in the text's order; numbers from 1.
    """

    label: str
    score: float
    start: int
    end: int
    tokens: tuple[tuple[int, int, int], ...]


Form = Callable[[str, Sequence[Span]], Any]


def spacy_entities(text: str, spans: Sequence[Span]) -> Any:
    """``Doc.to_json`` of spaCy, with a score."""
    return {
        "text": text,
        "ents": [{"start": s.start, "end": s.end, "label": s.label, "score": s.score} for s in spans],
    }


def automl_text_extraction(_: str, spans: Sequence[Span]) -> Any:
    """``TextExtractionPredictionResult``: inclusive ends, offsets as text as protobuf writes int64."""
    return {
        "ids": [class_id("text-extraction", s.label) for s in spans],
        "displayNames": [s.label for s in spans],
        "textSegmentStartOffsets": [str(s.start) for s in spans],
        "textSegmentEndOffsets": [str(s.end - 1) for s in spans],
        "confidences": [s.score for s in spans],
    }


def hf_grouped(text: str, spans: Sequence[Span]) -> Any:
    """transformers' ``token-classification`` pipeline with an aggregation strategy."""
    return [
        {"entity_group": s.label, "score": s.score, "word": text[s.start : s.end], "start": s.start, "end": s.end}
        for s in spans
    ]


def hf_tokens(text: str, spans: Sequence[Span]) -> Any:
    """The same without one: a token at a time, ``B-`` the first of an entity and ``I-`` the others."""
    return [
        {"entity": f"{'I' if place else 'B'}-{span.label}", "score": span.score, "index": number}
        | {"word": text[start:end], "start": start, "end": end}
        for span in spans
        for place, (number, start, end) in enumerate(span.tokens)
    ]


SPANS: dict[str, Form] = {
    "spacy-entities": spacy_entities,
    "automl-text-extraction": automl_text_extraction,
    "hf-token-classification": hf_grouped,
    "hf-token-classification:tokens": hf_tokens,
}
"""Name of the family -> the text and its spans in its form."""
