"""Which of many annotations stay: at most so many of a feature on a row, the best ones."""

from __future__ import annotations

from collections.abc import Sequence

from vertex_model_inference.annotations import Annotation
from vertex_model_inference.errors import SettingsError
from vertex_model_inference.models import MatchRules

__all__ = ["check_rules", "over_limit", "rank"]


def rank(confidence: float | None) -> float:
    """For comparing: without a confidence Labelbox takes 1."""
    return 1.0 if confidence is None else confidence


def over_limit(annotations: Sequence[Annotation], most: int) -> set[int]:
    """Indices of the annotations beyond ``most`` of their feature: those of the lowest confidence, later ones first."""
    if len(annotations) <= most:
        return set()
    by_feature: dict[str, list[int]] = {}
    for index, annotation in enumerate(annotations):
        by_feature.setdefault(annotation.feature_schema_id, []).append(index)
    beyond: set[int] = set()
    for indices in by_feature.values():
        indices.sort(key=lambda index: -rank(annotations[index].confidence))
        beyond.update(indices[most:])
    return beyond


def check_rules(rules: MatchRules) -> None:
    """Refuse values that mean nothing, before the first row.

    Raises:
        SettingsError: Naming the rule, its value and what it may be.
    """
    if rules.unmapped not in {"fail", "drop", "report"}:
        raise SettingsError(f"unmapped is {rules.unmapped!r}.", hint='Set it to "fail", "drop" or "report".')
    shares = {"threshold": rules.threshold, "nms_iou": rules.nms_iou}
    shares |= {f"thresholds of {label!r}": value for label, value in rules.thresholds.items()}
    for name, value in shares.items():
        if value is not None and not 0.0 <= value <= 1.0:
            raise SettingsError(f"{name} is {value!r}.", hint="Set it to a number from 0 to 1.")
    for name, number, least in (("top_k", rules.top_k, 1), ("max_annotations", rules.max_annotations, 1)):
        if number is not None and number < least:
            raise SettingsError(f"{name} is {number!r}.", hint=f"Set it to a whole number from {least} up.")
    for name, pixels in (("min_size_px", rules.min_size_px), ("simplify_px", rules.simplify_px)):
        if not 0.0 <= pixels < float("inf"):
            raise SettingsError(f"{name} is {pixels!r}.", hint="Set it to a number of pixels from 0 up.")
    if rules.nms_agnostic and rules.nms_iou is None:
        raise SettingsError("nms_agnostic is set, but nms_iou is not.", hint="Set nms_iou, e.g. to 0.5.")
