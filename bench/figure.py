"""One line of the table that ``python -m bench`` prints."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec

__all__ = ["Figure", "median", "percentile"]


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A measured value beside what it is compared with.

    Attributes:
        name: What was measured.
        unit: Of ``ours`` and ``other``, e.g. ``"objects/s"``.
        ours: The product's value.
        other: The value of what it is compared with, from the same run of the bench; None: nothing.
        against: What that is.
        ratio: How many times better ours is (above 1: better); None: nothing to compare with.
        target: What is asked for, as words, e.g. ``"ratio >= 10"``; empty: only for information.
        met: Whether it was reached; None when there is no target.
    """

    name: str
    unit: str
    ours: float
    other: float | None = None
    against: str = ""
    ratio: float | None = None
    target: str = ""
    met: bool | None = None

    @classmethod
    def compared(
        cls,
        name: str,
        unit: str,
        ours: float,
        other: float,
        against: str,
        *,
        more_is_better: bool,
        least_ratio: float | None = None,
        most: float | None = None,
    ) -> Figure:
        """A figure with a ratio; its target is a least ratio, a most of ours, or neither."""
        above, below = (ours, other) if more_is_better else (other, ours)
        ratio = above / below if below else float("inf")
        target, met = "", None
        if least_ratio is not None:
            target, met = f"ratio >= {least_ratio:g}", ratio >= least_ratio
        elif most is not None:
            target, met = f"< {most:g} {unit}", ours < most
        return cls(name=name, unit=unit, ours=ours, other=other, against=against, ratio=ratio, target=target, met=met)

    @classmethod
    def alone(cls, name: str, unit: str, ours: float, *, target: str = "", met: bool | None = None) -> Figure:
        """A figure that stands for itself."""
        return cls(name=name, unit=unit, ours=ours, target=target, met=met)


def median(values: Sequence[float]) -> float:
    """The middle value: a round that others disturbed does not count."""
    return float(statistics.median(values))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` (0..1) of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
