"""What answers for an AutoML image classification model: ``python -m ...containers.automl_image_classification``.

Instances ``{"content": "gs://..." or base64, "mimeType"}``, parameters ``confidenceThreshold`` and ``maxPredictions``,
predictions ``{"ids", "displayNames", "confidences"}``, the most confident first
(google/cloud/aiplatform/v1/schema/predict/{instance,params,prediction}).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from vertex_model_inference.sandbox.containers.artifact import loading
from vertex_model_inference.sandbox.containers.classes import ClassParameters, answer, class_id, ranked
from vertex_model_inference.sandbox.containers.image_model import ImageModel
from vertex_model_inference.sandbox.containers.images import image_of
from vertex_model_inference.sandbox.containers.serve import Parameters, Predict, each, main

__all__ = ["load", "predictor"]

FETCHES = 8  # pictures of one request that are fetched at the same time


def predictor(model: ImageModel) -> Predict:
    """The predict function of a loaded model."""
    ids = {label: class_id("image-classification", label) for label in model.labels}
    pool = ThreadPoolExecutor(FETCHES, thread_name_prefix="fetch")

    def one(instance: Any) -> Any:
        return model.pixels(image_of(instance, "L"))

    def predict(instances: list[Any], parameters: Parameters) -> list[Any]:
        wanted = ClassParameters.of(parameters)
        # Fetching waits for the network, so it runs beside; the arithmetic is one product for the whole request.
        results = [result for (result,) in pool.map(lambda instance: each(one, [instance]), instances)]
        readable = [i for i, result in enumerate(results) if isinstance(result, np.ndarray)]
        if readable:
            table = model.probabilities(np.stack([results[i] for i in readable]))
            for i, scores in zip(readable, table, strict=True):
                results[i] = answer(ranked(model.labels, list(scores), wanted), ids)
        return results

    return predict


load = loading(ImageModel.from_bytes, predictor)
"""Fetch ``<artifact_uri>/model.npz`` and make the predict function."""

if __name__ == "__main__":
    main(load)
