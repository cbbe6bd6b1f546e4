"""A custom text classifier: ``python -m ...containers.text_classifier``.

Instances ``{"text": "..."}``, or ``{"content": "..."}`` with the text itself or the gs:// URI of a UTF-8 file;
predictions ``{"displayNames", "confidences"}``, the most confident first. Parameters as AutoML classification. Other
families of classes are below the predict route; a class's number is its place in the model's own order.
"""

from __future__ import annotations

from typing import Any

from vertex_model_inference.sandbox.containers.artifact import loading
from vertex_model_inference.sandbox.containers.classes import ClassParameters, ranked
from vertex_model_inference.sandbox.containers.forms.labels import LABELS, ORDERED, Form
from vertex_model_inference.sandbox.containers.serve import Forms, Parameters, Predict, each, main
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

    forms = {**LABELS, **ORDERED}
    return Forms(answering(forms["displaynames"]), {name: answering(form) for name, form in forms.items()})


load = loading(TextModel.from_bytes, predictor)
"""Fetch ``<artifact_uri>/model.npz`` and make the predict functions."""


if __name__ == "__main__":
    main(load)
