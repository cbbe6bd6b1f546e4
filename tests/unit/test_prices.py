"""What rows cost: the table's prices, the operator's own, and what is unknown is said to be."""

from __future__ import annotations

import re

import pytest

from vertex_model_inference.models import GeminiRules, ModelOption, Predictor, PriceRules, Task, VertexModel
from vertex_model_inference.prices import Figures, cost_of, table
from vertex_model_inference.settings_sections import ModelSection

_SEEN = Figures(rows=10, input_tokens=1000, output_tokens=100, node_seconds=3.6)


def _gemini(predictor: Predictor = Predictor.ONLINE, model: str = "gemini-2.5-flash", **price: object) -> ModelOption:
    return ModelOption(
        name="g",
        predictor=predictor,
        gemini=GeminiRules(model=model),
        price=PriceRules(**price),  # type: ignore[arg-type]
    )


def _batch(*, automl: bool, price: PriceRules | None = None) -> ModelOption:
    model = VertexModel(name="projects/p/locations/us-central1/models/1", automl=automl)
    return ModelOption(
        name="b",
        predictor=Predictor.BATCH,
        model=model,
        task=Task.IMAGE_CLASSIFICATION,
        price=price or PriceRules(),
    )


def test_every_price_has_its_day_and_source() -> None:
    prices = table()
    assert prices.gemini.source.startswith("https://")
    for gemini in prices.gemini.models.values():
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", gemini.as_of)
        assert 0 < gemini.tokens[0] < gemini.tokens[1]
    for hour in prices.automl.node_hour.values():
        assert hour.source.startswith("https://")
        assert hour.as_of
    assert all(Task(task) for task in prices.automl.node_hour)


def test_gemini_by_tokens_and_half_in_batch() -> None:
    online = cost_of(_gemini(), 1_000_000, _SEEN)
    assert online.usd is not None
    assert online.usd == pytest.approx(1000 * 0.30 + 100 * 2.50)
    batch = cost_of(_gemini(Predictor.BATCH), 1_000_000, _SEEN)
    assert batch.usd == pytest.approx(online.usd / 2)
    assert online.as_of
    assert online.source


@pytest.mark.parametrize(
    ("option", "figures", "says"),
    [
        (_gemini(), None, "tokens"),
        (_gemini(model="gemini-9"), _SEEN, "usd_per_million_tokens"),
        (_batch(automl=True), None, "how long"),
        (_batch(automl=False), _SEEN, "usd_per_node_hour"),
        (ModelOption(name="c", predictor=Predictor.CONTAINER), _SEEN, "usd_per_1000_rows"),
        (ModelOption(name="o", predictor=Predictor.ONLINE), _SEEN, "deployed"),
    ],
)
def test_what_is_not_known_is_said(option: ModelOption, figures: Figures | None, says: str) -> None:
    cost = cost_of(option, 100, figures)
    assert cost.usd is None
    assert says in cost.how


def test_the_operators_own_prices_come_first() -> None:
    own = ModelSection(usd_per_1000_rows=2, usd_per_node_hour=1, usd_per_million_tokens=(1, 1)).price()
    assert cost_of(_batch(automl=True, price=own), 500, None).usd == pytest.approx(1.0)
    hours = PriceRules(per_node_hour=10)
    assert cost_of(_batch(automl=False, price=hours), 1000, _SEEN).usd == pytest.approx(10.0)
    # As they are charged: not halved again in batch.
    mine = cost_of(_gemini(Predictor.BATCH, per_million_tokens=(1.0, 1.0)), 1000, _SEEN)
    assert mine.usd == pytest.approx(1.1)
    assert mine.source == "vmi.toml"


def test_no_rows_cost_nothing() -> None:
    assert cost_of(_gemini(), 0, None).usd == 0
