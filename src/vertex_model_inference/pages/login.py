"""Signing in and out."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from vertex_model_inference.errors import RequestError
from vertex_model_inference.pages.access import form_of
from vertex_model_inference.pages.rendering import HEADERS
from vertex_model_inference.pages.site import Site

__all__ = ["local_path", "login_routes"]

_WRONG_S = 0.5
"""A wrong token is answered this late; the token's length is what keeps guessing hopeless."""


def local_path(address: str) -> str:
    """The path on this server that an address names; ``/`` for anything that leads elsewhere."""
    if not address.startswith("/") or address.startswith(("//", "/\\")) or any(ord(c) < 32 for c in address):
        return "/"
    parts = urlsplit(address)
    return "/" if parts.scheme or parts.netloc else address


def login_routes(site: Site) -> list[Route]:
    """``/login`` and ``/logout``."""

    def show(request: Request) -> Response:
        to = local_path(request.query_params.get("to", "/"))
        if request.state.visitor is not None:
            return RedirectResponse(to, 303, HEADERS)
        return site.render.page(request, "login.html", to=to, wrong=False, by_token=site.access.by_token)

    async def enter(request: Request) -> Response:
        fields = await form_of(request)
        to = local_path(fields.get("to", "/"))
        if not site.access.right(fields.get("token", "").strip()):
            await asyncio.sleep(_WRONG_S)
            return site.render.page(request, "login.html", 403, to=to, wrong=True, by_token=site.access.by_token)
        cookie = site.access.cookie(site.access.session(), secure=_secure(request))
        return RedirectResponse(to, 303, {**HEADERS, "Set-Cookie": cookie})

    async def leave(request: Request) -> Response:
        await form_of(request)
        return RedirectResponse("/login", 303, {**HEADERS, "Set-Cookie": site.access.cookie("", secure=False)})

    async def login(request: Request) -> Response:
        if request.method != "POST":
            return show(request)
        if request.state.visitor is not None:
            # Signed in already: nothing is at stake, and the form of the login page has no word of the session.
            raise RequestError("You are signed in already.", code="signed_in", hint="Go to the runs.")
        return await enter(request)

    return [
        Route("/login", login, methods=["GET", "POST"]),
        Route("/logout", leave, methods=["POST"]),
    ]


def _secure(request: Request) -> bool:
    return request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
