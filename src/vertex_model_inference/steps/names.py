"""Finding a feature by the name that a model gives it: never by guess, always by the first rule that fits."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

__all__ = ["NameIndex", "Named", "fold"]

_ACCENTS = dict.fromkeys(range(768, 880))
"""Combining accents of Latin, Greek and Cyrillic only: in other scripts such marks are letters (vowels)."""

_FILLERS = {ord("_"): None, ord("-"): None}


def fold(name: str) -> str:
    """A name without case, spaces, ``_``, ``-`` and accents; what has nothing else keeps them."""
    plain = unicodedata.normalize("NFKD", name).translate(_ACCENTS).casefold()
    return "".join(plain.translate(_FILLERS).split()) or plain


class Named(Protocol):
    """A feature that a class can mean."""

    @property
    def names(self) -> tuple[str, ...]:
        """What it is called, and its schema id."""

    @property
    def path(self) -> tuple[str, ...]:
        """Names from the tool or the top-level question down to it; of one part for those themselves."""


T = TypeVar("T", bound=Named)


class NameIndex(Generic[T]):
    """Features by name: exact, then folded, then by path (``Question/Option``, also ``Question_Option``).

    Of a feature that stands deeper the whole path comes before its last parts (``Breed/Poodle`` of
    ``Animal/Dog/Breed/Poodle``).
    """

    def __init__(self, features: Iterable[T]) -> None:
        self._exact: dict[str, list[T]] = {}
        self._folded: dict[str, list[T]] = {}
        self._paths: dict[str, list[T]] = {}
        self._ends: dict[str, list[T]] = {}
        self._known: dict[str, None] = {}
        for feature in features:
            for name in dict.fromkeys(feature.names):
                self._exact.setdefault(name, []).append(feature)
            for folded in dict.fromkeys(map(fold, feature.names)):
                self._folded.setdefault(folded, []).append(feature)
            folds = [fold(part) for part in feature.path]
            for first in range(len(folds) - 1):
                into = self._ends if first else self._paths
                for joined in dict.fromkeys(("/".join(folds[first:]), "".join(folds[first:]))):
                    into.setdefault(joined, []).append(feature)
            self._known[feature.names[0]] = None
            self._known["/".join(feature.path)] = None

    def find(self, name: str) -> tuple[T, ...]:
        """All features that fit by the first rule that any fits by; several are an ambiguity."""
        found = self._exact.get(name)
        if not found:
            folded = fold(name)
            found = self._folded.get(folded) or self._paths.get(folded) or self._ends.get(folded)
        return tuple(found or ())

    def nearest(self, name: str) -> str | None:
        """The most similar name, as a suggestion."""
        by_fold = {fold(known): known for known in self._known}
        close = difflib.get_close_matches(fold(name), by_fold, n=1, cutoff=0.6)
        return by_fold[close[0]] if close else None
