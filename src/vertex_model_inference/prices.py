"""What a run will cost: a dated table of list prices (``prices.toml``), the operator's own prices, and measured use.

A price that is in neither is unknown, and so is a use that nobody has measured yet: both are said, never guessed.
"""

from __future__ import annotations

import functools
from importlib.resources import files

import msgspec

from vertex_model_inference.models import ModelOption, Predictor

__all__ = ["Cost", "Figures", "PriceTable", "cost_of", "table"]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What the model used for rows that it has answered, measured.

    Attributes:
        rows: How many rows this is the mean of.
        input_tokens: Of Gemini, for one row; None: not measured. Likewise ``output_tokens``, thoughts included.
        node_seconds: Of batch jobs, seconds of one machine for one row, start and end included; None: not measured.
    """

    rows: int
    input_tokens: float | None = None
    output_tokens: float | None = None
    node_seconds: float | None = None


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What rows will cost, or why that is not known.

    Attributes:
        usd: US dollars; None: unknown.
        how: In words: what was multiplied with what, or what is missing.
        as_of: Day of the price, ``YYYY-MM-DD`` or ``day unknown``; None: the operator's own price, or none.
        source: Where the price stands: a URL, or ``vmi.toml``.
    """

    usd: float | None
    how: str
    as_of: str | None = None
    source: str | None = None


class _Tokens(msgspec.Struct, frozen=True):
    tokens: tuple[float, float]
    as_of: str


class _Gemini(msgspec.Struct, frozen=True):
    batch_factor: float
    source: str
    models: dict[str, _Tokens]


class _Hour(msgspec.Struct, frozen=True):
    usd: float
    as_of: str
    source: str


class _Automl(msgspec.Struct, frozen=True):
    node_hour: dict[str, _Hour]


class PriceTable(msgspec.Struct, frozen=True):
    """The table as shipped. ``gemini``: prices of tokens; ``automl``: of node hours in batch jobs, by task."""

    gemini: _Gemini
    automl: _Automl


@functools.cache
def table() -> PriceTable:
    """The prices that this release was shipped with."""
    return msgspec.toml.decode(files("vertex_model_inference").joinpath("prices.toml").read_bytes(), type=PriceTable)


def cost_of(option: ModelOption, rows: int, figures: Figures | None) -> Cost:
    """What the model will cost for ``rows`` rows. Pure.

    Args:
        option: The model; its own prices (``usd_per_...`` in ``vmi.toml``) come before the table's.
        rows: Data rows that the model is sent.
        figures: What it used for a row so far, from this run or an earlier one; None: nothing is known.
    """
    own = option.price
    if rows == 0:
        return Cost(usd=0.0, how="no row is sent to the model")
    if own.per_1000_rows is not None:
        usd = rows / 1000 * own.per_1000_rows
        return Cost(usd=usd, how=f"{rows:,} rows at ${own.per_1000_rows:g} for 1,000", source="vmi.toml")
    if option.gemini is not None:
        return _of_tokens(option, rows, figures)
    if option.predictor is Predictor.BATCH:
        return _of_hours(option, rows, figures)
    if option.predictor is Predictor.CONTAINER:
        return Cost(usd=None, how="what a container of your own costs is not known here; set usd_per_1000_rows")
    return Cost(
        usd=None,
        how="an endpoint is paid by the hour that it is deployed, used or not, so a run adds nothing to be told here",
    )


def _of_tokens(option: ModelOption, rows: int, figures: Figures | None) -> Cost:
    assert option.gemini is not None
    name = option.gemini.model.partition("@")[0]
    known = table().gemini.models.get(name)
    factor = 1.0
    if option.price.per_million_tokens is not None:
        prices, as_of, source = option.price.per_million_tokens, None, "vmi.toml"
    elif known is not None:
        prices, as_of, source = known.tokens, known.as_of, table().gemini.source
        factor = table().gemini.batch_factor if option.predictor is Predictor.BATCH else 1.0
    else:
        return Cost(usd=None, how=f"the price of {name} is not in the table; set usd_per_million_tokens")
    if figures is None or figures.input_tokens is None or figures.output_tokens is None:
        how = "how many tokens a row takes is not known before the model has answered rows of this kind"
        return Cost(usd=None, how=how, as_of=as_of, source=source)
    usd = rows * (figures.input_tokens * prices[0] + figures.output_tokens * prices[1]) / 1e6 * factor
    half = f", times {factor:g} in batch" if factor != 1 else ""
    how = (
        f"{rows:,} rows of {figures.input_tokens:,.0f} tokens in and {figures.output_tokens:,.0f} out (mean of "
        f"{figures.rows:,} rows) at ${prices[0]:g} and ${prices[1]:g} for a million{half}"
    )
    return Cost(usd=usd, how=how, as_of=as_of, source=source)


def _of_hours(option: ModelOption, rows: int, figures: Figures | None) -> Cost:
    as_of = None
    source: str | None = "vmi.toml"
    price = option.price.per_node_hour
    if price is None:
        automl = option.model is not None and option.model.automl
        known = table().automl.node_hour.get(option.task or "") if automl else None
        if known is None:
            what = f"AutoML jobs for {option.task or 'this task'}" if automl else f"the machine {option.machine_type}"
            return Cost(usd=None, how=f"the price of an hour of {what} is not in the table; set usd_per_node_hour")
        price, as_of, source = known.usd, known.as_of, known.source
    if figures is None or figures.node_seconds is None:
        how = "how long the job takes is not known before the model has answered rows of this kind"
        return Cost(usd=None, how=how, as_of=as_of, source=source)
    usd = rows * figures.node_seconds / 3600 * price
    how = (
        f"{rows:,} rows of {figures.node_seconds:.3g} s of one machine (mean of {figures.rows:,} rows) at ${price:g} "
        "an hour"
    )
    return Cost(usd=usd, how=how, as_of=as_of, source=source)
