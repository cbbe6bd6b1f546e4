"""Names of the array types that evaluation computes with, and tables that grow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Bools", "Columns", "Flags", "Floats", "Ints", "Table", "by_number", "summed"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Flags = npt.NDArray[np.uint16]
Table = dict[str, npt.NDArray[Any]]

_PIECE = 8192
_SPARE = 8
"""A full table grows by one part in so many: large blocks are remapped, not copied, so growing often costs little."""

_BITS = 20
"""Of each number in a combined key: three of them fit an int64."""


class Columns:
    """A table that grows: what is kept of a run is a few bytes an object, never its geometry.

    Args:
        without: Columns that are given but not kept.
        **types: Name of each column -> its numpy type.
    """

    def __init__(self, without: Sequence[str] = (), **types: npt.DTypeLike) -> None:
        self._kept = [None if name in without else np.dtype(kind) for name, kind in types.items()]
        self._names = [name for name in types if name not in without]
        self._columns = [np.empty(0, dtype=kind) for kind in self._kept if kind is not None]
        self._length = 0
        self._shown = False
        self._waiting: list[tuple[Any, ...]] = []

    def put(self, *row: Any) -> None:
        """Append one row: a value for each column, in their order."""
        self._waiting.append(row)
        if len(self._waiting) >= _PIECE:
            self._settle()

    def add(self, *columns: npt.ArrayLike) -> None:
        """Append one piece: an array for each column, in their order, all of one length.

        Raises:
            ValueError: They are of different lengths.
        """
        self._settle()
        self._append(columns)

    def get(self) -> Table:
        """The whole table, name -> column; what is added later does not show in it."""
        self._settle()
        self._shown = True
        return {name: column[: self._length] for name, column in zip(self._names, self._columns, strict=True)}

    def of_split(self, split: int | None) -> Table:
        """The rows of the table whose column ``split`` is that; None: all."""
        table = self.get()
        if split is None:
            return table
        keep = table["split"] == split
        return {name: column[keep] for name, column in table.items()}

    def _append(self, columns: Sequence[npt.ArrayLike]) -> None:
        arrays = [
            np.asarray(values, dtype=kind) for values, kind in zip(columns, self._kept, strict=True) if kind is not None
        ]
        if len({len(array) for array in arrays}) != 1:
            raise ValueError("the columns of a piece have different lengths")
        start, end = self._length, self._length + len(arrays[0])
        if end > len(self._columns[0]):
            self._grow(max(end, len(self._columns[0]) + len(self._columns[0]) // _SPARE, _PIECE))
        for column, array in zip(self._columns, arrays, strict=True):
            column[start:end] = array
        self._length = end

    def _grow(self, length: int) -> None:
        if self._shown:  # somebody may hold a view of the memory, which must not move away below it
            self._columns = [np.resize(column, length) for column in self._columns]
            self._shown = False
        else:
            for column in self._columns:
                column.resize(length, refcheck=False)

    def _settle(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._append(list(zip(*waiting, strict=True)))


def by_number(numbers: npt.NDArray[Any], count: int) -> Iterator[npt.NDArray[np.int32]]:
    """Where each of the numbers 0 ... count - 1 stands: rising indices, one array a number.

    Args:
        numbers: Of at most 2^31 things; negative ones belong to nobody.
        count: How many numbers there are.
    """
    small = numbers.astype(np.int16) if count < 1 << 15 else numbers  # numpy sorts 16 bits in linear time
    order = np.argsort(small, kind="stable").astype(np.int32)
    sizes = np.bincount(numbers[numbers >= 0], minlength=count)
    ends = np.cumsum(sizes) + (len(numbers) - int(sizes.sum()))
    for end, size in zip(ends.tolist(), sizes.tolist(), strict=True):
        yield order[end - size : end]


def summed(weights: npt.NDArray[Any] | None, *keys: npt.NDArray[Any]) -> Iterator[tuple[tuple[int, ...], float]]:
    """Sums by key: each combination that occurs, and the sum of its weights (None: how often it occurs).

    Args:
        weights: Shape (n,).
        *keys: At most three, each of shape (n,), from -1 to 2^20 - 2.
    """
    joined = np.zeros(len(keys[0]), dtype=np.int64)
    for key in keys:
        joined = (joined << _BITS) | (key.astype(np.int64) + 1)
    found, place = np.unique(joined, return_inverse=True)
    sums = np.bincount(place, weights, len(found))
    low = (1 << _BITS) - 1
    for number, total in zip(found.tolist(), sums.tolist(), strict=True):
        yield tuple((number >> shift & low) - 1 for shift in range(_BITS * (len(keys) - 1), -1, -_BITS)), total
