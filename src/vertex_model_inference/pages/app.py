"""The pages as an ASGI app: routes, the guard in front of them, and errors in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from vertex_model_inference.errors import (
    ConflictError,
    DatabaseError,
    LabelboxError,
    NotFoundError,
    RequestError,
    RowError,
    SettingsError,
    StorageError,
    VmiError,
)
from vertex_model_inference.pages.access import Guard
from vertex_model_inference.pages.compare_page import compare_routes
from vertex_model_inference.pages.evaluation_page import evaluation_routes
from vertex_model_inference.pages.login import login_routes
from vertex_model_inference.pages.pictures_page import picture_routes
from vertex_model_inference.pages.rendering import HERE, STATIC
from vertex_model_inference.pages.report_page import report_routes
from vertex_model_inference.pages.rows_page import rows_routes
from vertex_model_inference.pages.run_page import run_routes
from vertex_model_inference.pages.runs_page import runs_routes
from vertex_model_inference.pages.sending import sending_routes
from vertex_model_inference.pages.site import Site
from vertex_model_inference.pages.workers_page import workers_routes

__all__ = ["create_pages"]

_STATUS = (
    (NotFoundError, 404),
    (RequestError, 400),
    (RowError, 404),
    (ConflictError, 409),
    (StorageError, 502),
    (LabelboxError, 502),
    (DatabaseError, 503),
    (SettingsError, 404),
)
_A_YEAR = "public, max-age=31536000, immutable"


def create_pages(site: Site, routes: Sequence[BaseRoute] = ()) -> ASGIApp:
    """The pages of a site, for a server's root.

    Args:
        site: What is shown, and to whom.
        routes: More pages.
    """

    def explained(request: Request, error: Exception) -> Response:
        assert isinstance(error, VmiError)
        status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
        return trouble(request, status, error.message, error.hint or "")

    def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        words = "There is no such page." if error.status_code == 404 else f"{error.detail}."
        response = trouble(request, error.status_code, words, "")
        for name, value in (error.headers or {}).items():
            response.headers[name] = value
        return response

    def trouble(request: Request, status: int, message: str, hint: str) -> Response:
        return site.render.page(request, "trouble.html", status, message=message, hint=hint)

    def unexpected(request: Request, _: Exception) -> Response:
        return trouble(request, 500, "Something went wrong in this server.", "The server's log has the cause.")

    handlers: dict[Any, Any] = {VmiError: explained, HTTPException: http_error, Exception: unexpected}
    app = Starlette(
        routes=[
            Route("/static/{name}", _static),
            *login_routes(site),
            *runs_routes(site),
            *workers_routes(site),
            *run_routes(site),
            *evaluation_routes(site),
            *compare_routes(site),
            *report_routes(site),
            *rows_routes(site),
            *sending_routes(site),
            *picture_routes(site),
            *routes,
        ],
        exception_handlers=handlers,
    )
    return Guard(app, site.access)


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in STATIC:
        raise HTTPException(404)
    # The address ends in the hash of the content, so it may be kept for good.
    return Response(
        (HERE / "static" / name).read_bytes(),
        headers={"Cache-Control": _A_YEAR, "X-Content-Type-Options": "nosniff"},
        media_type=STATIC[name],
    )
