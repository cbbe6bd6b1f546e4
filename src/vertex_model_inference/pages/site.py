"""What all pages have at hand."""

from __future__ import annotations

from dataclasses import dataclass

from vertex_model_inference.pages.access import Access
from vertex_model_inference.pages.rendering import Renderer
from vertex_model_inference.pages.shelf import Shelf
from vertex_model_inference.settings import Settings

__all__ = ["Site"]


@dataclass(frozen=True)
class Site:
    """What is shown, to whom, and what else there is.

    Attributes:
        shelf: The runs.
        access: Who may look.
        render: Makes pages out of templates.
        settings: Of the operator: where pictures of rows may be fetched from, and caches kept.
    """

    shelf: Shelf
    access: Access
    render: Renderer
    settings: Settings
