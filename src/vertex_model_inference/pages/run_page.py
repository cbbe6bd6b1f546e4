"""``/runs/RUN``: how far a run is, how its rows ended, what went wrong, and with which settings."""

from __future__ import annotations

from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

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
    """A run's page."""

    def run(request: Request) -> Response:
        name = request.path_params["run"]
        status = site.shelf.status(name)
        values = _view(status)
        if "fragment" in request.query_params:
            return site.render.page(request, "_run.html", **values)
        spec = site.shelf.spec(name)
        return site.render.page(request, "run.html", spec=spec, **values)

    return [Route("/runs/{run}", run)]


def _view(status: RunStatus) -> dict[str, Any]:
    line = line_of(status)
    return {
        "run": line,
        "status": status,
        "steps": steps_of(status, line.seconds),
        "waiting": "" if line.abandoned else waiting_for(status),
    }
