"""Numbers as people read them. Pure."""

from __future__ import annotations

__all__ = ["confidence", "figure", "plural", "shortened", "signed"]


def confidence(value: float | None) -> str:
    """A confidence as a percentage: ``83 %``; nothing where there is none. What is not certain never reads 100 %."""
    if value is None:
        return ""
    if 0.995 <= value < 1:
        return ">99 %"
    if 0 < value < 0.005:
        return "<1 %"
    return f"{value * 100:.0f} %"


def figure(value: float | None, digits: int = 3) -> str:
    """A rate with that many decimals; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 3) -> str:
    """A difference with its sign; a dash where there is none. Nought has none."""
    if value is None:
        return "–"
    said = f"{value:+.{digits}f}"
    return said[1:] if float(said) == 0 else said.replace("-", "−")


def plural(count: int, one: str, many: str | None = None) -> str:
    """``1 row``, ``2,000 rows``."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def shortened(text: str, most: int) -> str:
    """At most ``most`` characters, the last an ellipsis where some were left out."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
