"""``/runs/RUN``: how far a run is, how its rows ended, what went wrong, and with which settings."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from vertex_model_inference.errors import NotFoundError, RequestError
from vertex_model_inference.pages import row_query
from vertex_model_inference.pages.access import form_of
from vertex_model_inference.pages.actions import Actions
from vertex_model_inference.pages.open_runs import OpenRun
from vertex_model_inference.pages.rendering import HEADERS
from vertex_model_inference.pages.row_filters import read_filters
from vertex_model_inference.pages.runs_page import line_of
from vertex_model_inference.pages.site import Site
from vertex_model_inference.runs.status import RunState, RunStatus

__all__ = ["StepLine", "run_routes", "steps_of"]

_WORDS = {
    "export": ("Export", "Labelbox"),
    "assets": ("Assets", "storage and the assets' hosts"),
    "predict": ("Predict", "Vertex AI"),
    "decode": ("Decode and match", "nobody"),
    "upload": ("Upload", "Labelbox"),
}


_MOST_FILES = 2000
_MOST_NAMED = 10_000
_ACTIVE = ("RUNNING", "PENDING", "QUEUED")
"""Parts of the names of states in which a batch job goes on."""


class StepLine(NamedTuple):
    """A step of a run.

    Attributes:
        word: Its name. ``done``: rows that have passed it, of ``whole``; ``share``: of them, 0..1.
        rate: Rows a second while it worked; None: not known.
        seconds: That it worked, over all shards side by side.
        eta: Seconds until all rows exported so far have passed, at the rate so far; None: not known, or done.
        state: ``done``, ``now`` or ``later``.
    """

    word: str
    done: int
    whole: int
    share: float
    rate: float | None
    seconds: float
    eta: float | None
    state: str


def steps_of(status: RunStatus, elapsed: float | None) -> list[StepLine]:
    """The steps with rates, and how long they will take.

    Args:
        status: Of the run.
        elapsed: Seconds since the run began, for the time that is left; None: not known.
    """
    whole = status.rows
    lines = []
    for step, progress in status.steps.items():
        word = _WORDS.get(step, (step.capitalize(), ""))[0]
        done = min(progress.done, whole) if whole else progress.done
        complete = status.state is RunState.COMPLETE or (status.export_complete and whole > 0 and done >= whole)
        if step == "export":
            complete = complete or status.export_complete
        state = "done" if complete else ("now" if done else "later")
        rate = progress.done / progress.seconds if progress.seconds > 0.05 and progress.done else None
        eta = None
        if state == "now" and elapsed and status.export_complete and not status.state.ended:
            eta = (whole - done) / (done / elapsed)
        lines.append(StepLine(word, done, whole, done / whole if whole else 0.0, rate, progress.seconds, eta, state))
    return lines


def waiting_for(status: RunStatus) -> str:
    """Whom the run waits for, in words; nothing when it has ended."""
    if status.state.ended:
        return ""
    if status.state is RunState.QUEUED:
        return "a free place in the queue"
    active = [
        name for name, state in status.jobs.items() if "RUNNING" in state or "PENDING" in state or "QUEUED" in state
    ]
    if active:
        states = sorted({status.jobs[name].removeprefix("JOB_STATE_").lower() for name in active})
        return f"Vertex AI: {len(active)} batch job{'s' if len(active) > 1 else ''} {' and '.join(states)}"
    for step, progress in reversed(status.steps.items()):
        if progress.done < status.rows or (step == "export" and not status.export_complete):
            before = [other for other in status.steps.values() if other.done > progress.done]
            if before or step == "export":
                return _WORDS.get(step, ("", step))[1]
    return ""


def run_routes(site: Site) -> list[Route]:
    """A run's page, its files, and what can be done with it."""

    def run(request: Request) -> Response:
        name, begun = request.path_params["run"], request.query_params.get("begun", "")[:400]
        try:
            opened = site.runs.open(name, wait_s=0.6)
        except NotFoundError:
            if not begun or site.actions is None:
                raise
            # It was begun a moment ago, and writes its first file when its turn comes.
            return site.render.page(request, "queued.html", run=site.shelf.files(name).folder, words=begun)
        values = _view(site, opened)
        if "fragment" in request.query_params:
            return site.render.page(request, "_run.html", **values)
        spec = site.shelf.spec(opened.status.run_id)
        return site.render.page(
            request,
            "run.html",
            settings=None if spec is None else msgspec.json.format(msgspec.json.encode(spec), indent=2).decode(),
            evaluated=site.shelf.store.exists(opened.rows.files.evaluation),
            done=request.query_params.get("done", "")[:400] or begun,
            **values,
        )

    def files(request: Request) -> Response:
        name = request.path_params["run"]
        folder = site.shelf.files(site.shelf.status(name).run_id).folder
        found = sorted(itertools.islice(site.shelf.store.entries(folder), _MOST_FILES + 1))
        listed = [(entry.path.removeprefix(f"{folder}/"), entry.size) for entry in found]
        return site.render.page(
            request,
            "files.html",
            run=line_of(site.shelf.status(name)),
            place=site.shelf.store.uri(folder),
            files=listed[:_MOST_FILES],
            more=len(listed) > _MOST_FILES,
        )

    async def cancel(request: Request) -> Response:
        await form_of(request)
        actions, name = _actions(site), site.shelf.files(request.path_params["run"]).folder.rpartition("/")[2]
        words = await run_in_threadpool(actions.cancel, name, by=request.state.visitor.name)
        return _done(name, words)

    async def retry(request: Request) -> Response:
        fields = await form_of(request)
        actions, name = _actions(site), site.shelf.files(request.path_params["run"]).folder.rpartition("/")[2]
        only = fields.get("only", "failed")
        if only not in ("failed", "retryable", "shown"):
            raise RequestError(f"Rows that are {only[:40]!r} cannot be tried again.", code="bad_form")
        names = await run_in_threadpool(_shown, site, name, fields) if only == "shown" else None
        begin = partial(actions.retry, name, only="failed" if names is not None else only, names=names)
        begun = await run_in_threadpool(begin)
        return _done(begun, f"This run does rows of {name} again.", word="begun")

    return [
        Route("/runs/{run}", run),
        Route("/runs/{run}/files", files),
        Route("/runs/{run}/cancel", cancel, methods=["POST"]),
        Route("/runs/{run}/retry", retry, methods=["POST"]),
    ]


def _actions(site: Site) -> Actions:
    if site.actions is None:
        raise RequestError(
            "These pages only show.", code="read_only", hint="`vmi serve` serves pages that can stop and begin runs."
        )
    return site.actions


def _done(run: str, words: str, *, word: str = "done") -> Response:
    return RedirectResponse(f"/runs/{run}?{urlencode({word: words[:400]})}", 303, HEADERS)


def _shown(site: Site, name: str, fields: dict[str, str]) -> list[str]:
    """Ids of the rows of a view."""
    filters = read_filters(fields)
    with site.runs.open(name).rows.reading() as db:
        names = [row.id for row in itertools.islice(row_query.every(db, filters), _MOST_NAMED + 1)]
    if len(names) > _MOST_NAMED:
        raise RequestError(
            f"More than {_MOST_NAMED:,} rows are shown.",
            code="too_many",
            hint="Narrow the filters, or use `vmi retry`.",
        )
    return names


def _view(site: Site, opened: OpenRun) -> dict[str, Any]:
    status = opened.status
    line = line_of(status)
    with opened.rows.reading() as db:
        causes = row_query.causes(db)
        known = row_query.ends(db, "outcome")
    return {
        "run": line,
        "status": status,
        "cost": site.costs.of(status),
        "steps": steps_of(status, line.seconds),
        "waiting": "" if line.abandoned else waiting_for(status),
        "causes": causes,
        "known": known,
        "fresh": opened.fresh,
        "problem": opened.rows.problem,
        "retryable": sum(cause.retryable for cause in causes if cause.outcome == "failed"),
        "can": site.actions is not None,
    }
