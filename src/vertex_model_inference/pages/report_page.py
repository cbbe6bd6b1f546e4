"""``/runs/RUN/report.html``: the report of a run, to download."""

from __future__ import annotations

import threading

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vertex_model_inference.errors import ConflictError
from vertex_model_inference.pages.rendering import HEADERS
from vertex_model_inference.pages.report import make_report
from vertex_model_inference.pages.site import Site

__all__ = ["report_routes"]

_PATIENCE_S = 60.0


def report_routes(site: Site) -> list[Route]:
    """The report as a file."""
    # One at a time: each reads all outcomes and makes some thirty pictures.
    making = threading.Lock()

    def report(request: Request) -> Response:
        name: str = request.path_params["run"]
        site.shelf.status(name)
        if not making.acquire(timeout=_PATIENCE_S):
            raise ConflictError("Another report is being made.", hint="Try again in a minute.")
        try:
            made = make_report(
                site.shelf.store,
                site.shelf.files(name),
                site.settings,
                split=request.query_params.get("split") or None,
                source=site.assets,
            )
        finally:
            making.release()
        # Names of runs are letters, digits, dots, dashes and underscores (``Shelf.files``).
        headers = {**HEADERS, "Content-Disposition": f'attachment; filename="report-{name}.html"'}
        return Response(made.html, 200, headers, "text/html; charset=utf-8")

    return [Route("/runs/{run}/report.html", report)]
