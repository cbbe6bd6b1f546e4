"""The page's addresses: ``/``, ``/projects``, ``/runs/ID``, ``/projects/ID`` and the data rows below the latter two.

Nothing but data rows' own assets comes from other hosts.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import jinja2
import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vertex_model_inference.sandbox.labelbox.control import webhook
from vertex_model_inference.sandbox.labelbox.fetch import FetchError
from vertex_model_inference.sandbox.labelbox.page.annotated import Owner
from vertex_model_inference.sandbox.labelbox.page.media import WIDTHS, Media
from vertex_model_inference.sandbox.labelbox.page.pictures import PictureError
from vertex_model_inference.sandbox.labelbox.page.projects import ProjectView, project_view
from vertex_model_inference.sandbox.labelbox.page.rows import SHOWS, SPLITS, Filters, data_row, one_row, row_page
from vertex_model_inference.sandbox.labelbox.page.runs import STAGES, CountsCache, RunView, run_view
from vertex_model_inference.sandbox.labelbox.store import Row

if TYPE_CHECKING:
    from vertex_model_inference.sandbox.labelbox.app import Server

__all__ = ["page_routes"]

_HERE = Path(__file__).parent
_SCRIPT = "text/javascript; charset=utf-8"
_STATIC = {"page.css": "text/css; charset=utf-8", "page.js": _SCRIPT, "film.js": _SCRIPT}
_WHAT = {"runs": "model run", "projects": "project"}
_RUNS_A_PAGE = 50
_MOST_MODELS = 200
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src http: https: data:",  # data rows are wherever their owner put them
        "media-src http: https:",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)

_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _Found(NamedTuple):
    """A model run or project, its row, and its name (of a run: its model's name)."""

    owner: Owner
    row: Row
    title: str

    @property
    def base(self) -> str:
        return f"/{'projects' if self.owner.project else 'runs'}/{self.owner.id}"


def _number(value: float) -> str:
    return f"{value:,}"


def _percent(value: float) -> str:
    return f"{value:.0%}" if value in (0, 1) or value >= 0.1 else f"{value:.1%}"


def _score(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, (int, float)) else ""


def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    content = b"".join((_HERE / "static" / name).read_bytes() for name in _STATIC)
    made.globals["version"] = hashlib.blake2b(content, digest_size=6).hexdigest()
    made.filters |= {"number": _number, "percent": _percent, "score": _score}
    return made


def _query(filters: Filters, **changes: Any) -> str:
    values = {"split": filters.split, "show": filters.show, "after": 0, **changes}
    return urlencode({name: value for name, value in values.items() if value})


def page_routes(server: Server) -> list[Route]:
    """The routes, for the server's app. Like ``/_sandbox`` they need no key: the server is on loopback."""
    environment = _environment()
    cache = CountsCache()
    media = Media(server)
    store = server.store

    def render(name: str, status: int = 200, **values: Any) -> Response:
        hook = webhook(store)
        text = environment.get_template(name).render(
            webhook_url=hook["url"] or "", webhook_has_secret=bool(hook["secret"]), **values
        )
        return Response(text, status, _HEADERS, "text/html; charset=utf-8")

    def missing(what: str) -> Response:
        return render("missing.html", 404, what=what)

    def find(request: Request) -> _Found | None:
        """The model run or project that the address names."""
        kind, name = request.path_params["kind"], request.path_params["owner_id"]
        if kind == "projects":
            project = store.projects.get(name)
            return None if project is None else _Found(Owner(name, project=True), project, project["name"])
        run = store.runs.get(name)
        model = None if run is None else store.runs.model(run["model_id"])
        return None if run is None or model is None else _Found(Owner(name), run, model["name"])

    def head(found: _Found) -> RunView | ProjectView:
        if found.owner.project:
            return project_view(store, cache, found.row)
        return run_view(server, cache, found.row, found.title)

    def index(request: Request) -> Response:
        skip = _whole(request.query_params.get("skip"))
        rows = store.runs.page(skip, _RUNS_A_PAGE + 1)
        groups: dict[str, tuple[str, list[Any]]] = {}
        for row in rows[:_RUNS_A_PAGE]:
            group = groups.setdefault(row["model_id"], (row["model_name"], []))
            group[1].append(run_view(server, cache, row, row["model_name"], imports=False))
        bare = []
        if not skip:
            ran = {row["id"] for row in store.database.all("SELECT DISTINCT model_id AS id FROM model_runs")}
            bare = [row["name"] for row in store.runs.models(0, _MOST_MODELS) if row["id"] not in ran]
        following = skip + _RUNS_A_PAGE if len(rows) > _RUNS_A_PAGE else None
        return render("index.html", groups=list(groups.values()), bare=bare, following=following, skip=skip)

    def projects(request: Request) -> Response:
        skip = _whole(request.query_params.get("skip"))
        rows = store.projects.page(skip, _RUNS_A_PAGE + 1)
        views = [project_view(store, cache, row, whole=False) for row in rows[:_RUNS_A_PAGE]]
        following = skip + _RUNS_A_PAGE if len(rows) > _RUNS_A_PAGE else None
        return render("projects.html", projects=views, following=following, skip=skip)

    def owner(request: Request) -> Response:
        found = find(request)
        if found is None:
            return missing(_WHAT[request.path_params["kind"]])
        filters = _filters(request)
        values: dict[str, Any] = {
            "view": head(found),
            "base": found.base,
            "project": found.owner.project,
            "page": row_page(media, store, found.owner, filters),
            "filters": filters,
            "stages": STAGES,
            "splits": SPLITS,
            "query": lambda **changes: _query(filters, **changes),
        }
        whole = "project.html" if found.owner.project else "run.html"
        return render("_rows.html" if "fragment" in request.query_params else whole, **values)

    def status(request: Request) -> Response:
        found = find(request)
        if found is None:
            return JSONResponse({"error": f"There is no such {_WHAT[request.path_params['kind']]}."}, 404)
        view = head(found)
        state = view.status if isinstance(view, RunView) else ""
        value: dict[str, Any] = {"running": view.running, "status": state, "stamp": view.stamp}
        if request.query_params.get("stamp") != view.stamp:
            name = "_project_status.html" if found.owner.project else "_status.html"
            value["html"] = environment.get_template(name).render(view=view, stages=STAGES)
            value["predictions"] = view.counts.predictions
        return JSONResponse(value, headers={"Cache-Control": "no-store"})

    def row(request: Request) -> Response:
        found = find(request)
        if found is None:
            return missing(_WHAT[request.path_params["kind"]])
        view = one_row(media, store, found.owner, request.path_params["data_row_id"])
        if view is None:
            return missing("data row")
        template = "_row.html" if "fragment" in request.query_params else "row.html"
        return render(template, base=found.base, title=found.row["name"], row=view, project=found.owner.project)

    def picture(request: Request) -> Response:
        found = find(request)
        wanted = None if found is None else data_row(store, found.owner, request.path_params["data_row_id"])
        if wanted is None:
            return JSONResponse({"error": "There is no such data row."}, 404)
        number = request.path_params["number"]
        try:
            if request.path_params["part"] == "frames":
                content = media.frame(wanted, number)
            else:
                width = _whole(request.query_params.get("width"))
                content = media.page(wanted, number, width if width in WIDTHS else WIDTHS[0])
        except (PictureError, FetchError) as error:
            return JSONResponse({"error": str(error)}, 404)
        return Response(content, 200, {"Cache-Control": "private, max-age=600"}, "image/jpeg")

    def film(request: Request) -> Response:
        found = find(request)
        view = None if found is None else one_row(media, store, found.owner, request.path_params["data_row_id"])
        if view is None or view.film is None:
            return JSONResponse({"error": "There is no such video."}, 404)
        return Response(msgspec.json.encode(view.film), 200, {"Cache-Control": "no-store"}, "application/json")

    def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _STATIC:
            return missing("file")
        content = (_HERE / "static" / name).read_bytes()
        return Response(content, headers={"Cache-Control": "max-age=31536000"}, media_type=_STATIC[name])

    def threaded(handler: Any, **facts: str) -> Any:
        async def endpoint(request: Request) -> Response:
            request.path_params.update(facts)
            answer: Response = await server.in_thread(handler, request)
            return answer

        return endpoint

    def below(kind: str) -> list[Route]:
        one = f"/{kind}/{{owner_id}}"
        row_of = f"{one}/rows/{{data_row_id}}"
        return [
            Route(one, threaded(owner, kind=kind), methods=["GET"]),
            Route(f"{one}/status.json", threaded(status, kind=kind), methods=["GET"]),
            Route(row_of, threaded(row, kind=kind), methods=["GET"]),
            Route(f"{row_of}/film.json", threaded(film, kind=kind), methods=["GET"]),
            Route(f"{row_of}/pages/{{number:int}}.jpg", threaded(picture, kind=kind, part="pages"), methods=["GET"]),
            Route(f"{row_of}/frames/{{number:int}}.jpg", threaded(picture, kind=kind, part="frames"), methods=["GET"]),
        ]

    return [
        Route("/", threaded(index), methods=["GET"]),
        Route("/projects", threaded(projects), methods=["GET"]),
        Route("/page/{name}", threaded(static), methods=["GET"]),
        *below("runs"),
        *below("projects"),
    ]


def _whole(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 16 else 0


def _filters(request: Request) -> Filters:
    split, show = request.query_params.get("split", ""), request.query_params.get("show", "")
    return Filters(
        split if split in SPLITS else "",
        show if show in SHOWS else "",
        _whole(request.query_params.get("after")),
    )
