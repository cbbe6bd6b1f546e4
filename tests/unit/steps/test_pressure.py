"""Requests and bytes under way: bounded, adapting, first come first served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vertex_model_inference.steps.pressure import Budget, Limiter, Paces
from vertex_model_inference.waiting import FAULT, RATE_LIMIT, Waits, note, noting, seconds_of

Scenario = Callable[[], Coroutine[Any, Any, None]]


def limits(*signals: str, start: int = 16) -> float:
    """The limit after these signals: ``+`` went well, ``-`` pushed back, ``x`` faltered."""
    limiter = Limiter(start=start, ceiling=64)

    async def tell() -> None:
        for signal in "".join(signals):
            {"+": limiter.went_well, "-": limiter.pushed_back, "x": limiter.faltered}[signal]()

    asyncio.run(tell())
    return limiter.limit


def test_a_rate_limit_halves_and_successes_grow() -> None:
    assert limits("-") == 8
    assert limits("-----") == 8, "requests that were sent together fail together: one cut a round"
    assert limits("-", "+" * 8) == pytest.approx(9, abs=0.1)
    assert limits("+" * 5000) == 64


def test_faults_now_and_then_do_not_slow_down_what_a_rate_limit_would() -> None:
    assert limits("+x" * 100) > 16
    assert limits("x" * 15) == 16
    assert limits("x" * 16) == 8, "a round with nothing but faults is overload"
    assert limits("x" * 400) == 1


def test_what_one_shard_has_learnt_the_next_one_begins_with() -> None:
    paces = Paces()

    async def shard(*signals: str) -> float:
        limiter = Limiter(pace=paces.of("an endpoint", 8))
        begun = limiter.limit
        for signal in "".join(signals):
            {"+": limiter.went_well, "-": limiter.pushed_back}[signal]()
        return begun

    assert asyncio.run(shard("-")) == 8
    assert asyncio.run(shard("-")) == 4
    assert asyncio.run(shard("+" * 3)) == 2
    assert asyncio.run(shard()) > 2
    assert paces.of("another endpoint", 8).limit == 8


def test_all_shards_leave_a_service_alone_that_asked_one_of_them_to() -> None:
    paces = Paces()
    begun: list[float] = []

    async def told() -> float:
        Limiter(pace=paces.of("an endpoint", 8)).pushed_back(0.2)
        return asyncio.get_running_loop().time() + 0.2

    async def another() -> None:
        async with Limiter(pace=paces.of("an endpoint", 8)).slot():
            begun.append(asyncio.get_running_loop().time())

    resumes = asyncio.run(told())
    asyncio.run(another())
    assert begun[0] >= resumes - 0.01


def test_after_retry_after_no_request_begins_before_its_time() -> None:
    waits = Waits()

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        limiter = Limiter(start=4)
        limiter.pushed_back(0.05)
        resumes = loop.time() + 0.05
        begun: list[float] = []

        async def request() -> None:
            async with limiter.slot():
                begun.append(loop.time())

        await asyncio.gather(*(request() for _ in range(6)))
        assert min(begun) >= resumes - 0.001
        assert len(begun) == 6

    with noting(waits):
        asyncio.run(scenario())
    assert waits.totals()["model: rate limit"] >= 0.05


@given(st.lists(st.integers(1, 40), min_size=1, max_size=40), st.integers(10, 30))
def test_a_budget_is_never_exceeded_and_serves_everybody(sizes: list[int], most: int) -> None:
    async def scenario() -> None:
        budget = Budget(most)
        served: list[int] = []

        async def one(number: int, size: int) -> None:
            taken = await budget.take(size)
            assert taken == min(size, most)
            assert budget.held <= most
            served.append(number)
            await asyncio.sleep(0)
            budget.give(taken)

        await asyncio.gather(*(one(number, size) for number, size in enumerate(sizes)))
        assert budget.held == 0
        assert served == list(range(len(sizes))), "large ones are not passed by for ever"

    asyncio.run(scenario())


@given(st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=2, max_size=25))
def test_who_gives_up_waiting_for_a_budget_costs_nobody_anything(asked: list[tuple[int, bool]]) -> None:
    async def scenario() -> None:
        budget = Budget(10)
        served = 0

        async def one(size: int) -> None:
            nonlocal served
            taken = await budget.take(size)
            try:
                await asyncio.sleep(0)
                served += 1
            finally:
                budget.give(taken)

        tasks = [asyncio.create_task(one(size)) for size, _ in asked]
        await asyncio.sleep(0)
        for task, (_, cancelled) in zip(tasks, asked, strict=True):
            if cancelled:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert budget.held == 0
        assert served >= sum(not cancelled for _, cancelled in asked)

    asyncio.run(scenario())


def test_waits_are_noted_where_they_belong() -> None:
    mine, others = Waits(), Waits()
    note("labelbox", FAULT, 5)  # nobody notes

    async def deep() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(note, "model", RATE_LIMIT, 1.5))

    with noting(mine):
        asyncio.run(deep())
        with noting(others):
            note("labelbox", FAULT, 2)
        note("model", RATE_LIMIT, 0.25)
    assert mine.totals() == {"model: rate limit": 1.75}
    assert others.totals() == {"labelbox: fault": 2}


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None), ("", None), ("3", 3.0), (" 2.5 ", 2.5), ("0", 0.0), ("nan", None), ("inf", None), ("-1", None),
        ("1e9", None), ("soon", None), ("\u00b2", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("9" * 400, None),
        ("Fri, 99 Foo 2015", None),
    ],
)  # fmt: skip
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert seconds_of(header) == seconds


def test_retry_after_as_a_date_to_come() -> None:
    from datetime import UTC, datetime, timedelta
    from email.utils import format_datetime

    found = seconds_of(format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True))
    assert found is not None
    assert 25 < found <= 30
