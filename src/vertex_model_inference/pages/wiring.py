"""The pages with everything they need, for ``vmi serve`` and ``vmi pages``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from starlette.types import ASGIApp

from vertex_model_inference.labelbox.gateway import Labelbox
from vertex_model_inference.pages.access import Access
from vertex_model_inference.pages.actions import Actions
from vertex_model_inference.pages.app import create_pages
from vertex_model_inference.pages.asset_source import AssetSource
from vertex_model_inference.pages.costs import Costs
from vertex_model_inference.pages.open_runs import OpenRuns
from vertex_model_inference.pages.picture_cache import PictureCache
from vertex_model_inference.pages.rendering import Renderer
from vertex_model_inference.pages.shelf import Shelf, open_shelf
from vertex_model_inference.pages.site import Site
from vertex_model_inference.runs.surroundings import open_artifacts
from vertex_model_inference.settings import Settings
from vertex_model_inference.vertex.identity import IapVerifier

__all__ = ["access_of", "pages_of"]


def access_of(settings: Settings, token: str | None) -> Access:
    """Who may look: by this token, and through Identity-Aware Proxy where its audience is set."""
    audience = settings.pages_iap_audience
    return Access(token, None if audience is None else IapVerifier(audience))


def pages_of(
    settings: Settings,
    access: Access,
    folder: Path | None = None,
    *,
    actions: Actions | None = None,
    connect: Callable[[], Labelbox] | None = None,
) -> ASGIApp:
    """The pages.

    Args:
        settings: What is in force.
        access: Who may look.
        folder: Where the runs are; None: where the settings put them.
        actions: What can be done besides looking; None: nothing.
        connect: Makes a gateway to Labelbox, for rows that are sent to a project; None: none are.

    Raises:
        NotFoundError: There are no runs in that folder.
    """
    shelf = Shelf(open_artifacts(settings)) if folder is None else open_shelf(folder)
    caches = _caches(settings)
    return create_pages(
        Site(
            shelf=shelf,
            access=access,
            render=Renderer(),
            settings=settings,
            runs=OpenRuns(shelf, caches / "rows"),
            assets=AssetSource(settings, shelf.store),
            pictures=PictureCache(caches / "pictures"),
            costs=Costs(shelf),
            actions=actions,
            connect=connect,
        )
    )


def _caches(settings: Settings) -> Path:
    """Where what can be made again is kept: the data folder, or a new folder where that cannot be written."""
    folder = settings.data_dir.absolute() / "pages"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return Path(tempfile.mkdtemp(prefix="vmi-pages-"))
