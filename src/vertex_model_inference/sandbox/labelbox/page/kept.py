"""Things that take a while to make, kept for a while."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Kept"]

T = TypeVar("T")


class Kept(Generic[T]):
    """The things used last, up to a total weight. Two threads that want the same thing at once may both make it.

    Args:
        most: The greatest total weight; one thing that is heavier by itself is made and not kept.
        weight: Of a thing, such as its bytes.
    """

    def __init__(self, most: int, weight: Callable[[T], int] = lambda _: 1) -> None:
        self._most = most
        self._weight = weight
        self._total = 0
        self._things: OrderedDict[Hashable, tuple[int, T]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The thing of that name, made if it is not there. What ``make`` raises is raised, and nothing is kept."""
        found = self.peek(key)
        if found is not None:
            return found
        made = make()
        self.put(key, made)
        return made

    def peek(self, key: Hashable) -> T | None:
        """The thing of that name if it is there."""
        with self._lock:
            entry = self._things.get(key)
            if entry is None:
                return None
            self._things.move_to_end(key)
            return entry[1]

    def put(self, key: Hashable, thing: T) -> None:
        """Keep a thing; those used longest ago make room."""
        weight = self._weight(thing)
        if weight > self._most:
            return
        with self._lock:
            before = self._things.pop(key, None)
            self._total += weight - (before[0] if before is not None else 0)
            self._things[key] = (weight, thing)
            while self._total > self._most:
                _, (gone, _) = self._things.popitem(last=False)
                self._total -= gone
