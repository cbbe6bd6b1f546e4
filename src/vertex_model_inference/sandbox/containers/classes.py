"""Scores over classes, in AutoML's form."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vertex_model_inference.sandbox.containers.serve import InstanceError, Parameters

__all__ = ["ClassParameters", "answer", "class_id", "ranked"]


def class_id(model: str, label: str) -> str:
    """A stable id of a class as AutoML's annotation specs have: a decimal 63-bit number, as text."""
    digest = hashlib.sha256(f"{model}\n{label}".encode()).digest()
    return str(int.from_bytes(digest[:8], "big") >> 1 | 1 << 60)


@dataclass(frozen=True)
class ClassParameters:
    """``confidenceThreshold`` (0..1, default 0) and ``maxPredictions`` (>= 1, default 10) of AutoML classification.

    Source: google/cloud/aiplatform/v1/schema/predict/params/image_classification.proto.
    """

    threshold: float = 0.0
    most: int = 10

    @classmethod
    def of(cls, parameters: Parameters) -> ClassParameters:
        """Read a request's parameters; numbers may come as floats, as protobuf makes them.

        Raises:
            InstanceError: A value of the wrong type or out of its range.
        """
        given = parameters or {}
        threshold = given.get("confidenceThreshold", cls.threshold)
        most = given.get("maxPredictions", cls.most)
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
            raise InstanceError(f"confidenceThreshold is {threshold!r}; expected a number from 0 to 1.")
        if isinstance(most, bool) or not isinstance(most, int | float) or most < 1 or most != int(most):
            raise InstanceError(f"maxPredictions is {most!r}; expected a whole number from 1.")
        return cls(float(threshold), int(most))


def ranked(labels: Sequence[str], scores: Sequence[float], parameters: ClassParameters) -> list[tuple[str, float]]:
    """The (label, confidence) pairs that the parameters leave, the most confident first."""
    pairs = sorted(zip(labels, (float(s) for s in scores), strict=True), key=lambda pair: -pair[1])
    return [pair for pair in pairs if pair[1] >= parameters.threshold][: parameters.most]


def answer(pairs: list[tuple[str, float]], ids: dict[str, str] | None = None) -> dict[str, Any]:
    """``{"ids", "displayNames", "confidences"}``; without ids for custom models."""
    columns: dict[str, Any] = {"ids": [ids[label] for label, _ in pairs]} if ids is not None else {}
    return {**columns, "displayNames": [label for label, _ in pairs], "confidences": [score for _, score in pairs]}
