"""Pages out of templates: one place for the words of numbers, and for the headers that keep a page to itself."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vertex_model_inference import __version__
from vertex_model_inference.pages.words import confidence, figure, signed

__all__ = ["HERE", "STATIC", "Renderer", "age", "duration", "environment", "number", "per_second", "percent", "score"]

HERE = Path(__file__).parent
STATIC = {
    path.name: {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}[path.suffix]
    for path in sorted((HERE / "static").iterdir())
    if path.suffix in (".css", ".js")
}
"""Names of the files under ``/static/`` and their types; nothing else is served from there."""

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def number(value: float) -> str:
    """``12,345``."""
    return f"{value:,}"


def percent(value: float | None) -> str:
    """A share 0..1 as ``97 %`` or ``0.4 %``; nothing for None."""
    if value is None:
        return ""
    return f"{value:.0%}" if value in (0, 1) or value >= 0.1 else f"{value:.1%}"


def score(value: float | None) -> str:
    """A confidence or rate 0..1 as ``0.97``; nothing for None."""
    return "" if value is None else f"{value:.2f}"


def duration(seconds: float | None) -> str:
    """``0.4 s``, ``42 s``, ``3 min 05 s``, ``2 h 10 min``, ``3 d 4 h``; nothing for None."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def per_second(value: float | None) -> str:
    """Rows a second: ``1,234``, ``9.3``, ``0.05``; nothing for None."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def age(moment: str | None) -> str:
    """How long ago a moment (RFC 3339) was: ``just now``, ``5 min ago``; nothing where there is none."""
    if not moment:
        return ""
    try:
        seconds = (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
    except (ValueError, TypeError):
        return ""
    for least, size, word in ((172800, 86400, "days"), (7200, 3600, "hours"), (60, 60, "min")):
        if seconds >= least:
            return f"{int(seconds // size)} {word} ago"
    return "just now"


def environment() -> jinja2.Environment:
    """The templates with their filters: everything is escaped, and an unknown name is an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    content = b"".join((HERE / "static" / name).read_bytes() for name in STATIC)
    made.globals |= {"version": hashlib.blake2b(content, digest_size=6).hexdigest(), "release": __version__}
    made.filters |= {
        "number": number,
        "percent": percent,
        "score": score,
        "duration": duration,
        "age": age,
        "rate": figure,
        "per_second": per_second,
        "signed": signed,
        "sure": confidence,
        "json": lambda value: msgspec.json.encode(value).decode(),
    }
    return made


class Renderer:
    """Makes answers out of templates."""

    def __init__(self) -> None:
        self._environment = environment()

    def text(self, name: str, **values: Any) -> str:
        """A template filled in."""
        return self._environment.get_template(name).render(**values)

    def page(self, request: Request, name: str, http_status: int = 200, **values: Any) -> Response:
        """A page. Templates see the visitor as ``visitor`` (see ``access.Visitor``; None: nobody has signed in)."""
        visitor = request.scope.get("state", {}).get("visitor")
        text = self.text(name, visitor=visitor, **values)
        return Response(text, http_status, HEADERS, "text/html; charset=utf-8")
