"""A custom text classifier: ``python -m ...containers.text_classifier``.

Instances ``{"text": "..."}``, or ``{"content": "..."}`` with the text itself or the gs:// URI of a UTF-8 file;
predictions ``{"displayNames", "confidences"}``, the most confident first. Parameters as AutoML classification. Other
families of classes are below the predict route; a class's number is its place in the model's own order. At
``conversation`` instances are ``{"messages": [{"id": "m1", "text": "..."}]}`` and predictions
``{"messages": {"m1": [{"label", "score"}]}}``, the best class of each message.
"""

from __future__ import annotations

from typing import Any

from vertex_model_inference.sandbox.containers.artifact import loading
from vertex_model_inference.sandbox.containers.classes import ClassParameters, ranked
from vertex_model_inference.sandbox.containers.forms.labels import LABELS, ORDERED, Form
from vertex_model_inference.sandbox.containers.serve import Forms, InstanceError, Parameters, Predict, each, main
from vertex_model_inference.sandbox.containers.text_model import TextModel
from vertex_model_inference.sandbox.containers.texts import text_of

__all__ = ["load", "predictor"]


def predictor(model: TextModel) -> Forms:
    """The predict functions of a loaded model."""

    def answering(form: Form) -> Predict:
        def predict(instances: list[Any], parameters: Parameters) -> list[Any]:
            wanted = ClassParameters.of(parameters)

            def one(instance: Any) -> Any:
                (scores,) = model.probabilities([text_of(instance)])
                return form(ranked(model.labels, list(scores), wanted), model.labels)

            return each(one, instances)

        return predict

    def by_message(instances: list[Any], parameters: Parameters) -> list[Any]:
        wanted = ClassParameters.of(parameters)

        def one(instance: Any) -> Any:
            told = _messages(instance)
            scores = model.probabilities([text for _, text in told])
            best = (ranked(model.labels, list(row), wanted)[:1] for row in scores)
            return {
                "messages": {
                    id_: [{"label": label, "score": score} for label, score in found]
                    for (id_, _), found in zip(told, best, strict=True)
                }
            }

        return each(one, instances)

    forms = {name: answering(form) for name, form in {**LABELS, **ORDERED}.items()}
    return Forms(answering(LABELS["displaynames"]), {**forms, "conversation": by_message})


def _messages(instance: Any) -> list[tuple[str, str]]:
    """Id and text of each message.

    Raises:
        InstanceError: The instance is of another form.
    """
    given = instance.get("messages") if isinstance(instance, dict) else None
    if not isinstance(given, list) or not given:
        raise InstanceError('An instance must be an object with "messages", a list.')
    found = []
    for number, message in enumerate(given):
        id_, text = (message.get(name) if isinstance(message, dict) else None for name in ("id", "text"))
        if not isinstance(id_, str) or not isinstance(text, str):
            raise InstanceError(f'Message {number} has no "id" and "text".')
        found.append((id_, text))
    return found


load = loading(TextModel.from_bytes, predictor)
"""Fetch ``<artifact_uri>/model.npz`` and make the predict functions."""


if __name__ == "__main__":
    main(load)
