"""Classes and splits as small numbers, for tables of millions of objects."""

from __future__ import annotations

from vertex_model_inference.rows import Split

__all__ = ["ALL", "SPLITS", "Numbers", "split_number"]

ALL = "all"
SPLITS = tuple(split.value for split in Split)
_NUMBER = {split: number for number, split in enumerate(Split)}


def split_number(split: Split) -> int:
    """Place of the split in ``SPLITS``."""
    return _NUMBER[split]


class Numbers:
    """Names -> 0, 1, 2, ... in the order in which they come."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def of(self, name: str) -> int:
        """The name's number; a new one for a new name."""
        return self._numbers.setdefault(name, len(self._numbers))

    @property
    def names(self) -> list[str]:
        """All names, by number."""
        return list(self._numbers)
