"""AutoML's own formats: instances, parameters and predictions of image and text models.

Source: ``google/cloud/aiplatform/v1/schema/predict/{instance,params,prediction}`` in the google-cloud-aiplatform wheel.
"""

from __future__ import annotations

from typing import Any

from vertex_model_inference.sandbox.vertex.wire import invalid

__all__ = ["MIME_TYPES", "checked_parameters", "instance_error", "trimmed"]

MIME_TYPES = {
    "image_classification": frozenset(
        {
            "image/jpeg",
            "image/gif",
            "image/png",
            "image/webp",
            "image/bmp",
            "image/tiff",
            "image/vnd.microsoft.icon",
        }
    ),
    "image_segmentation": frozenset({"image/jpeg", "image/png"}),
}
MIME_TYPES["image_object_detection"] = MIME_TYPES["image_classification"]
for _kind in ("text_classification", "text_extraction", "text_sentiment"):
    MIME_TYPES[_kind] = frozenset({"text/plain"})

# Of ``schema/predict/params``: kinds that are not named there take none.
_PARAMETERS = {
    "image_classification": frozenset({"confidenceThreshold", "maxPredictions"}),
    "image_object_detection": frozenset({"confidenceThreshold", "maxPredictions"}),
    "image_segmentation": frozenset({"confidenceThreshold"}),
}
_PARAMETERS["text_classification"] = frozenset()
_PARAMETERS["text_extraction"] = frozenset()
_PARAMETERS["text_sentiment"] = frozenset()


def instance_error(instance: Any, kind: str) -> str | None:
    """Why a batch line cannot be an instance of an AutoML model of this kind; None when it can."""
    if not isinstance(instance, dict):
        return "The instance must be a JSON object."
    unknown = set(instance) - {"content", "mimeType", "mime_type"}
    if kind == "text_extraction":
        unknown -= {"key"}
    if unknown:
        return f"Unknown field {min(unknown)!r} in the instance; expected content and mimeType."
    content = instance.get("content")
    if not isinstance(content, str) or not content.startswith("gs://"):
        what = "a text" if kind.startswith("text_") else "an image"
        return f"The instance's content must be the gs:// URI of {what}, not {str(content)[:100]!r}."
    mime = instance.get("mimeType", instance.get("mime_type"))
    allowed = MIME_TYPES.get(kind)
    if allowed is not None and mime not in allowed:
        return f"Unsupported mimeType {mime!r}; expected one of {', '.join(sorted(allowed))}."
    return None


def checked_parameters(parameters: Any, kind: str) -> dict[str, Any]:
    """``confidenceThreshold`` (0..1, default 0) and ``maxPredictions`` (default 10), where the kind takes them.

    Raises:
        ApiError: A parameter that the kind does not take, or a value out of range.
    """
    given = parameters or {}
    if not isinstance(given, dict):
        raise invalid("Invalid model parameters: expected an object.")
    taken = _PARAMETERS.get(kind, frozenset({"confidenceThreshold", "maxPredictions"}))
    unknown = set(given) - taken
    if unknown:
        raise invalid(f"Invalid model parameters: unknown parameter {min(unknown)!r}.")
    threshold = given.get("confidenceThreshold", 0.0)
    most = given.get("maxPredictions", 10)
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise invalid(f"Invalid model parameters: confidenceThreshold {threshold!r} is not between 0 and 1.")
    if isinstance(most, bool) or not isinstance(most, int | float) or most != int(most) or not 1 <= most <= 500:
        raise invalid(f"Invalid model parameters: maxPredictions {most!r} is not a whole number between 1 and 500.")
    checked = {"confidenceThreshold": threshold, "maxPredictions": int(most)}
    if kind == "image_segmentation" and "confidenceThreshold" not in given:
        checked["confidenceThreshold"] = 0.5
    return {name: value for name, value in checked.items() if name in taken}


def trimmed(prediction: Any, parameters: dict[str, Any]) -> Any:
    """A prediction with its parallel lists cut as the parameters say, the most confident first.

    Other forms (an error, a sentiment), and those of kinds that take no such parameters, are given back as they are.
    """
    if "maxPredictions" not in parameters:
        return prediction
    if not isinstance(prediction, dict) or not isinstance(prediction.get("confidences"), list):
        return prediction
    confidences = prediction["confidences"]
    order = sorted(range(len(confidences)), key=lambda i: -confidences[i])
    keep = [i for i in order if confidences[i] >= parameters["confidenceThreshold"]][: parameters["maxPredictions"]]
    return {
        key: [value[i] for i in keep] if isinstance(value, list) and len(value) == len(confidences) else value
        for key, value in prediction.items()
    }
