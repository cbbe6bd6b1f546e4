"""What a run of Gemini shares between its steps: the ontology, made into requests and into a decoder of answers."""

from __future__ import annotations

import msgspec

from vertex_model_inference.gemini.decoder import GeminiDecoder
from vertex_model_inference.gemini.requests import Requests
from vertex_model_inference.models import GeminiRules
from vertex_model_inference.ontology import Ontology
from vertex_model_inference.outcomes import Outcome
from vertex_model_inference.rows import DataRow
from vertex_model_inference.steps.context import Context, skipped

__all__ = ["decoder_of", "nothing_to_ask", "requests_of", "rules_of"]

_ONTOLOGY = msgspec.json.Decoder(Ontology)


def rules_of(context: Context) -> GeminiRules:
    """How Gemini is asked; only for options that are Gemini."""
    rules = context.spec.option.gemini
    assert rules is not None, "only called for Gemini"
    return rules


def requests_of(context: Context) -> Requests:
    """What makes the run's requests.

    Raises:
        StorageError: The run's ontology cannot be read.
    """
    return Requests(_ontology(context), rules_of(context))


def decoder_of(context: Context) -> GeminiDecoder:
    """What reads the run's answers.

    Raises:
        StorageError: The run's ontology cannot be read.
    """
    return GeminiDecoder(_ontology(context), rules_of(context))


def _ontology(context: Context) -> Ontology:
    return _ONTOLOGY.decode(context.store.get(context.files.ontology))


def nothing_to_ask(row: DataRow) -> Outcome:
    """The outcome of a row for which the ontology has no question."""
    text = f"The ontology has nothing that Gemini can be asked about {row.media_type.value} rows."
    return skipped(row.id, row.global_key, "predict", "nothing_to_ask", text)
