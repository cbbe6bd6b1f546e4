"""What runs have cost: in words, and read from their files once."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from vertex_model_inference.models import GeminiRules, ModelOption, Predictor, PriceRules
from vertex_model_inference.outcomes import Counts
from vertex_model_inference.pages.costs import Costs, Spent, spent
from vertex_model_inference.pages.shelf import Shelf
from vertex_model_inference.prices import Figures, table
from vertex_model_inference.runs.status import RunState, RunStatus, StepProgress
from vertex_model_inference.spec import Answer, Files, RunSpec
from vertex_model_inference.storage.places import open_store
from vertex_model_inference.storage.store import Store
from vertex_model_inference.vertex.auth import GoogleAuth

_GEMINI = ModelOption(name="g", predictor=Predictor.ONLINE, gemini=GeminiRules(model="gemini-2.5-flash"))
_OWN = ModelOption(name="own", predictor=Predictor.CONTAINER, price=PriceRules(per_1000_rows=2.5))


def test_known_costs_in_words() -> None:
    prices = table().gemini.models["gemini-2.5-flash"]
    figures = Figures(rows=3, input_tokens=1000, output_tokens=50)
    found = spent(_GEMINI, 10_000, figures)
    assert found is not None
    usd = 10_000 * (1000 * prices.tokens[0] + 50 * prices.tokens[1]) / 1e6
    assert found.money == f"about ${usd:.2f}"
    assert f"Price of {prices.as_of} ({table().gemini.source})." in found.how
    assert spent(_OWN, 1_000_000, None) == Spent(
        "about $2,500.00", "1,000,000 rows at $2.5 for 1,000. Price as in vmi.toml."
    )
    cheap = spent(_OWN, 1, None)
    assert cheap is not None
    assert cheap.money == "less than $0.01"


@pytest.mark.parametrize(
    ("option", "rows", "figures"),
    [
        (_GEMINI, 10, None),
        (_GEMINI, 10, Figures(rows=5, node_seconds=2)),
        (_OWN, 0, None),
        (ModelOption(name="c", predictor=Predictor.CONTAINER), 10, Figures(rows=10, node_seconds=1)),
        (
            ModelOption(name="b", predictor=Predictor.BATCH, machine_type="unheard-of"),
            10,
            Figures(rows=10, node_seconds=1),
        ),
    ],
)
def test_what_is_not_known_is_left_out(option: ModelOption, rows: int, figures: Figures | None) -> None:
    assert spent(option, rows, figures) is None


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path), endpoint=None, token=GoogleAuth(None))


def _run(store: Store, name: str, option: ModelOption, *, rows: int = 100, reused: int = 0) -> RunStatus:
    files = Files(name)
    spec = RunSpec(run_id=name, model_run_id="m", option=option, created_at="2026-01-01T00:00:00.000Z")
    store.put(files.spec, msgspec.json.encode(spec))
    used = b'{"usageMetadata": {"promptTokenCount": 1000, "candidatesTokenCount": 20, "thoughtsTokenCount": 30}}'
    answers = [msgspec.json.encode(Answer(data_row_id=str(n), prediction=msgspec.Raw(used))) for n in range(3)]
    store.put_lines(files.shard("answers", 0), answers)
    return RunStatus(
        run_id=name,
        model_run_id="m",
        option=option.name,
        state=RunState.COMPLETE,
        created_at="2026-01-01T00:00:00.000Z",
        ended_at="2026-01-01T00:01:40.000Z",
        steps={"predict": StepProgress(done=rows, seconds=50.0)},
        counts=Counts(exported=rows, predicted=rows, reused=reused),
    )


def test_a_run_is_measured_once_and_rows_that_were_only_read_again_cost_nothing(store: Store) -> None:
    clock = [0.0]
    costs = Costs(Shelf(store), lambda: clock[0])
    status = _run(store, "r", _GEMINI, rows=10_100, reused=100)
    found = costs.of(status)
    assert found is not None
    assert "10,000 rows of 1,000 tokens in and 50 out (mean of 3 rows)" in found.how
    store.delete(Files("r").spec)
    assert costs.of(status) == found
    clock[0] = 1e6
    assert costs.of(status) is None
    assert costs.of(_run(store, "again", _OWN, rows=50, reused=50)) is None


def test_the_list_gets_what_is_known_and_the_rest_is_read_meanwhile(store: Store) -> None:
    costs = Costs(Shelf(store))
    runs = [_run(store, "a", _OWN), _run(store, "b", ModelOption(name="c", predictor=Predictor.CONTAINER))]
    money, pending = costs.known(runs)
    while pending:  # ends, or the test's time limit does
        time.sleep(0.01)
        money, pending = costs.known(runs)
    assert {name: one.money for name, one in money.items()} == {"a": "about $0.25"}
