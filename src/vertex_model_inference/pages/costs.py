"""What runs have cost, as far as it is known: list prices or the operator's own, times what each run measured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import structlog

from vertex_model_inference.errors import VmiError
from vertex_model_inference.models import ModelOption
from vertex_model_inference.pages.shelf import Shelf
from vertex_model_inference.prices import Figures, cost_of
from vertex_model_inference.runs.figures import figures_of, rows_sent
from vertex_model_inference.runs.status import RunStatus

__all__ = ["Costs", "Spent", "spent"]

log = structlog.get_logger("vmi.pages")

_READERS = 4
_RUNNING_FOR_S = 20.0
_ENDED_FOR_S = 3600.0
_MOST_KEPT = 5000
_PROBE = Figures(rows=1, input_tokens=1, output_tokens=1, node_seconds=1)


class Spent(NamedTuple):
    """What a run cost: ``money`` in short (``about $1.23``), and ``how`` that was found, with the price's day."""

    money: str
    how: str


def spent(option: ModelOption, rows: int, figures: Figures | None) -> Spent | None:
    """What rows have cost, in words; None: it is not known, or no row was sent. Pure.

    Args:
        option: The model, with the prices that the run began with.
        rows: Data rows that the model was sent.
        figures: What it used for each, measured in the run; None: nothing was.
    """
    if rows <= 0:
        return None
    cost = cost_of(option, rows, figures)
    if cost.usd is None:
        return None
    money = "less than $0.01" if cost.usd < 0.01 else f"about ${cost.usd:,.2f}"
    dated = f" Price of {cost.as_of} ({cost.source})." if cost.as_of else f" Price as in {cost.source}."
    return Spent(money, f"{cost.how[:1].upper()}{cost.how[1:]}.{dated}")


class Costs:
    """Costs of the runs of a shelf; a run's files are read once, and again while it goes on.

    Args:
        shelf: The runs.
        clock: Seconds that never go back.
    """

    def __init__(self, shelf: Shelf, clock: Callable[[], float] = time.monotonic) -> None:
        self._shelf = shelf
        self._clock = clock
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_READERS, thread_name_prefix="vmi-pages-costs")
        self._kept: dict[str, tuple[float, bool, Spent | None]] = {}
        self._asked: set[str] = set()

    def of(self, status: RunStatus) -> Spent | None:
        """What a run cost so far; reads its files. None: not known."""
        with self._lock:
            known = self._fresh(status)
        return known[2] if known is not None else self._read(status)

    def known(self, statuses: Sequence[RunStatus]) -> tuple[dict[str, Spent], bool]:
        """What is known at once of several runs, by name, and whether more is being read meanwhile."""
        found: dict[str, Spent] = {}
        with self._lock:
            for status in statuses:
                kept = self._kept.get(status.run_id)
                if kept is not None and kept[2] is not None:
                    found[status.run_id] = kept[2]  # an old figure, until the new one is there
                if self._fresh(status) is None and status.run_id not in self._asked:
                    self._asked.add(status.run_id)
                    self._pool.submit(self._fetch, status)
            return found, any(status.run_id in self._asked for status in statuses)

    def _fresh(self, status: RunStatus) -> tuple[float, bool, Spent | None] | None:
        kept = self._kept.get(status.run_id)
        return kept if kept and kept[0] > self._clock() and kept[1] == status.state.ended else None

    def _fetch(self, status: RunStatus) -> None:
        try:
            self._read(status)
        finally:
            with self._lock:
                self._asked.discard(status.run_id)

    def _read(self, status: RunStatus) -> Spent | None:
        ended = status.state.ended
        lasts = _ENDED_FOR_S
        try:
            found = self._measured(status)
        except VmiError as error:  # a page without the cost is better than none
            log.warning("what a run cost could not be read", run=status.run_id, error=error.message)
            found, lasts = None, _RUNNING_FOR_S
        with self._lock:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            until = self._clock() + (lasts if ended else _RUNNING_FOR_S)
            self._kept[status.run_id] = until, ended, found
        return found

    def _measured(self, status: RunStatus) -> Spent | None:
        rows, spec = rows_sent(status), self._shelf.spec(status.run_id)
        if rows <= 0 or spec is None or spent(spec.option, rows, _PROBE) is None:
            return None
        # Prices of rows need no measuring.
        return spent(spec.option, rows, None) or spent(
            spec.option, rows, figures_of(self._shelf.store, status, self._shelf.files(status.run_id))
        )
