"""A custom text classifier: ``python -m ...containers.text_classifier``.

Instances ``{"text": "..."}``, or ``{"content": "..."}`` with the text itself or the gs:// URI of a UTF-8 file;
predictions ``{"displayNames", "confidences"}``, the most confident first, or the form of another family of classes
(``ANSWER_FORM``). Parameters as AutoML classification. Families that answer a number count the classes in
``CLASS_ORDER`` (names with commas between), by default the model's own order.
"""

from __future__ import annotations

import os
from typing import Any

from vertex_model_inference.sandbox.containers.artifact import loading
from vertex_model_inference.sandbox.containers.classes import ClassParameters, ranked
from vertex_model_inference.sandbox.containers.forms.choice import chosen
from vertex_model_inference.sandbox.containers.forms.labels import LABELS, ORDERED
from vertex_model_inference.sandbox.containers.serve import Parameters, Predict, each, main
from vertex_model_inference.sandbox.containers.text_model import TextModel
from vertex_model_inference.sandbox.containers.texts import text_of

__all__ = ["ORDER", "load", "predictor"]

ORDER = "CLASS_ORDER"


def predictor(model: TextModel) -> Predict:
    """The predict function of a loaded model.

    Raises:
        ValueError: There is no such form, or the order names other classes than the model's.
    """
    form = chosen({**LABELS, **ORDERED}, "displaynames")
    names = tuple(filter(None, os.environ.get(ORDER, "").split(","))) or model.labels
    if sorted(names) != sorted(model.labels):
        msg = f"{ORDER} is {','.join(names)}; the model's classes are {', '.join(model.labels)}"
        raise ValueError(msg)

    def predict(instances: list[Any], parameters: Parameters) -> list[Any]:
        wanted = ClassParameters.of(parameters)

        def one(instance: Any) -> Any:
            (scores,) = model.probabilities([text_of(instance)])
            return form(ranked(model.labels, list(scores), wanted), names)

        return each(one, instances)

    return predict


load = loading(TextModel.from_bytes, predictor)
"""Fetch ``<artifact_uri>/model.npz`` and make the predict function."""


if __name__ == "__main__":
    main(load)
