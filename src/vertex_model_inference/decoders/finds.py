"""What each decoder finds, as far as that is known before it has read anything."""

from __future__ import annotations

from vertex_model_inference.decoders.registry import expected
from vertex_model_inference.models import ModelOption, Task

__all__ = ["background", "finds"]

_FINDS: dict[str, tuple[str, ...]] = {
    "automl-classification": ("label",),
    "automl-sentiment": ("label",),
    "displaynames": ("label",),
    "hf-classification": ("label",),
    "plain": ("label",),
    "automl-detection": ("box",),
    "hf-detection": ("box",),
    "grounding-dino": ("box",),
    "owl-vit": ("box",),
    "owl-vit-v2": ("box",),
    "boxes-arrays": ("box",),
    "paligemma": ("box",),
    "automl-segmentation": ("mask",),
    "hf-segmentation": ("mask",),
    "rle-masks": ("mask",),
    "sam-masks": ("mask",),
    "polygons": ("polygon",),
    "keypoints": ("point",),
    "automl-text-extraction": ("entity",),
    "hf-token-classification": ("entity",),
    "spacy-entities": ("entity",),
    "automl-video-classification": ("label",),
    "automl-action-recognition": ("label",),
    "automl-object-tracking": ("track",),
    "video-segments": ("label",),
    "video-tracks": ("track",),
    "frame-detections": ("track",),
    "video-masks": ("video mask",),
}

_TASKS = {
    Task.IMAGE_CLASSIFICATION: ("label",),
    Task.TEXT_CLASSIFICATION: ("label",),
    Task.TEXT_SENTIMENT: ("label",),
    Task.IMAGE_OBJECT_DETECTION: ("box",),
    Task.IMAGE_SEGMENTATION: ("mask",),
    Task.TEXT_EXTRACTION: ("entity",),
}


def finds(option: ModelOption) -> tuple[str, ...] | None:
    """Kinds of findings (see ``steps/kinds.py``; ``label`` for classes) that a model's answers become; None: any.

    Args:
        option: Of the menu: its decoder decides, else what it does.
    """
    name = (expected(option) or "").partition(":")[0]
    if name == "mapping" and option.mapping is not None:
        mapping = option.mapping
        if mapping.box is not None:
            return ("box",)
        if mapping.points is not None:
            return ("polygon",)
        if mapping.mask is not None:
            return ("linked mask",)
        return ("entity",) if mapping.start is not None else ("label",)
    if name:
        return _FINDS.get(name)
    return _TASKS.get(option.task) if option.task is not None else None


def background(option: ModelOption) -> str | None:
    """The class that is never found: number 0 of AutoML segmentation, or of others where it is called background."""
    if not option.class_names or "=#" in option.class_names[0]:
        return None
    first = option.class_names[0]
    called = first.strip("_ ").casefold() == "background"
    return first if called or expected(option) == "automl-segmentation" else None
