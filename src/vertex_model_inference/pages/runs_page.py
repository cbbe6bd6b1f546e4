"""``/``: every run, the newest first."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vertex_model_inference.outcomes import Counts
from vertex_model_inference.pages.site import Site
from vertex_model_inference.runs.cancel import abandoned
from vertex_model_inference.runs.reading import seconds_since
from vertex_model_inference.runs.status import RunState, RunStatus

__all__ = ["STATES", "Part", "RunLine", "line_of", "parts_of", "runs_routes"]

_A_PAGE = 50
STATES = {
    RunState.QUEUED: ("Queued", "live"),
    RunState.EXPORTING: ("Exporting data", "live"),
    RunState.PREPARING: ("Preparing data", "live"),
    RunState.PREDICTING: ("Predicting", "live"),
    RunState.COMPLETE: ("Complete", "good"),
    RunState.FAILED: ("Failed", "bad"),
    RunState.CANCELLED: ("Cancelled", "warn"),
    RunState.STOPPED: ("Stopped by a budget", "warn"),
}
"""Of each state: words for people, and the colour's class."""


class Part(NamedTuple):
    """A part of the outcomes bar: its outcome, rows, and where it begins and how wide it is, of 100."""

    outcome: str
    rows: int
    start: float
    width: float


class RunLine(NamedTuple):
    """A run in the list.

    Attributes:
        name: Of the run. ``model``: the menu's entry. ``model_run``: Labelbox's id.
        word: Of its state; ``tone``: class of its colour; ``running``: it has not ended.
        abandoned: Nobody works on it any more, and it has not ended.
        rows: Exported so far. ``done``: with an outcome. ``bar``: of the outcomes.
        created: RFC 3339. ``seconds``: it took, or takes so far.
        message: Its last words.
    """

    name: str
    model: str
    model_run: str
    word: str
    tone: str
    running: bool
    abandoned: bool
    rows: int
    done: int
    counts: Counts
    bar: tuple[Part, ...]
    created: str
    seconds: float | None
    message: str


def parts_of(counts: Counts, rows: int) -> tuple[Part, ...]:
    """The outcomes bar of a run: predicted, empty, skipped and failed, as parts of the rows exported so far."""
    whole = max(rows, counts.ended, 1)
    found = []
    start = 0.0
    for outcome in ("predicted", "empty", "skipped", "failed"):
        rows_of = getattr(counts, outcome)
        if rows_of:
            width = 100 * rows_of / whole
            found.append(Part(outcome, rows_of, round(start, 3), round(width, 3)))
            start += width
    return tuple(found)


def seconds_of(status: RunStatus) -> float | None:
    """How long a run took, or takes so far; None: it does not say."""
    try:
        if status.ended_at is None:
            return seconds_since(status.created_at)
        begun = datetime.fromisoformat(status.created_at)
        return (datetime.fromisoformat(status.ended_at) - begun).total_seconds()
    except (ValueError, TypeError):
        return None


def left_alone(status: RunStatus) -> bool:
    """Whether a run has not ended and no process works on it any more; never raises."""
    try:
        return abandoned(status)
    except (ValueError, TypeError):
        return False


def line_of(status: RunStatus) -> RunLine:
    """A run as the list shows it."""
    word, tone = STATES.get(status.state, (status.state.value.replace("_", " ").capitalize(), "warn"))
    left = left_alone(status)
    return RunLine(
        name=status.run_id,
        model=status.option,
        model_run=status.model_run_id,
        word="Abandoned" if left else word,
        tone="warn" if left else tone,
        running=not status.state.ended,
        abandoned=left,
        rows=status.rows,
        done=status.counts.ended,
        counts=status.counts,
        bar=parts_of(status.counts, status.rows),
        created=status.created_at,
        seconds=seconds_of(status),
        message=status.message or "",
    )


def runs_routes(site: Site) -> list[Route]:
    """The list of runs."""

    def runs(request: Request) -> Response:
        query = request.query_params.get("q", "").strip()[:200]
        state = request.query_params.get("state", "")
        statuses = {status.run_id: status for status in site.shelf.statuses()}
        lines = [line_of(status) for status in statuses.values()]
        total = len(lines)
        words = query.casefold().split()
        if words:
            lines = [
                line
                for line in lines
                if all(word in f"{line.name} {line.model} {line.model_run} {line.word}".casefold() for word in words)
            ]
        if state:
            lines = [line for line in lines if _is(line, state)]
        page = _page(request.query_params.get("page", "1"), len(lines))
        shown = lines[(page - 1) * _A_PAGE : page * _A_PAGE]
        costs, pending = site.costs.known([statuses[line.name] for line in shown])
        kept = {key: value for key, value in (("q", query), ("state", state)) if value}
        values: dict[str, Any] = {
            "runs": shown,
            "total": total,
            "found": len(lines),
            "q": query,
            "state": state,
            "shared": site.settings.shared_database,
            "page": page,
            "pages": max(1, -(-len(lines) // _A_PAGE)),
            "running": any(line.running and not line.abandoned for line in shown),
            "costs": costs,
            "costs_pending": pending,
            "link": lambda number: f"/?{urlencode({**kept, 'page': number})}",
        }
        if "fragment" in request.query_params:
            return site.render.page(request, "_runs.html", **values)
        return site.render.page(request, "runs.html", **values)

    return [Route("/", runs)]


def _is(line: RunLine, state: str) -> bool:
    if state == "running":
        return line.running
    if state == "failed":
        return line.tone == "bad" or line.counts.failed > 0
    return state == "complete" and line.tone == "good"


def _page(text: str, found: int) -> int:
    pages = max(1, -(-found // _A_PAGE))
    return min(max(int(text), 1), pages) if text.isascii() and text.isdigit() and len(text) < 9 else 1
