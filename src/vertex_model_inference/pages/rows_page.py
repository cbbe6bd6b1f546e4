"""``/runs/RUN/rows``: a gallery of a run's rows; ``/runs/RUN/rows/ROW``: one of them; their ids as CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from vertex_model_inference.annotations import Checklist, FreeText, Radio
from vertex_model_inference.labelbox.gateway import BATCH_ROWS
from vertex_model_inference.pages import row_query
from vertex_model_inference.pages.open_runs import OpenRun
from vertex_model_inference.pages.pictures_page import SIDES, still_of
from vertex_model_inference.pages.rendering import HEADERS
from vertex_model_inference.pages.row_files import RowFacts
from vertex_model_inference.pages.row_filters import AGREEMENTS, ORDERS, OUTCOMES, SPLITS, Filters, read_filters
from vertex_model_inference.pages.row_query import IndexedRow, Sweep
from vertex_model_inference.pages.row_records import bucket_of
from vertex_model_inference.pages.row_view import RowView, view_of
from vertex_model_inference.pages.runs_page import line_of
from vertex_model_inference.pages.site import Site
from vertex_model_inference.pages.verdicts import verdicts_of

__all__ = ["rows_routes"]

_A_PAGE = 48
_READERS = 8
_MOST_CLASSES = 400
_EXPORTED = ("data_row_id", "global_key", "split", "outcome", "code", "error", "lowest_confidence")


def rows_routes(site: Site) -> list[Route]:
    """The gallery, a row, and the export of ids."""
    pool = ThreadPoolExecutor(_READERS, thread_name_prefix="vmi-pages-rows")

    def gallery(request: Request) -> Response:
        run = site.runs.open(request.path_params["run"])
        filters = read_filters(request.query_params)
        after, before = request.query_params.get("after", "")[:80], request.query_params.get("before", "")[:80]
        with run.rows.reading() as db:
            found = row_query.page(db, filters, _A_PAGE, after=after, before=before)
            values: dict[str, Any] = {
                "total": row_query.count(db, Filters()),
                "found": row_query.count(db, filters),
                "outcomes": row_query.ends(db, "outcome"),
                "splits": row_query.ends(db, "split"),
                "classes": row_query.classes(db),
                "sweep": row_query.sweep(db, filters),
            }
        facts = site.runs.facts(run, found.rows)
        views = list(pool.map(lambda each: view_of(each, site.assets, card=True), facts))
        values |= {
            "rows": views,
            "page": found,
            "pending": "" if run.fresh else _progress(run),
            "problem": run.rows.problem,
            "features": list(dict.fromkeys(one.feature for one in values["classes"])),
            "many_classes": len(values["classes"]) > _MOST_CLASSES,
            "can": site.actions is not None,
            "can_send": site.connect is not None,
            "batch_rows": BATCH_ROWS,
            "project": site.settings.labelbox_project or "",
            "done": request.query_params.get("done", "")[:400],
            **_words(run, filters),
        }
        return site.render.page(request, "rows.html", **values)

    def one(request: Request) -> Response:
        run = site.runs.open(request.path_params["run"])
        filters = read_filters(request.query_params)
        row = site.runs.row(run, request.path_params["row"])
        with run.rows.reading() as db:
            before, after = row_query.neighbours(db, filters, row)
        facts = site.runs.facts(run, [row])[0]
        page, frame = _number(request, "page"), _number(request, "frame")

        def size() -> tuple[float, float]:
            still = still_of(site, facts, SIDES["page"], page=page, frame=frame)
            return still.width, still.height

        view = view_of(facts, site.assets, card=False, page=page, frame=frame, size=size)
        return site.render.page(
            request,
            "row.html",
            view=view,
            before=before,
            after=after,
            sweep=_own_sweep(view),
            objects=_objects(facts),
            **_words(run, filters),
        )

    def export(request: Request) -> Response:
        run = site.runs.open(request.path_params["run"])
        filters = read_filters(request.query_params)
        form = request.url.path.rpartition(".")[2]
        lines = _csv(run, filters) if form == "csv" else _json(run, filters)
        name = f"{request.path_params['run']}-rows.{form}"
        headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
        kind = "text/csv; charset=utf-8" if form == "csv" else "application/json"
        return StreamingResponse(lines, 200, headers, kind)

    return [
        Route("/runs/{run}/rows", gallery),
        Route("/runs/{run}/rows.csv", export),
        Route("/runs/{run}/rows.json", export),
        Route("/runs/{run}/rows/{row}", one),
    ]


def _progress(run: OpenRun) -> str:
    return f"Reading the run's files: {run.rows.done:,} of {run.rows.total:,} are done."


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 8 and int(text) > 0 else None


def _csv(run: OpenRun, filters: Filters) -> Iterator[str]:
    """The rows of a view, a line each; texts are as they are, also where a spreadsheet would take one for a formula."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(_EXPORTED)
    with run.rows.reading() as db:
        for row in row_query.every(db, filters):
            writer.writerow(_exported(row))
            if out.tell() > 1 << 16:
                yield out.getvalue()
                out.seek(0)
                out.truncate()
    yield out.getvalue()


def _json(run: OpenRun, filters: Filters) -> Iterator[bytes]:
    """The rows of a view, a JSON array of objects."""
    start = b"["
    with run.rows.reading() as db:
        for row in row_query.every(db, filters):
            yield start + msgspec.json.encode(dict(zip(_EXPORTED, _exported(row), strict=True)))
            start = b",\n"
    yield b"]\n" if start != b"[" else b"[]\n"


def _exported(row: IndexedRow) -> tuple[object, ...]:
    return row.id, row.key, row.split, row.outcome, row.code, row.error, row.least


def _own_sweep(view: RowView) -> Sweep:
    """That of one row, for its slider."""
    numbers = view.confidences.split()
    right, judged = [0] * 101, [0] * 101
    for confidence, hit in zip(numbers[::2], numbers[1::2], strict=True):
        place = bucket_of(float(confidence))
        judged[place] += 1
        right[place] += int(hit)
    return Sweep(tuple(right), tuple(judged), view.labels)


class _Thing(msgspec.Struct, frozen=True):
    """A shape or span in the list beside a row's picture."""

    side: str
    index: int
    name: str
    confidence: float | None
    verdict: str


def _objects(facts: RowFacts) -> list[_Thing]:
    """What has a place in the asset."""
    verdicts = verdicts_of(facts.agreement)
    found: list[_Thing] = []
    for side, given, known in (
        ("label", facts.labels or (), verdicts.labels.objects),
        ("prediction", facts.predictions, verdicts.predictions.objects),
    ):
        mine = [
            _Thing(side, index, each.name, each.confidence, known.get(index, ""))  # type: ignore[attr-defined]
            for index, each in enumerate(given)
            if each is not None and not isinstance(each, Radio | Checklist | FreeText)
        ]
        found += mine
    # What is wrong comes first, then predictions, the surest first.
    return sorted(
        found,
        key=lambda one: (
            one.verdict not in ("confused", "false_alarm", "missed"),
            one.side == "label",
            -1.0 if one.confidence is None else -one.confidence,
        ),
    )


def _words(run: OpenRun, filters: Filters) -> dict[str, Any]:
    """What the templates need to name and link things."""
    return {
        "run": line_of(run.status),
        "filters": filters,
        "OUTCOMES": OUTCOMES,
        "SPLITS": SPLITS,
        "AGREEMENTS": AGREEMENTS,
        "ORDERS": ORDERS,
        "link": lambda **changes: f"/runs/{run.status.run_id}/rows?{filters.query(**changes)}".rstrip("?"),
    }
