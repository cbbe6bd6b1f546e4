"""Families that answer classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from vertex_model_inference.sandbox.containers.classes import answer, class_id

__all__ = ["LABELS", "ORDERED", "Form"]

Pairs = list[tuple[str, float]]
"""(class, confidence), the most confident first."""

Form = Callable[[Pairs, Sequence[str]], Any]
"""The pairs, and all classes of the model in its order."""


def automl_classification(pairs: Pairs, names: Sequence[str]) -> Any:
    """``ClassificationPredictionResult``, with ids."""
    return answer(pairs, {name: class_id("classification", name) for name in names})


def displaynames(pairs: Pairs, _: Sequence[str]) -> Any:
    """Vertex's samples of custom containers: as AutoML, without ids."""
    return answer(pairs)


def hf_classification(pairs: Pairs, _: Sequence[str]) -> Any:
    """transformers' ``text-classification`` and ``image-classification`` pipelines."""
    return [{"label": label, "score": score} for label, score in pairs]


def plain(pairs: Pairs, names: Sequence[str]) -> Any:
    """scikit-learn's ``predict``: the number of the best class."""
    return names.index(pairs[0][0]) if pairs else -1


def automl_sentiment(pairs: Pairs, names: Sequence[str]) -> Any:
    """``TextSentimentPredictionResult``: the place of the best class, whose order must be from bad to good."""
    return {"sentiment": max(plain(pairs, names), 0)}


LABELS: dict[str, Form] = {
    "automl-classification": automl_classification,
    "displaynames": displaynames,
    "hf-classification": hf_classification,
}
"""Name of the family -> scored classes in its form."""

ORDERED: dict[str, Form] = {"plain": plain, "automl-sentiment": automl_sentiment}
"""Likewise, of families that answer the best class alone, by its number."""
