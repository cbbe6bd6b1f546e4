"""``/runs/RUN/pictures/ROW``: the picture of a row, made here out of its asset: the browser meets no other host, and
nothing that others wrote reaches it as they wrote it, but pictures that were decoded first.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from vertex_model_inference.errors import AssetError
from vertex_model_inference.pages.row_files import RowFacts
from vertex_model_inference.pages.site import Site
from vertex_model_inference.pages.stills import Still, frame_of_video, page_of_pdf, picture
from vertex_model_inference.rows import MediaType

__all__ = ["SIDES", "picture_routes", "still_of"]

SIDES = {"card": 400, "page": 1600}
"""Longest side in pixels of a picture in the gallery, and on a row's own page."""
_FORM = "1"
_HEADERS = {
    "Cache-Control": "private, max-age=3600",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def still_of(site: Site, facts: RowFacts, side: int, *, page: int | None = None, frame: int | None = None) -> Still:
    """The picture of a row, made once.

    Args:
        site: Where assets are read and pictures kept.
        facts: Of the row.
        side: Longest side in pixels.
        page: Of a document, from 1. ``frame``: of a video, from 1.

    Raises:
        AssetError: It has none, or it cannot be read.
    """
    media = facts.row.media_type
    key = f"{_FORM} {site.assets.identity(facts)} {side} {page if media is MediaType.DOCUMENT else frame}"

    def make() -> Still:
        if media is MediaType.DOCUMENT:
            with site.assets.opened(facts) as file:
                return page_of_pdf(file, page or 1, side)
        if media is MediaType.VIDEO:
            staged = facts.staged
            steady = staged is not None and staged.frame_times is None
            rate = staged.frame_rate if staged is not None and steady else None
            with site.assets.film(facts) as file:
                return frame_of_video(file, frame or 1, side, rate=rate)
        if media is not MediaType.IMAGE:
            raise AssetError(f"A row of {media.value} has no picture.", code="unsupported_media")
        with site.assets.opened(facts) as file:
            return picture(file, side)

    return site.pictures.get(key, make)


def picture_routes(site: Site) -> list[Route]:
    """Pictures of rows."""

    def show(request: Request) -> Response:
        run = site.runs.open(request.path_params["run"])
        facts = site.runs.facts(run, [site.runs.row(run, request.path_params["row"])])[0]
        side = SIDES.get(request.query_params.get("size", ""), SIDES["card"])
        try:
            still = still_of(site, facts, side, page=_number(request, "page"), frame=_number(request, "frame"))
        except AssetError as error:
            return PlainTextResponse(f"{error}\n", 404, {**_HEADERS, "Cache-Control": "no-store"})
        return Response(still.data, 200, _HEADERS, still.mime_type)

    return [Route("/runs/{run}/pictures/{row}", show)]


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 8 and int(text) > 0 else None
