"""The page's addresses: ``/``, ``/runs/ID``, ``/runs/ID/rows/DATA_ROW``; nothing comes from other hosts."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import jinja2
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vertex_model_inference.sandbox.labelbox.control import webhook
from vertex_model_inference.sandbox.labelbox.page.rows import SHOWS, SPLITS, Filters, one_row, row_page
from vertex_model_inference.sandbox.labelbox.page.runs import STAGES, CountsCache, run_view

if TYPE_CHECKING:
    from vertex_model_inference.sandbox.labelbox.app import Server
    from vertex_model_inference.sandbox.labelbox.store import Row

__all__ = ["page_routes"]

_HERE = Path(__file__).parent
_STATIC = {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}
_RUNS_A_PAGE = 50
_MOST_MODELS = 200
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src http: https: data:",  # data rows are wherever their owner put them
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)


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
    store = server.store

    def render(name: str, status: int = 200, **values: Any) -> Response:
        hook = webhook(store)
        text = environment.get_template(name).render(
            webhook_url=hook["url"] or "", webhook_has_secret=bool(hook["secret"]), **values
        )
        headers = {
            "Content-Security-Policy": _POLICY,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(text, status, headers, "text/html; charset=utf-8")

    def missing(what: str) -> Response:
        return render("missing.html", 404, what=what)

    def find(run_id: str) -> tuple[Row, Row] | None:
        run = store.runs.get(run_id)
        model = None if run is None else store.runs.model(run["model_id"])
        return None if run is None or model is None else (run, model)

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

    def run(request: Request) -> Response:
        found = find(request.path_params["run_id"])
        if found is None:
            return missing("model run")
        row, model = found
        filters = _filters(request)
        page = row_page(server, row["id"], filters)
        values: dict[str, Any] = {
            "run": run_view(server, cache, row, model["name"]),
            "page": page,
            "filters": filters,
            "stages": STAGES,
            "splits": SPLITS,
            "query": lambda **changes: _query(filters, **changes),
            "here": _query(filters, after=filters.after),
        }
        return render("_rows.html" if "fragment" in request.query_params else "run.html", **values)

    def status(request: Request) -> Response:
        found = find(request.path_params["run_id"])
        if found is None:
            return JSONResponse({"error": "There is no such model run."}, 404)
        view = run_view(server, cache, found[0], found[1]["name"])
        value: dict[str, Any] = {"running": view.running, "status": view.status, "stamp": view.stamp}
        if request.query_params.get("stamp") != view.stamp:
            value["html"] = environment.get_template("_status.html").render(run=view, stages=STAGES)
            value["predictions"] = view.counts.predictions
        return JSONResponse(value, headers={"Cache-Control": "no-store"})

    def row(request: Request) -> Response:
        found = find(request.path_params["run_id"])
        if found is None:
            return missing("model run")
        view = one_row(server, found[0]["id"], request.path_params["data_row_id"])
        if view is None:
            return missing("data row")
        template = "_row.html" if "fragment" in request.query_params else "row.html"
        return render(template, run_id=found[0]["id"], run_name=found[0]["name"], row=view)

    def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _STATIC:
            return missing("file")
        content = (_HERE / "static" / name).read_bytes()
        return Response(content, headers={"Cache-Control": "max-age=31536000"}, media_type=_STATIC[name])

    def threaded(handler: Any) -> Any:
        async def endpoint(request: Request) -> Response:
            answer: Response = await server.in_thread(handler, request)
            return answer

        return endpoint

    return [
        Route("/", threaded(index), methods=["GET"]),
        Route("/runs/{run_id}", threaded(run), methods=["GET"]),
        Route("/runs/{run_id}/status.json", threaded(status), methods=["GET"]),
        Route("/runs/{run_id}/rows/{data_row_id}", threaded(row), methods=["GET"]),
        Route("/page/{name}", threaded(static), methods=["GET"]),
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
