"""Which rows a gallery shows, in which order: read from an address and written into one, so every view has a link."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from vertex_model_inference.errors import RequestError

__all__ = ["AGREEMENTS", "ORDERS", "OUTCOMES", "SPLITS", "Filters", "read_filters"]

OUTCOMES = ("predicted", "empty", "skipped", "failed", "pending")
SPLITS = ("training", "validation", "test", "unassigned")
AGREEMENTS = {
    "right": "all right",
    "wrong": "wrong class",
    "missed": "missed",
    "extra": "false alarm",
    "any": "anything wrong",
    "unjudged": "not judged",
}
ORDERS = {
    "export": "in the order of the export",
    "wrong": "most wrong first",
    "unsure": "least sure first",
    "trouble": "most mistakes first",
}
_MOST = 300


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for. Empty and None: no bound.

    Attributes:
        outcome, split: As of ``OUTCOMES`` and ``SPLITS``.
        class_: A class, as predicted or labelled. ``feature``: the object's kind or question that it belongs to.
        as_: Of rows where ``class_`` is labelled: the class that was predicted in its place.
        agreement: As of ``AGREEMENTS``; of ``class_`` where that is given.
        low, high: A prediction (of ``class_``, where given) has a confidence in this range, 0..1, ends included.
        step, code: Where and why rows ended.
        q: Beginning of a data row's id or global key.
        order: As of ``ORDERS``.
        t: Confidence below which predictions are not drawn and not counted, in hundredths.
    """

    outcome: str = ""
    split: str = ""
    class_: str = ""
    feature: str = ""
    as_: str = ""
    agreement: str = ""
    low: float | None = None
    high: float | None = None
    step: str = ""
    code: str = ""
    q: str = ""
    order: str = "export"
    t: int = 0

    @property
    def narrowing(self) -> bool:
        """Whether some rows may be left out."""
        return self != Filters(order=self.order, t=self.t)

    def query(self, **changes: Any) -> str:
        """The part of an address behind ``?``; ``changes`` are set in place of what is here, and may name more."""
        return urlencode(self.fields(**changes))

    def fields(self, **changes: Any) -> dict[str, str]:
        """Name -> value of what is not as usual; ``changes`` as of ``query``."""
        values: dict[str, Any] = {
            "outcome": self.outcome,
            "split": self.split,
            "class": self.class_,
            "feature": self.feature,
            "as": self.as_,
            "agreement": self.agreement,
            "low": None if self.low is None else f"{self.low:g}",
            "high": None if self.high is None else f"{self.high:g}",
            "step": self.step,
            "code": self.code,
            "q": self.q,
            "order": "" if self.order == "export" else self.order,
            "t": self.t or None,
        }
        values |= {name.rstrip("_"): value for name, value in changes.items()}
        return {name: str(value) for name, value in values.items() if value not in (None, "")}


def read_filters(given: Mapping[str, str]) -> Filters:
    """The filters of an address.

    Raises:
        RequestError: ``bad_filter``: a value that is none of those that there are.
    """
    text = {name: value.strip()[:_MOST] for name, value in given.items()}
    return Filters(
        outcome=_one(text, "outcome", OUTCOMES),
        split=_one(text, "split", SPLITS),
        class_=text.get("class", ""),
        feature=text.get("feature", ""),
        as_=text.get("as", ""),
        agreement=_one(text, "agreement", AGREEMENTS),
        low=_share(text, "low"),
        high=_share(text, "high"),
        step=text.get("step", ""),
        code=text.get("code", ""),
        q=text.get("q", ""),
        order=_one(text, "order", ORDERS) or "export",
        t=min(max(int(text["t"]), 0), 100) if text.get("t", "").isdecimal() and len(text["t"]) < 4 else 0,
    )


def _one(text: Mapping[str, str], name: str, known: Any) -> str:
    value = text.get(name, "")
    if value and value not in known:
        raise RequestError(
            f"{name}={value[:40]!r} is not possible here.", code="bad_filter", hint=f"Possible: {', '.join(known)}."
        )
    return value


def _share(text: Mapping[str, str], name: str) -> float | None:
    value = text.get(name, "")
    if not value:
        return None
    try:
        found = float(value)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise RequestError(f"{name}={value[:40]!r} is not a confidence from 0 to 1.", code="bad_filter")
    return found
