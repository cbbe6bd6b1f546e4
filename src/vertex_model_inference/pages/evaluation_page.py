"""``/runs/RUN/evaluation``: how good a run's predictions are, and where they are wrong."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vertex_model_inference.errors import NotFoundError
from vertex_model_inference.evaluation.scores import Evaluation
from vertex_model_inference.pages import charts
from vertex_model_inference.pages.evaluation_view import Part, View, view
from vertex_model_inference.pages.links import Links
from vertex_model_inference.pages.panels import ALL_CLASSES, island, panel, table
from vertex_model_inference.pages.site import Site
from vertex_model_inference.runs.status import RunStatus
from vertex_model_inference.steps.evaluate import stored

__all__ = ["evaluation_routes", "panel_values"]

_MOST_CLASSES = 60
"""In the table, unless all are asked for."""
_MOST_OTHERS = 30


def evaluation_routes(site: Site) -> list[Route]:
    """The evaluation's page."""

    def evaluation(request: Request) -> Response:
        name: str = request.path_params["run"]
        status = site.shelf.status(name)
        links = Links(name)
        values: dict[str, Any] = {
            "run": name,
            "model": status.option,
            "links": links,
            "others": _others(site, status),
            "found": None,
        }
        found = stored(site.shelf.store, site.shelf.files(name))
        if found is None or not found.splits[0].rows.judged:
            trouble, hint = _missing(status, found)
            return site.render.page(request, "evaluation.html", **values, trouble=trouble, hint=hint)
        query = request.query_params
        shown = view(found, query.get("split") or None)
        if shown is None:
            known = ", ".join(one.split for one in found.splits)
            raise NotFoundError(f"The run has no rows of the split {query['split'][:40]!r}.", hint=f"It has: {known}.")
        part = _part(shown, query.get("feature"), query.get("kind"))
        values |= {"found": shown, "part": part, "panel": None}
        if part is not None:
            values |= _part_values(part, shown, links, query.get("class", ALL_CLASSES), query.get("classes") == "all")
        return site.render.page(request, "evaluation.html", **values)

    return [Route("/runs/{run}/evaluation", evaluation)]


def panel_values(part: Part, name: str) -> dict[str, Any]:
    """What the templates need to show a class with its curve.

    Args:
        part: The question or kind of object. ``name``: of the class; ``ALL_CLASSES``: all together.

    Raises:
        NotFoundError: There is no such class.
    """
    found = panel(part.classes, name)
    if found is None:
        raise NotFoundError(f"{part.title} has no class {name[:100]!r}.", hint="Choose one of the list.")
    if not found.curve.threshold:
        # An evaluation of an earlier release does not say how many predictions are kept: then one class at a time.
        first = next((one.name for one in part.classes if one.curve.threshold), None)
        if name == ALL_CLASSES and first is not None:
            return panel_values(part, first)
        return {"panel": found if part.classes else None, "chart": None}
    words = f"{part.title}: {name}" if name else part.title
    return {
        "panel": found,
        "chart": charts.by_confidence(found.curve, words, found.best),
        "recall_chart": charts.precision_recall(found.curve, words),
        "island": island(found),
        "lines": table(found),
    }


def _part_values(part: Part, shown: View, links: Links, name: str, every: bool) -> dict[str, Any]:
    values = panel_values(part, name)
    if part.calibration is not None:
        values["calibration_chart"] = charts.reliability(part.calibration, part.title)
    class_link: Callable[[str], str] = lambda one: links.evaluation(  # noqa: E731  # templates call it by one name
        split=shown.split, feature=part.feature, kind=part.kind, **{"class": one}
    )
    values |= {
        "shown": part.classes if every else part.classes[:_MOST_CLASSES],
        "class_link": class_link,
        "cell_link": partial(_cell, links, part.feature, shown.split),
        "rows_link": partial(_labelled, links, part.feature, shown.split),
    }
    return values


def _cell(links: Links, feature: str, split: str, truth: str | None, said: str | None) -> str:
    return links.confused(feature, truth, said, split)


def _labelled(links: Links, feature: str, split: str, name: str) -> str:
    return links.labelled(feature, name, split)


def _part(shown: View, feature: str | None, kind: str | None) -> Part | None:
    if feature is None:
        return shown.parts[0] if shown.parts else None
    for one in shown.parts:
        if one.feature == feature and kind in (None, one.kind):
            return one
    raise NotFoundError(f"Nothing called {feature[:100]!r} was measured.", hint="Choose one of the list.")


def _others(site: Site, status: RunStatus) -> list[dict[str, str]]:
    """Runs to compare with: of the same model run first."""
    others = [one for one in site.shelf.statuses() if one.run_id != status.run_id and one.state.ended]
    others.sort(key=lambda one: one.model_run_id != status.model_run_id)
    return [
        {"name": one.run_id, "words": f"{one.option}, {one.created_at[:16].replace('T', ' ')}"}
        for one in others[:_MOST_OTHERS]
    ]


def _missing(status: RunStatus, found: Evaluation | None) -> tuple[str, str]:
    """Why there is nothing to show, and what to do."""
    if found is not None and found.splits[0].rows.labelled:
        return "No labelled row was answered by the model.", "See the run's outcomes for why not."
    if found is not None:
        return "No row of this run is labelled.", "Add labels to the model run in Labelbox, then run again."
    if not status.state.ended:
        return "The run is not at its end yet.", "Predictions are measured when the last of them is there."
    return (
        "This run was not evaluated.",
        f"Where its rows are labelled, `vmi evaluate {status.run_id}` says why; else there is nothing to measure by.",
    )
