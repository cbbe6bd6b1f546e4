"""From a picture as it is shown to the picture as it is stored, by EXIF's orientation. Pure.

The orientation (tag 0x0112 of EXIF 2.32, section 4.6.4 A) says how the stored rows and columns are to be shown: 2
mirrored left to right, 3 turned by 180 degrees, 4 mirrored top to bottom, 5 mirrored at the diagonal from the top left,
6 turned by 90 degrees clockwise, 7 mirrored at the other diagonal, 8 turned by 90 degrees anticlockwise. From 5 on
width and height change places.
"""

from __future__ import annotations

import numpy as np

from vertex_model_inference.geometry.runs import BitMask

__all__ = ["shown_size", "stored_box", "stored_mask", "stored_point"]


def shown_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Width and height of the picture as it is shown, from those that are stored; pixels."""
    return (height, width) if orientation >= 5 else (width, height)


def stored_point(x: float, y: float, width: float, height: float, orientation: int) -> tuple[float, float]:
    """A point of the picture as it is shown -> the same in the picture as it is stored.

    Args:
        x: Pixels from the left edge of the picture as it is shown; ``y``: from its top edge.
        width: Of the picture as it is stored, in pixels; likewise ``height``.
        orientation: 1 to 8; anything else counts as 1.
    """
    match orientation:
        case 2:
            return width - x, y
        case 3:
            return width - x, height - y
        case 4:
            return x, height - y
        case 5:
            return y, x
        case 6:
            return y, height - x
        case 7:
            return width - y, height - x
        case 8:
            return width - y, x
        case _:
            return x, y


def stored_box(
    box: tuple[float, float, float, float], width: float, height: float, orientation: int
) -> tuple[float, float, float, float]:
    """A box (left, top, width, height) of the picture as it is shown -> the same in the picture as it is stored."""
    x0, y0 = stored_point(box[0], box[1], width, height, orientation)
    x1, y1 = stored_point(box[0] + box[2], box[1] + box[3], width, height, orientation)
    return min(x0, x1), min(y0, y1), abs(x1 - x0), abs(y1 - y0)


def stored_mask(mask: BitMask, orientation: int) -> BitMask:
    """A mask (height, width) of the picture as it is shown -> the same of the picture as it is stored."""
    match orientation:
        case 2:
            turned = mask[:, ::-1]
        case 3:
            turned = mask[::-1, ::-1]
        case 4:
            turned = mask[::-1]
        case 5:
            turned = mask.T
        case 6:
            turned = np.rot90(mask)
        case 7:
            turned = np.rot90(mask, 2).T
        case 8:
            turned = np.rot90(mask, -1)
        case _:
            turned = mask
    return np.ascontiguousarray(turned)
