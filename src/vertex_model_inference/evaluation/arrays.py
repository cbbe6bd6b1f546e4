"""Names of the array types that evaluation computes with."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Bools", "Columns", "Flags", "Floats", "Ints", "Table"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Flags = npt.NDArray[np.uint16]
Table = dict[str, npt.NDArray[Any]]

_PIECE = 8192


class Columns:
    """A table that grows: what is kept of a run is a few bytes an object, never its geometry.

    Args:
        **types: Name of each column -> its numpy type.
    """

    def __init__(self, **types: npt.DTypeLike) -> None:
        self._types = types
        self._pieces: list[list[npt.NDArray[Any]]] = [[] for _ in types]
        self._waiting: list[tuple[Any, ...]] = []

    def put(self, *row: Any) -> None:
        """Append one row: a value for each column, in their order."""
        self._waiting.append(row)
        if len(self._waiting) >= _PIECE:
            self._settle()

    def add(self, *columns: npt.ArrayLike) -> None:
        """Append one piece: an array for each column, in their order, all of one length."""
        self._settle()
        arrays = [np.asarray(values, dtype=kind) for values, kind in zip(columns, self._types.values(), strict=True)]
        if len({len(array) for array in arrays}) != 1:
            raise ValueError("the columns of a piece have different lengths")
        for pieces, array in zip(self._pieces, arrays, strict=True):
            pieces.append(array)

    def get(self) -> Table:
        """The whole table, name -> column; pieces are joined once and kept joined."""
        self._settle()
        for number, (pieces, kind) in enumerate(zip(self._pieces, self._types.values(), strict=True)):
            self._pieces[number] = [np.concatenate(pieces) if pieces else np.empty(0, dtype=kind)]
        return {name: pieces[0] for name, pieces in zip(self._types, self._pieces, strict=True)}

    def of_split(self, split: int | None) -> Table:
        """The rows of the table whose column ``split`` is that; None: all."""
        table = self.get()
        if split is None:
            return table
        keep = table["split"] == split
        return {name: column[keep] for name, column in table.items()}

    def _settle(self) -> None:
        if self._waiting:
            for pieces, values, kind in zip(
                self._pieces, zip(*self._waiting, strict=True), self._types.values(), strict=True
            ):
                pieces.append(np.asarray(values, dtype=kind))
            self._waiting = []
