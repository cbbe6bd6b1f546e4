"""How far lines are apart, in pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["line_distance"]

Points = tuple[tuple[float, float], ...]
_Floats = npt.NDArray[np.float64]
_SAMPLES = 64


def line_distance(one: Points, other: Points, samples: int = _SAMPLES) -> float:
    """The mean distance of two lines: from places at even steps along each to the nearest place of the other.

    The same whichever line comes first and whichever end each begins at; it depends little on how many points a line
    has, and not at all on points in the middle of a straight stretch.

    Args:
        one: (x, y) in pixels, at least one point. ``other``: likewise.
        samples: Places looked at on each line.
    """
    a, b = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    return float((_to_line(_along(a, samples), b).mean() + _to_line(_along(b, samples), a).mean()) / 2)


def _along(line: _Floats, samples: int) -> _Floats:
    """Places at even steps from end to end, shape (samples, 2)."""
    lengths = np.hypot(*np.diff(line, axis=0).T) if len(line) > 1 else np.zeros(0)
    at = np.concatenate(([0.0], np.cumsum(lengths)))
    where = np.linspace(0.0, at[-1], samples)
    return np.stack((np.interp(where, at, line[:, 0]), np.interp(where, at, line[:, 1])), axis=1)


def _to_line(places: _Floats, line: _Floats) -> _Floats:
    """Distance of each place to the nearest point of the line."""
    starts, ends = (line[:-1], line[1:]) if len(line) > 1 else (line, line)
    along = ends - starts
    squared = (along**2).sum(axis=1)
    offset = places[:, None, :] - starts
    share = (offset * along).sum(axis=2) / np.where(squared > 0, squared, 1.0)
    nearest = starts + np.clip(share, 0.0, 1.0)[:, :, None] * along
    found: _Floats = np.hypot(*np.moveaxis(places[:, None, :] - nearest, 2, 0)).min(axis=1)
    return found
