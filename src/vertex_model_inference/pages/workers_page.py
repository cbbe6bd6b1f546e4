"""``/workers``: who works on runs, and on what, where the engine's database is one that several machines share."""

from __future__ import annotations

from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vertex_model_inference.pages.site import Site
from vertex_model_inference.runs.workers import Worker, read_workers

__all__ = ["workers_routes"]

_RECENT_S = 3600.0
_STATES = {
    "alive": ("Alive", "good"),
    "silent": ("Silent", "warn"),
    "lost": ("Lost", "bad"),
    "left": ("Told to stop", "quiet"),
}


class _Line(NamedTuple):
    """A worker in the list; as ``runs_page.RunLine``, as far as the state's pill needs it."""

    worker: Worker
    word: str
    tone: str
    running: bool = False
    abandoned: bool = False


def workers_routes(site: Site) -> list[Route]:
    """The list of workers."""

    def workers(request: Request) -> Response:
        found = read_workers(site.settings)  # SQLite: says so, and what to do
        lines = [
            _Line(each, *_STATES.get(each.state, (each.state, "warn")))
            for each in found.workers
            if each.ended_s is None or each.ended_s < _RECENT_S
        ]
        name = "_workers.html" if "fragment" in request.query_params else "workers.html"
        return site.render.page(request, name, lines=lines, found=found)

    return [Route("/workers", workers)]
