"""Masks <-> polygons and PNG files.

Pixel (column i, row j) covers the square from (i, j) to (i+1, j+1), its centre is (i+0.5, j+0.5). A polygon covers the
pixels whose centres are within it; the outline of a mask runs along the edges of its pixels. So an outline that is not
simplified, drawn again, gives the same mask.
"""

from __future__ import annotations

import io

import numpy as np

from vertex_model_inference.geometry.polygons import Ring, area, simplify
from vertex_model_inference.geometry.runs import BitMask

__all__ = ["draw", "outlines", "png", "scaled"]


def png(mask: BitMask) -> bytes:
    """The mask as an 8-bit greyscale PNG: 1 where the object is, 0 elsewhere, as the ``labelbox`` SDK writes it."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def scaled(mask: BitMask, width: int, height: int) -> BitMask:
    """The mask in another size, in pixels: each pixel is that which its centre falls into."""
    high, wide = mask.shape
    rows = ((np.arange(height) + 0.5) * (high / height)).astype(np.int64)
    columns = ((np.arange(width) + 0.5) * (wide / width)).astype(np.int64)
    return mask[np.ix_(rows, columns)]


def draw(points: Ring, width: int, height: int) -> BitMask:
    """The pixels of a picture whose centres lie within a polygon (even-odd where it crosses itself).

    A centre that lies exactly on a side belongs to what is to its right or below, so that polygons which share a side
    share no pixel.

    Args:
        points: (x, y) in pixels around the ring; may reach outside the picture.
        width: Of the picture, in pixels; likewise ``height``.
    """
    # Each crossing of a side with a row's centre line turns over all pixels whose centres are right of it: a scan line
    # for all rows at once. OpenCV's fillPoly and Pillow's polygon() also paint the border, which makes objects grow.
    flips = np.zeros((height, width + 1), dtype=np.int32)
    ends = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    for (x0, y0), (x1, y1) in zip(ends, np.roll(ends, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        if y0 > y1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        first = int(np.clip(np.ceil(y0 - 0.5), 0, height))
        beyond = int(np.clip(np.ceil(y1 - 0.5), 0, height))
        if first >= beyond:
            continue
        rows = np.arange(first, beyond)
        crossing = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
        columns = np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.int64)
        flips[rows, columns] += 1
    drawn: BitMask = (np.cumsum(flips, axis=1)[:, :width] & 1).astype(np.bool_)
    return drawn


def outlines(mask: BitMask, tolerance: float = 0.0, smallest: float = 0.0) -> tuple[Ring, ...]:
    """The polygons of a mask: one of each connected part, those with holes cut open so that the holes stay free.

    Labelbox's polygons have one ring. A part with holes is cut along a row through each hole into parts without; they
    share the cut but no pixel, and together cover what the mask covers. Parts are joined over sides, not over corners,
    so no ring touches itself.

    Args:
        mask: (height, width).
        tolerance: Pixels by which a simplified outline may leave the true one; 0 keeps every corner.
        smallest: Square pixels; smaller parts are left out as noise.

    Returns:
        Rings of (x, y) in pixels, the largest first.
    """
    import cv2

    rings: list[Ring] = []
    pieces = [(mask, 0, 0)]
    while pieces:
        piece, left, top = pieces.pop()
        count, labels, stats, _ = cv2.connectedComponentsWithStats(piece.astype(np.uint8), connectivity=4)
        for number in range(1, count):
            x, y, wide, high, size = (int(value) for value in stats[number][:5])
            if size < smallest:
                continue
            part = labels[y : y + high, x : x + wide] == number
            cut = _row_of_a_hole(part)
            if cut is None:
                ring = tuple((px + x + left, py + y + top) for px, py in _ring(part))
                rings.append(simplify(ring, tolerance))
            else:
                pieces.append((part[:cut], x + left, y + top))
                pieces.append((part[cut:], x + left, y + top + cut))
    return tuple(sorted(rings, key=lambda ring: (-area(ring), ring)))


def _row_of_a_hole(part: BitMask) -> int | None:
    """A row, not the first, that cuts the largest hole of the part open; None: it has no holes.

    Background that is joined to the outside over corners only is a hole too: a ring would touch itself there.
    """
    import cv2

    free = np.pad(~part, 1, constant_values=True).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(free, connectivity=4)
    holes = [stats[n] for n in range(1, count) if stats[n][cv2.CC_STAT_TOP] > 0]  # the outside begins in the frame
    if not holes:
        return None
    largest = max(holes, key=lambda stat: int(stat[cv2.CC_STAT_AREA]))
    return int(largest[cv2.CC_STAT_TOP]) - 1 + int(largest[cv2.CC_STAT_HEIGHT]) // 2


def _ring(part: BitMask) -> Ring:
    """The corners around one part without holes that touches itself nowhere, from its top left, clockwise.

    Corners are where an odd number of the four pixels around a point belong to the part. In the order of rows (columns)
    each two neighbours are the ends of a horizontal (vertical) side.
    """
    grid = np.pad(part, 1).astype(np.int8)
    around = grid[:-1, :-1] + grid[1:, :-1] + grid[:-1, 1:] + grid[1:, 1:]
    rows, columns = np.nonzero(around & 1)
    corners = list(zip(columns.tolist(), rows.tolist(), strict=True))
    across: dict[tuple[int, int], tuple[int, int]] = {}
    down: dict[tuple[int, int], tuple[int, int]] = {}
    for sides, ordered in ((across, corners), (down, sorted(corners))):
        for one, other in zip(ordered[::2], ordered[1::2], strict=True):
            sides[one], sides[other] = other, one
    ring = [corners[0]]
    here = across[corners[0]]
    sides = down
    while here != corners[0]:
        ring.append(here)
        here = sides[here]
        sides = across if sides is down else down
    return tuple((float(x), float(y)) for x, y in ring)
