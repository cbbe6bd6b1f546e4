"""The texts that instances carry."""

from __future__ import annotations

from typing import Any

from vertex_model_inference.sandbox.containers.gcs import fetch
from vertex_model_inference.sandbox.containers.serve import InstanceError

__all__ = ["MAX_CHARACTERS", "text_of"]

MAX_CHARACTERS = 1_000_000


def text_of(instance: Any) -> str:
    """The text of ``{"text": "..."}``, or of ``{"content": "..."}``: the text itself or the gs:// URI of a UTF-8 file.

    Raises:
        InstanceError: No such field, or not a text that can be read.
    """
    if not isinstance(instance, dict):
        raise InstanceError(f'An instance must be an object with "text", not {type(instance).__name__}.')
    field = next((name for name in ("text", "content") if name in instance), None)
    if field is None:
        raise InstanceError('The instance has neither "text" nor "content".')
    text = instance[field]
    if not isinstance(text, str):
        raise InstanceError(f'"{field}" must be text, not {type(text).__name__}.')
    if field == "content" and text.startswith("gs://"):
        uri = text
        try:
            text = fetch(uri).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InstanceError(f"{uri} is not UTF-8 text: {error.reason} at byte {error.start}.") from None
    if not text.strip():
        raise InstanceError("The text is empty.")
    if len(text) > MAX_CHARACTERS:
        raise InstanceError(f"The text has {len(text)} characters; at most {MAX_CHARACTERS} are read.")
    return text
