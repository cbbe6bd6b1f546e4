"""Who may look: a token that is typed once, or Google's Identity-Aware Proxy in front. Everything else is shut.

A session is a cookie that is signed and holds nothing but its own end: restarts keep it, a changed token ends it.
Whoever changes something sends, besides, a word that only a page of ours can know (``Visitor.csrf``).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from vertex_model_inference.errors import RequestError
from vertex_model_inference.pages.rendering import HEADERS

__all__ = ["COOKIE", "IAP_HEADER", "Access", "Guard", "Visitor", "form_of"]

COOKIE = "vmi_session"
IAP_HEADER = "x-goog-iap-jwt-assertion"
_SESSION_S = 12 * 3600
_FORM_BYTES = 64 << 10
_OPEN = ("/login", "/static/")
_AGAIN = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>vmi</title>'
    '<meta http-equiv="refresh" content="0"></head><body></body></html>'
)


class Visitor(NamedTuple):
    """Who looks.

    Attributes:
        name: For people: an address that Google vouches for, or ``operator``.
        csrf: What forms of this visitor's pages must send back.
        signed_in: By a token, so that signing out means something.
    """

    name: str
    csrf: str
    signed_in: bool


class Access:
    """Decides who may look.

    Args:
        token: What is typed to sign in; None: nobody can (then there is ``iap``).
        iap: Gives the address that a signed assertion of Identity-Aware Proxy vouches for, or None where it is not
            good. Called in a thread.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        token: str | None,
        iap: Callable[[str], str | None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        # Without a token a random key still signs the words of forms.
        secret = (token or secrets.token_urlsafe(32)).encode()
        self._token = None if token is None else _digest(token)
        self._key = hmac.digest(secret, b"vmi pages session", "sha256")
        self.iap = iap
        self._clock = clock

    @property
    def by_token(self) -> bool:
        """Whether a token lets in."""
        return self._token is not None

    def right(self, token: str) -> bool:
        """Whether this is the token; takes as long for a wrong one."""
        return self._token is not None and hmac.compare_digest(self._token, _digest(token))

    def session(self) -> str:
        """A new session, as the cookie holds it."""
        head = f"{int(self._clock()) + _SESSION_S}.{secrets.token_urlsafe(12)}"
        return f"{head}.{self._sign('session', head)}"

    def cookie(self, value: str, *, secure: bool) -> str:
        """The ``Set-Cookie`` header of a session; an empty one ends it."""
        end = f"Max-Age={_SESSION_S if value else 0}"
        return f"{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; {end}{'; Secure' if secure else ''}"

    def of_session(self, value: str) -> Visitor | None:
        """The visitor of a session; None: it is not one of ours, or has ended."""
        head, _, mark = value.rpartition(".")
        end, _, _ = head.partition(".")
        if not hmac.compare_digest(self._sign("session", head).encode(), mark.encode()):
            return None
        if not end.isascii() or not end.isdigit() or int(end) < self._clock():
            return None
        return Visitor("operator", self._sign("form", head), signed_in=True)

    def of_assertion(self, assertion: str) -> Visitor | None:
        """The visitor whom Identity-Aware Proxy vouches for; None: it is not good. May ask Google for its keys."""
        address = None if self.iap is None else self.iap(assertion)
        return None if address is None else Visitor(address, self._sign("form", address), signed_in=False)

    def _sign(self, what: str, text: str) -> str:
        return hmac.new(self._key, f"{what}\n{text}".encode(), hashlib.sha256).hexdigest()


class Guard:
    """An app around the pages that lets nobody past who has not signed in.

    The visitor becomes ``request.state.visitor``.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or turn it away."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        visitor = await self._visitor(headers)
        scope.setdefault("state", {})["visitor"] = visitor
        path = _path(scope)
        if visitor is None and not (path == _OPEN[0] or path.startswith(_OPEN[1])):
            await _shut(scope, headers)(scope, receive, send)
            return
        if scope["method"] not in ("GET", "HEAD") and not _from_here(headers):
            await _refused("This was not sent by a page of this server.")(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _visitor(self, headers: Headers) -> Visitor | None:
        for header in headers.getlist("cookie"):
            try:
                found = SimpleCookie(header).get(COOKIE)
            except CookieError:
                continue
            visitor = None if found is None else self._access.of_session(found.value)
            if visitor is not None:
                return visitor
        assertion = headers.get(IAP_HEADER)
        if assertion and self._access.iap is not None:
            return await run_in_threadpool(self._access.of_assertion, assertion)
        return None


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form that was sent.

    Raises:
        RequestError: ``bad_form``: not a form, or larger than 64 KiB; ``csrf``: the visitor's word is missing or wrong.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise RequestError("The body is not a form.", code="bad_form")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _FORM_BYTES:
            raise RequestError("The form is larger than 64 KiB.", code="bad_form")
    try:
        fields = dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=100))
    except ValueError:
        raise RequestError("The body is not a form.", code="bad_form") from None
    visitor: Visitor | None = request.state.visitor
    if visitor is not None and not hmac.compare_digest(fields.get("csrf", "").encode(), visitor.csrf.encode()):
        raise RequestError(
            "The form was not sent by a page of this session.", code="csrf", hint="Open the page again and repeat."
        )
    return fields


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _from_here(headers: Headers) -> bool:
    """Whether the browser says that one of our own pages sends this. Who says nothing is no browser of today."""
    if headers.get("sec-fetch-site") not in (None, "same-origin"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


def _shut(scope: Scope, headers: Headers) -> Response:
    """The way to the login; programs and scripts get a plain refusal."""
    page = scope["method"] in ("GET", "HEAD") and headers.get("sec-fetch-mode") in (None, "navigate")
    if not page or "text/html" not in headers.get("accept", ""):
        return PlainTextResponse("Sign in first: open this server's /login in a browser.\n", 401, HEADERS)
    if headers.get("sec-fetch-site") == "cross-site":
        # A strict cookie does not come along on a link from elsewhere (Labelbox, a mail); it does on our own reload.
        return Response(_AGAIN, 200, HEADERS, "text/html; charset=utf-8")
    query = scope.get("query_string", b"").decode("latin-1")
    target = _path(scope) + (f"?{query}" if query else "")
    return RedirectResponse(f"/login?to={quote(target, safe='')}" if target != "/" else "/login", 303, HEADERS)


def _refused(words: str) -> Response:
    return PlainTextResponse(f"{words}\n", 403, HEADERS)
