"""Loading the model's file that ``AIP_STORAGE_URI`` names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from vertex_model_inference.sandbox.containers.gcs import fetch
from vertex_model_inference.sandbox.containers.serve import Forms, Load, Predict

__all__ = ["loading"]

M = TypeVar("M")


def loading(read: Callable[[bytes], M], predictor: Callable[[M], Predict | Forms]) -> Load:
    """A container's ``load``: fetches ``<artifact>/model.npz``, reads it and makes the predict function.

    What it gives raises InstanceError when the file cannot be fetched, and ValueError when it is not the model's.

    Args:
        read: Bytes of the file -> the model.
        predictor: The model -> its predict function.
    """

    def load(artifact_uri: str) -> Predict | Forms:
        return predictor(read(fetch(f"{artifact_uri.rstrip('/')}/model.npz")))

    return load
