"""The data sets by name."""

from __future__ import annotations

from vertex_model_inference.errors import NotFoundError
from vertex_model_inference.sandbox.datasets.coins import Coins
from vertex_model_inference.sandbox.datasets.conversations import Conversations
from vertex_model_inference.sandbox.datasets.digits import Digits
from vertex_model_inference.sandbox.datasets.documents import Documents
from vertex_model_inference.sandbox.datasets.entities import Entities
from vertex_model_inference.sandbox.datasets.layout import Layout
from vertex_model_inference.sandbox.datasets.material import Material
from vertex_model_inference.sandbox.datasets.pages import Pages
from vertex_model_inference.sandbox.datasets.reviews import Reviews
from vertex_model_inference.sandbox.datasets.videos import Videos

__all__ = ["MATERIALS", "material"]

MATERIALS: dict[str, Material] = {
    m.name: m
    for m in (Digits(), Documents(), Reviews(), Coins(), Entities(), Layout(), Pages(), Videos(), Conversations())
}


def material(name: str) -> Material:
    """The data set of this name.

    Raises:
        NotFoundError: There is none.
    """
    if name not in MATERIALS:
        raise NotFoundError(f"There is no data set {name!r}.", hint=f"There are: {', '.join(MATERIALS)}.")
    return MATERIALS[name]
