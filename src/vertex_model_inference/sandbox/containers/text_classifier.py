"""A custom text classifier: ``python -m ...containers.text_classifier``.

Instances ``{"text": "..."}``, or ``{"content": "..."}`` with the text itself or the gs:// URI of a UTF-8 file;
predictions ``{"displayNames", "confidences"}``, the most confident first. Parameters as AutoML classification.
"""

from __future__ import annotations

from typing import Any

from vertex_model_inference.sandbox.containers.classes import ClassParameters, answer, ranked
from vertex_model_inference.sandbox.containers.gcs import fetch
from vertex_model_inference.sandbox.containers.serve import InstanceError, Parameters, Predict, each, main
from vertex_model_inference.sandbox.containers.text_model import TextModel

__all__ = ["load", "predictor"]

MAX_CHARACTERS = 1_000_000


def _text(instance: Any) -> str:
    if not isinstance(instance, dict):
        raise InstanceError(f'An instance must be an object with "text", not {type(instance).__name__}.')
    field = next((name for name in ("text", "content") if name in instance), None)
    if field is None:
        raise InstanceError('The instance has neither "text" nor "content".')
    text = instance[field]
    if not isinstance(text, str):
        raise InstanceError(f'"{field}" must be text, not {type(text).__name__}.')
    if field == "content" and text.startswith("gs://"):
        try:
            text = fetch(text).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InstanceError(f"{text} is not UTF-8 text: {error.reason} at byte {error.start}.") from None
    if not text.strip():
        raise InstanceError("The text is empty.")
    if len(text) > MAX_CHARACTERS:
        raise InstanceError(f"The text has {len(text)} characters; at most {MAX_CHARACTERS} are read.")
    return text


def predictor(model: TextModel) -> Predict:
    """The predict function of a loaded model."""

    def predict(instances: list[Any], parameters: Parameters) -> list[Any]:
        wanted = ClassParameters.of(parameters)

        def one(instance: Any) -> Any:
            (scores,) = model.probabilities([_text(instance)])
            return answer(ranked(model.labels, list(scores), wanted))

        return each(one, instances)

    return predict


def load(artifact_uri: str) -> Predict:
    """Fetch ``<artifact_uri>/model.npz`` and make the predict function.

    Raises:
        InstanceError: The file cannot be fetched.
        ValueError: It is not a text model.
    """
    return predictor(TextModel.from_bytes(fetch(f"{artifact_uri.rstrip('/')}/model.npz")))


if __name__ == "__main__":
    main(load)
