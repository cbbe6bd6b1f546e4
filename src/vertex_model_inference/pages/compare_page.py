"""``/compare?a=RUN&b=RUN``: two runs over the same rows, side by side."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vertex_model_inference.errors import RequestError, VmiError
from vertex_model_inference.evaluation.comparison import Comparison
from vertex_model_inference.evaluation.names import ALL, SPLITS
from vertex_model_inference.pages.links import Links
from vertex_model_inference.pages.site import Site
from vertex_model_inference.runs.status import RunStatus
from vertex_model_inference.steps.compare import compare_runs

__all__ = ["MOST_ROWS", "compare_routes"]

MOST_ROWS = 20_000
"""Of a run that is compared while somebody waits for the page; beyond it is the command line's work."""
_MOST_CLASSES = 60
_KEPT = 16


class _Comparisons:
    """Compares one pair at a time, and remembers the last ones."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._kept: OrderedDict[tuple[str, ...], Comparison] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, first: RunStatus, second: RunStatus, split: str) -> Comparison:
        shelf = self._site.shelf
        key = (first.run_id, first.updated_at, second.run_id, second.updated_at, split)
        # One at a time: two of them would only be slower beside each other.
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            places = [(shelf.store, shelf.files(one.run_id)) for one in (first, second)]
            # Nothing is fetched for a page: masks of labels are there once the run has been evaluated.
            found = compare_runs(places[0], places[1], None, split=split)
            self._kept[key] = found
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return found


def compare_routes(site: Site) -> list[Route]:
    """The page of two runs."""
    comparisons = _Comparisons(site)

    def compare(request: Request) -> Response:
        query = request.query_params
        if not query.get("a") or not query.get("b"):
            raise RequestError("Two runs are needed.", hint="The address is /compare?a=RUN&b=RUN.")
        split = query.get("split") or ALL
        if split not in (ALL, *SPLITS):
            raise RequestError(f"There is no split {split[:40]!r}.", hint=f"There are: {', '.join((ALL, *SPLITS))}.")
        first, second = site.shelf.status(query["a"]), site.shelf.status(query["b"])
        values: dict[str, Any] = {
            "first": first,
            "second": second,
            "links": (Links(first.run_id), Links(second.run_id)),
            "split": split,
            "splits": (ALL, *SPLITS),
            "found": None,
            "trouble": "",
            "hint": "",
            "most": _MOST_CLASSES,
        }
        if max(first.rows, second.rows) > MOST_ROWS:
            values["trouble"] = f"These runs have more than {MOST_ROWS:,} rows."
            values["hint"] = f"Comparing them takes a while: vmi compare {first.run_id} {second.run_id}"
        else:
            try:
                values["found"] = comparisons.of(first, second, split)
            except VmiError as error:
                values["trouble"], values["hint"] = error.message, error.hint or ""
        return site.render.page(request, "compare.html", **values)

    return [Route("/compare", compare)]
