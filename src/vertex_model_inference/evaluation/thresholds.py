"""The best threshold of each class, as lines for ``vmi.toml``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from vertex_model_inference.evaluation.names import ALL
from vertex_model_inference.evaluation.scores import ClassScore, SplitScore
from vertex_model_inference.models import ModelOption
from vertex_model_inference.rows import Split

__all__ = ["threshold_lines"]

_ORDER = (Split.VALIDATION.value, Split.TEST.value, Split.UNASSIGNED.value, Split.TRAINING.value)
"""Of the splits with judged rows the first is used: a model is surest of what it was trained on."""


def threshold_lines(splits: Sequence[SplitScore], option: ModelOption) -> tuple[tuple[str, ...], str | None]:
    """Lines that can be copied into ``vmi.toml``.

    Thresholds there are by the model's own class names; a feature that several classes feed gives each the same.
    Predictions below the thresholds that were in force are not in the run, so lower ones cannot be found. Classes that
    are best as they are get no line.

    Args:
        splits: The figures. ``option``: the model, as it was run.

    Returns:
        The lines, and the split they are from; none where no class has a threshold to offer.
    """
    named = {one.split: one for one in splits if one.rows.judged and one.split != ALL}
    split = next((named[name] for name in _ORDER if name in named), None)
    if split is None:
        return (), None
    classes: dict[str, list[str]] = {}
    for model_class, features in option.rules.classes.items():
        for feature in (features,) if isinstance(features, str) else features:
            classes.setdefault(feature.rsplit("/", 1)[-1], []).append(model_class)
    lines: dict[str, str] = {}
    for one in _classes(split):
        if one.best is None or one.best.threshold == 0:  # best with all that there is
            continue
        for name in classes.get(one.name, [one.name]):
            lines.setdefault(
                name,
                f"{json.dumps(name, ensure_ascii=False)} = {_plain(one.best.threshold)}"
                f"  # F1 {one.best.f1:.3f}, precision {one.best.precision:.3f}, recall {one.best.recall:.3f}",
            )
    if not lines:
        return (), None
    return (f"[models.{json.dumps(option.name, ensure_ascii=False)}.thresholds]", *lines.values()), split.split


def _plain(threshold: float) -> str:
    """As TOML takes it: never ``1e-06``, never without a point."""
    return f"{threshold:.7f}".rstrip("0").ljust(3, "0")


def _classes(split: SplitScore) -> Iterable[ClassScore]:
    """Of tools, and of top-level questions: the classes of findings that thresholds apply to."""
    for objects in split.objects:
        yield from objects.classes
    for choice in split.choices:
        if "/" not in choice.question:
            yield from choice.classes
