"""The key frames that a track needs: between two of them Labelbox draws the box in between, on straight lines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["Edges", "key_frames"]

Edges = tuple[float, float, float, float]
"""left, top, right, bottom in pixels."""


def key_frames(frames: Sequence[int], boxes: Sequence[Edges], tolerance: float) -> tuple[int, ...]:
    """Which of a track's boxes must be kept so that drawing the others in between misses none of them by too much.

    The stretch between two kept frames is cut at the frame where the straight line is farthest off (Ramer, Douglas and
    Peucker's rule, in time instead of in the plane), until in every given frame each of the four edges is off by no
    more than ``tolerance``: that is the bound, and it holds for every frame that was given. Of frames that were not
    given nothing is known; there, too, the box moves on a straight line.

    Args:
        frames: Numbers, rising.
        boxes: Of each frame.
        tolerance: Pixels, >= 0; 0 keeps every frame at which the movement changes.

    Returns:
        Indices, rising; the first and the last are always among them.
    """
    last = len(frames) - 1
    if last < 2:
        return tuple(range(last + 1))
    at = np.asarray(frames, dtype=np.float64)
    edges = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    kept = {0, last}
    pending = [(0, last)]
    while pending:
        start, end = pending.pop()
        if end - start < 2:
            continue
        share = ((at[start + 1 : end] - at[start]) / (at[end] - at[start]))[:, None]
        between = edges[start] + share * (edges[end] - edges[start])
        off = np.abs(edges[start + 1 : end] - between).max(axis=1)
        farthest = int(off.argmax())
        # Arithmetic alone is off by a few units in the last place, more so far from the origin.
        if off[farthest] > tolerance + 1e-9 * (1.0 + float(np.abs(edges[start + 1 + farthest]).max())):
            middle = start + 1 + farthest
            kept.add(middle)
            pending += [(start, middle), (middle, end)]
    return tuple(sorted(kept))
