"""What all pages have at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vertex_model_inference.labelbox.gateway import Labelbox
from vertex_model_inference.pages.access import Access
from vertex_model_inference.pages.actions import Actions
from vertex_model_inference.pages.asset_source import AssetSource
from vertex_model_inference.pages.costs import Costs
from vertex_model_inference.pages.open_runs import OpenRuns
from vertex_model_inference.pages.picture_cache import PictureCache
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
        settings: Of the operator.
        runs: What is kept at hand of each run that is looked at.
        assets: Reads assets of rows.
        pictures: Those that were made.
        costs: What runs cost.
        actions: What can be done besides looking; None: nothing.
        connect: Makes a gateway to Labelbox, for rows that are sent to a project; None: none are.
    """

    shelf: Shelf
    access: Access
    render: Renderer
    settings: Settings
    runs: OpenRuns
    assets: AssetSource
    pictures: PictureCache
    costs: Costs
    actions: Actions | None = None
    connect: Callable[[], Labelbox] | None = None
