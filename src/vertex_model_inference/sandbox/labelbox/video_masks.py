"""Masks of videos: one import row brings several objects over several frames, exports have each by itself.

The export form of a mask in a frame is taken to be that of a picture's mask, ``{"mask": {"url"}}``, under
``frames[...].objects`` with the kind ``VideoSegmentationMask``; Labelbox's documentation of it was not at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from vertex_model_inference.sandbox.labelbox.ids import new_id
from vertex_model_inference.sandbox.labelbox.validation.features import Feature, FeatureIndex
from vertex_model_inference.sandbox.labelbox.validation.video import of_instance

__all__ = ["expand"]


def expand(
    row: Mapping[str, Any],
    index: FeatureIndex,
    feature_id: str,
    mask_url: Callable[[str], str],
    *,
    scored: bool,
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """A checked row with ``masks`` as the objects it brings.

    Args:
        row: As imported.
        index: The ontology.
        feature_id: Of the first object; the others get new ones.
        mask_url: Name of a picture -> where it is served.
        scored: Keep the confidence.

    Returns:
        What is stored, ``{"feature_id", "masks": [{..., "frames": {"3": url}}]}``; and (name, mask as JSON) of the
        pictures to serve.
    """
    made: list[dict[str, Any]] = []
    pictures: list[tuple[str, str]] = []
    for number, instance in enumerate(row["masks"]["instances"]):
        feature = of_instance(instance, index)
        assert isinstance(feature, Feature)
        own_id = feature_id if number == 0 else new_id()
        frames: dict[str, str] = {}
        for frame in row["masks"]["frames"]:
            name = f"{own_id}-{frame['index']}"
            frames[str(frame["index"])] = mask_url(name)
            source = {key: frame[key] for key in ("instanceURI", "imBytes") if frame.get(key) is not None}
            pictures.append((name, orjson.dumps({**source, "colorRGB": instance["colorRGB"]}).decode()))
        made.append(
            {
                "feature_id": own_id,
                "feature_schema_id": feature.schema_id,
                "name": feature.name,
                "value": feature.value,
                "annotation_kind": "VideoSegmentationMask",
                **({"confidence": row["confidence"]} if scored and row.get("confidence") is not None else {}),
                "classifications": [],
                "frames": frames,
            }
        )
    return {"feature_id": feature_id, "masks": made}, pictures
