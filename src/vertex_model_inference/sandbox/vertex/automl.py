"""AutoML's own formats: instances, parameters and predictions of image, text and video models.

Source: ``google/cloud/aiplatform/v1/schema/predict/{instance,params,prediction}`` in the google-cloud-aiplatform wheel.
"""

from __future__ import annotations

import re
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

for _kind in ("video_classification", "video_object_tracking", "video_action_recognition"):
    MIME_TYPES[_kind] = frozenset({"video/mp4", "video/avi", "video/quicktime"})

# Of ``schema/predict/params``: kinds that are not named there take none.
_PARAMETERS = {
    "image_classification": frozenset({"confidenceThreshold", "maxPredictions"}),
    "image_object_detection": frozenset({"confidenceThreshold", "maxPredictions"}),
    "image_segmentation": frozenset({"confidenceThreshold"}),
}
_PARAMETERS["text_classification"] = frozenset()
_PARAMETERS["text_extraction"] = frozenset()
_PARAMETERS["text_sentiment"] = frozenset()
_PARAMETERS["video_action_recognition"] = frozenset({"confidenceThreshold", "maxPredictions"})
_PARAMETERS["video_object_tracking"] = _PARAMETERS["video_action_recognition"] | {"minBoundingBoxSize"}
_FLAGS = frozenset({"segmentClassification", "shotClassification", "oneSecIntervalClassification"})
_PARAMETERS["video_classification"] = _PARAMETERS["video_action_recognition"] | _FLAGS

# Default and largest ``maxPredictions`` of kinds where they are not 10 and 500; "very high" has no number there.
_MOST = {
    "video_classification": (10_000, 2**31 - 1),
    "video_object_tracking": (50, 2**31 - 1),
    "video_action_recognition": (50, 2**31 - 1),
}
_SECONDS = re.compile(r"\d+(\.\d{1,6})?s\Z")


def instance_error(instance: Any, kind: str) -> str | None:
    """Why a batch line cannot be an instance of an AutoML model of this kind; None when it can."""
    if not isinstance(instance, dict):
        return "The instance must be a JSON object."
    unknown = set(instance) - {"content", "mimeType", "mime_type"}
    if kind == "text_extraction":
        unknown -= {"key"}
    if kind.startswith("video_"):
        unknown -= {"timeSegmentStart", "timeSegmentEnd"}
    if unknown:
        return f"Unknown field {min(unknown)!r} in the instance; expected content and mimeType."
    content = instance.get("content")
    if not isinstance(content, str) or not content.startswith("gs://"):
        what = {"text": "a text", "video": "a video"}.get(kind.partition("_")[0], "an image")
        return f"The instance's content must be the gs:// URI of {what}, not {str(content)[:100]!r}."
    mime = instance.get("mimeType", instance.get("mime_type"))
    allowed = MIME_TYPES.get(kind)
    if allowed is not None and mime not in allowed:
        return f"Unsupported mimeType {mime!r}; expected one of {', '.join(sorted(allowed))}."
    return _segment_error(instance) if kind.startswith("video_") else None


def _segment_error(instance: dict[str, Any]) -> str | None:
    """What is wrong with a video's time segment: both ends are needed, seconds with an s, the end may be endless."""
    start, end = instance.get("timeSegmentStart"), instance.get("timeSegmentEnd")
    for name, value, endless in (("timeSegmentStart", start, ()), ("timeSegmentEnd", end, ("inf", "Infinity"))):
        if not isinstance(value, str) or not (value in endless or _SECONDS.match(value)):
            return f'The instance\'s {name} must be seconds such as "1.2s", not {str(value)[:40]!r}.'
    if end not in ("inf", "Infinity") and float(str(end)[:-1]) <= float(str(start)[:-1]):
        return f"The instance's time segment ends ({end}) before it begins ({start})."
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
    default, largest = _MOST.get(kind, (10, 500))
    most = given.get("maxPredictions", default)
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise invalid(f"Invalid model parameters: confidenceThreshold {threshold!r} is not between 0 and 1.")
    if isinstance(most, bool) or not isinstance(most, int | float) or most != int(most) or not 1 <= most <= largest:
        raise invalid(
            f"Invalid model parameters: maxPredictions {most!r} is not a whole number between 1 and {largest}."
        )
    checked: dict[str, Any] = {"confidenceThreshold": threshold, "maxPredictions": int(most)}
    if "minBoundingBoxSize" in taken:
        checked["minBoundingBoxSize"] = size = given.get("minBoundingBoxSize", 0.0)
        if isinstance(size, bool) or not isinstance(size, int | float) or not 0 <= size <= 1:
            raise invalid(f"Invalid model parameters: minBoundingBoxSize {size!r} is not between 0 and 1.")
    for name in sorted(_FLAGS & set(given)):
        if not isinstance(given[name], bool):
            raise invalid(f"Invalid model parameters: {name} {given[name]!r} is not true or false.")
        checked[name] = given[name]
    if kind == "image_segmentation" and "confidenceThreshold" not in given:
        checked["confidenceThreshold"] = 0.5
    return {name: value for name, value in checked.items() if name in taken}


def trimmed(prediction: Any, parameters: dict[str, Any]) -> Any:
    """A prediction with its parallel lists cut as the parameters say, the most confident first.

    Other forms (an error, a sentiment, a video's list, which its model cuts itself), and those of kinds that take no
    such parameters, are given back as they are.
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
