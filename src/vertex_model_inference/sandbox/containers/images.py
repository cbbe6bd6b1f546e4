"""Decoding the pictures that instances carry."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, UnidentifiedImageError

from vertex_model_inference.sandbox.containers.gcs import bytes_of
from vertex_model_inference.sandbox.containers.serve import InstanceError

__all__ = ["AUTOML_MIME_TYPES", "MAX_PIXELS", "image_of"]

# google/cloud/aiplatform/v1/schema/predict/instance/image_classification.proto
AUTOML_MIME_TYPES = frozenset(
    {
        "image/jpeg",
        "image/gif",
        "image/png",
        "image/webp",
        "image/bmp",
        "image/tiff",
        "image/vnd.microsoft.icon",
    }
)
MAX_PIXELS = 64_000_000


def image_of(instance: Any, mode: str) -> Image.Image:
    """The picture of ``{"content": uri or base64, "mimeType"}`` or ``{"image": {"b64": ...}}``.

    Args:
        instance: One instance of a request.
        mode: Pillow's mode that the picture is converted to, e.g. ``L`` or ``RGB``.

    Raises:
        InstanceError: No such field, a MIME type that AutoML does not take, bytes that are not a picture, or more than
            ``MAX_PIXELS`` pixels.
    """
    if not isinstance(instance, dict):
        raise InstanceError(f'An instance must be an object with "content", not {type(instance).__name__}.')
    field = next((name for name in ("content", "image") if name in instance), None)
    if field is None:
        raise InstanceError('The instance has no "content" (a gs:// URI or base64).')
    mime_type = instance.get("mimeType")
    if mime_type is not None and mime_type not in AUTOML_MIME_TYPES:
        expected = ", ".join(sorted(AUTOML_MIME_TYPES))
        raise InstanceError(f'"mimeType" is {mime_type!r}; expected one of {expected}.')
    data = bytes_of(instance[field], field)
    try:
        # The header tells the size, so a decompression bomb is refused before it is unpacked.
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise InstanceError(
                    f"The picture has {image.width}x{image.height} pixels; at most {MAX_PIXELS} are read."
                )
            return image.convert(mode)
    except UnidentifiedImageError:
        raise InstanceError(f"The {len(data)} bytes are not a picture that can be read.") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InstanceError(f"The picture is damaged: {error}.") from None
