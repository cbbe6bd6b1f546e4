"""Budgets of a run: how many rows, how many dollars and what part of failures it may come to before it is stopped.

What is judged are results of steps, which are remembered, so a run that is carried on after a crash decides as before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vertex_model_inference.errors import SettingsError
from vertex_model_inference.models import ModelOption
from vertex_model_inference.outcomes import Counts
from vertex_model_inference.prices import Cost, Figures, cost_of
from vertex_model_inference.runs.marks import CancelMark, stop_of, write_mark
from vertex_model_inference.runs.status import now
from vertex_model_inference.steps import use
from vertex_model_inference.steps.choosing import Way
from vertex_model_inference.steps.context import Context
from vertex_model_inference.steps.halting import BUDGET, Stop

if TYPE_CHECKING:
    from vertex_model_inference.runs.grouping import Group, Runner

__all__ = ["Spending", "check_price", "stop_for"]

_ONE = Figures(rows=1, input_tokens=1.0, output_tokens=1.0, node_seconds=1.0)
"""Of no real row: what a price is asked with to learn whether there is one."""


def check_price(option: ModelOption) -> None:
    """Make sure that a budget in dollars can be kept.

    Raises:
        SettingsError: ``max_cost`` is set, and what the model costs is not known.
    """
    if option.budget.max_cost is None:
        return
    cost = cost_of(option, 1, _ONE)
    if cost.usd is None:
        raise SettingsError(
            f"max_cost is set for {option.name}, but it cannot be kept: {cost.how}.",
            hint="Set a price in the model's section of vmi.toml (usd_per_1000_rows always works), or remove max_cost.",
        )


def stop_for(words: str) -> Stop:
    """The stop of a run at a budget, which ``words`` names."""
    return stop_of(CancelMark(by="vmi", at=now(), why=words, code=BUDGET))


def halt_run(context: Context, words: str) -> str:
    """Stop what is under way of the run, in every process that works on it; returns ``words``.

    Raises:
        StorageError: The mark cannot be written.
    """
    write_mark(context.store, context.spec.run_id, CancelMark(by="vmi", at=now(), why=words, code=BUDGET))
    context.halt.set(stop_for(words))
    return words


class Spending:
    """What a run has used of its budgets.

    Args:
        runner: Of the run.
        context: The run.
    """

    def __init__(self, runner: Runner, context: Context) -> None:
        self._runner = runner
        self._context = context
        self._option = context.spec.option
        self._rules = self._option.budget
        self._sent = 0
        self._counts = Counts()
        self._figures: Figures | None = None
        self._stop: Stop | None = None

    @property
    def blind(self) -> bool:
        """Whether nobody knows yet what a row costs, so that no second group is to be launched before one has ended."""
        return self._rules.max_cost is not None and self._sent > 0 and self._cost(self._sent).usd is None

    @property
    def stopped(self) -> Stop | None:
        """The budget that is used up, if one is."""
        return self._stop

    def launched(self, group: Group) -> None:
        """A group is on its way; of one whose answers are only read again, nothing is sent to the model."""
        if group.way == Way.WORK:
            self._sent += group.rows

    def carried(self, counts: Counts) -> None:
        """Rows for which nothing is done: they ended well before, so a second try of failures alone is no bad run."""
        self._counts += Counts(predicted=counts.predicted, empty=counts.empty)

    def ended(self, group: Group, counts: Counts) -> None:
        """A group has ended: what it cost is measured, and what part of the rows failed is judged.

        Raises:
            StorageError: The run's files cannot be read or written.
        """
        self._counts += counts
        if self._rules.max_cost is not None:
            found = self._runner.step("measure", use.used, self._context, group.number, group.shards, group.canary)
            self._figures = use.together(self._figures, found)
        limit = self._rules.max_failed_fraction
        ended = self._counts.predicted + self._counts.empty + self._counts.failed
        if limit is None or self._stop is not None or ended < self._rules.failed_from:
            return
        if self._counts.failed > limit * ended:
            words = (
                f"The run stopped at its budget max_failed_fraction = {limit:g}: {self._counts.failed:,} of the first "
                f"{ended:,} data rows that ended had failed ({self._counts.failed / ended:.0%})."
            )
            # Said by a step, so that a process that carries the run on says the same.
            self._stop = stop_for(self._runner.step("stop", halt_run, self._context, words))

    def stop(self, group: Group) -> Stop | None:
        """Why a group is not to be launched; None: it may be. The first reason holds for all that come after."""
        if self._stop is None:
            if group.over:
                self._stop = stop_for(
                    f"The run stopped at its budget max_rows = {self._rules.max_rows:,}: so many data rows were sent "
                    "to the model."
                )
            elif self._rules.max_cost is not None:
                self._stop = self._too_dear(group.rows, self._rules.max_cost)
        return self._stop

    def _too_dear(self, rows: int, most: float) -> Stop | None:
        spent, more = self._cost(self._sent), self._cost(rows)
        if spent.usd is None or more.usd is None or spent.usd + more.usd <= most:
            return None
        return stop_for(
            f"The run stopped at its budget max_cost = ${most:g}: {self._sent:,} data rows came to about "
            f"${spent.usd:,.2f}, and the next {rows:,} would cost about ${more.usd:,.2f} more ({more.how})."
        )

    def _cost(self, rows: int) -> Cost:
        return cost_of(self._option, rows, self._figures)
