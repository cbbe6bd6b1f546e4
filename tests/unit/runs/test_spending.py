"""Budgets: what stops a run, and what does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vertex_model_inference.errors import SettingsError
from vertex_model_inference.models import BudgetRules, GeminiRules, ModelOption, Predictor, PriceRules
from vertex_model_inference.outcomes import Counts
from vertex_model_inference.prices import Figures
from vertex_model_inference.runs.budgets import Spending, check_price
from vertex_model_inference.runs.grouping import Group
from vertex_model_inference.steps.use import together


class Remembering:
    """A runner whose steps' results are given, by name."""

    def __init__(self, **results: Any) -> None:
        self.results = results
        self.asked: list[str] = []

    def step(self, name: str, function: Callable[..., Any], *arguments: Any, **_: Any) -> Any:
        assert callable(function)
        self.asked.append(name)
        return self.results[name] if name in self.results else arguments[-1]

    def group(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError


class Bare:
    """As much of a context as is looked at."""

    def __init__(self, option: ModelOption) -> None:
        self.spec = self
        self.option = option


def option(budget: BudgetRules, price: PriceRules | None = None, *, gemini: bool = False) -> ModelOption:
    return ModelOption(
        name="M",
        predictor=Predictor.CONTAINER if not gemini else Predictor.ONLINE,
        gemini=GeminiRules(model="gemini-2.5-flash") if gemini else None,
        budget=budget,
        price=price or PriceRules(),
    )


def spending(given: ModelOption, **results: Any) -> tuple[Spending, Remembering]:
    runner = Remembering(**results)
    context: Any = Bare(given)
    return Spending(runner, context), runner


def group(rows: int, *, over: bool = False, way: str = "work") -> Group:
    return Group(0, [0], rows=rows, over=over, way=way)


def counts(predicted: int = 0, failed: int = 0, skipped: int = 0) -> Counts:
    return Counts(exported=predicted + failed + skipped, predicted=predicted, failed=failed, skipped=skipped)


def test_without_a_budget_nothing_stops_and_nothing_is_measured() -> None:
    spent, runner = spending(option(BudgetRules()))
    spent.launched(group(10**9))
    spent.ended(group(10**9), counts(failed=10**9))
    assert spent.stop(group(10**9)) is None
    assert not spent.blind
    assert runner.asked == []


def test_a_second_try_of_failures_is_judged_with_what_ended_well_before() -> None:
    spent, _ = spending(option(BudgetRules(max_failed_fraction=0.2)))
    spent.carried(Counts(exported=500, predicted=400, failed=100, reused=500))
    spent.ended(group(100), counts(failed=100))
    assert spent.stop(group(1)) is None
    spent.ended(group(1), counts(failed=1))
    assert spent.stop(group(1)) is not None


@pytest.mark.parametrize(
    ("ended", "stops"),
    [
        (counts(predicted=70, failed=29), False),  # 29 %, and not a hundred yet
        (counts(predicted=80, failed=20), False),  # just as many as may
        (counts(predicted=79, failed=21), True),
        (counts(predicted=79, failed=20, skipped=500), False),  # skipped rows were never tried
    ],
)
def test_a_part_of_failures_is_judged_once_enough_have_ended(ended: Counts, stops: bool) -> None:
    spent, runner = spending(option(BudgetRules(max_failed_fraction=0.2)))
    spent.ended(group(1), ended)
    stop = spent.stop(group(1))
    assert (stop is not None) == stops == (runner.asked == ["stop"])
    if stop is not None:
        assert (stop.code, stop.status.value, stop.retryable) == ("budget", "skipped", True)
        assert "21 of the first 100" in stop.words
        assert spent.stopped is stop


def test_dollars_are_counted_before_they_are_spent() -> None:
    spent, _ = spending(option(BudgetRules(max_cost=1.0), PriceRules(per_1000_rows=10.0)), measure=None)
    assert spent.stop(group(60)) is None
    spent.launched(group(60))
    assert spent.stop(group(40)) is None  # 100 rows: a dollar, and not a cent more
    stop = spent.stop(group(41))
    assert stop is not None
    assert "60 data rows came to about $0.60, and the next 41 would cost about $0.41 more" in stop.words
    assert spent.stop(group(1)) is stop  # what came after would fit, but the order of rows is kept


def test_rows_that_the_model_is_not_sent_cost_nothing() -> None:
    spent, _ = spending(option(BudgetRules(max_cost=1.0), PriceRules(per_1000_rows=10.0)), measure=None)
    spent.launched(group(10**6, way="again"))
    assert spent.stop(group(100)) is None


def test_tokens_are_measured_before_a_second_group_is_launched() -> None:
    prices = PriceRules(per_million_tokens=(1.0, 10.0))
    figures = Figures(rows=10, input_tokens=1000.0, output_tokens=100.0)
    spent, runner = spending(option(BudgetRules(max_cost=1.0), prices, gemini=True), measure=figures)
    blind = [spent.blind]
    assert spent.stop(group(10)) is None
    spent.launched(group(10))
    blind.append(spent.blind)
    spent.ended(group(10), counts(predicted=10))
    blind.append(spent.blind)
    assert blind == [False, True, False]
    assert runner.asked == ["measure"]
    assert spent.stop(group(490)) is None  # $0.002 a row
    assert spent.stop(group(491)) is not None


def test_a_limit_in_dollars_needs_a_price() -> None:
    check_price(option(BudgetRules(max_cost=1.0), PriceRules(per_1000_rows=1.0)))
    check_price(option(BudgetRules(max_cost=1.0), PriceRules(per_million_tokens=(1.0, 1.0)), gemini=True))
    check_price(option(BudgetRules()))
    with pytest.raises(SettingsError, match="cannot be kept"):
        check_price(option(BudgetRules(max_cost=1.0)))


def test_means_of_two_measurements() -> None:
    one = Figures(rows=10, input_tokens=100.0, output_tokens=10.0)
    other = Figures(rows=30, input_tokens=200.0, output_tokens=10.0, node_seconds=3.0)
    both = together(one, other)
    assert both == Figures(rows=40, input_tokens=175.0, output_tokens=10.0, node_seconds=3.0)
    assert together(None, one) is one
    assert together(one, None) is one
