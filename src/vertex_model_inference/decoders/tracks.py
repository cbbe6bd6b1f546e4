"""What decoders of tracks share: boxes as answers spell them, their order in time, and what is told by the name.

Forms of a box: four numbers in a list, or an object with ``xmin, ymin, xmax, ymax`` (also ``xMin``, ``x_min``, ``x1``),
``left, top, width, height``, or ``x, y, width, height`` (also ``w, h``) from the left top corner. Four numbers alone do
not tell their order, so that is part of the decoder's name and never guessed: ``video-tracks:xyxy``, ``:xywh``,
``:cxcywh`` or ``:yxyx``. Further parts of the name, in any order: ``relative`` (coordinates from 0 to 1 instead of
pixels) and ``from-1`` (the model numbers frames from 1; OpenCV, PyAV and torchvision number them from 0).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import clip, refuse, size_of
from vertex_model_inference.decoders.boxes_arrays import LAYOUTS
from vertex_model_inference.errors import UnknownOutputError
from vertex_model_inference.findings import FoundFrame
from vertex_model_inference.geometry.timeline import Timeline
from vertex_model_inference.rows import DataRow

__all__ = ["BoxForm", "Layout", "by_frame"]

BoxForm = list[float] | dict[str, float]
"""A box as answers spell it; see the module's docstring."""

_CORNERS = (("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"), ("left", "top", "right", "bottom"))
_SIZES = (("left", "top", "width", "height"), ("x", "y", "width", "height"), ("x", "y", "w", "h"))


class Layout(msgspec.Struct, frozen=True):
    """What a decoder's name tells of the numbers in its answers.

    Attributes:
        order: Of four numbers, one of ``LAYOUTS``; empty: not told.
        relative: Coordinates go from 0 to 1.
        base: Number of the first frame, 0 or 1.
    """

    order: str = ""
    relative: bool = False
    base: int = 0

    @classmethod
    def of(cls, family: str, text: str) -> Layout:
        """What follows the family's name and a colon.

        Raises:
            UnknownOutputError: A part that means nothing, or two orders.
        """
        parts = [part for part in text.split(":") if part]
        orders = [part for part in parts if part in LAYOUTS]
        rest = sorted(part for part in parts if part not in LAYOUTS)
        if len(orders) > 1 or len(set(rest)) < len(rest) or set(rest) - {"relative", "pixels", "from-0", "from-1"}:
            raise UnknownOutputError(
                f"{family} has no layout {text!r}.",
                hint=f"Use one of {', '.join(LAYOUTS)}, with ':relative' for coordinates from 0 to 1 and ':from-1' for "
                "frames counted from 1.",
                decoder=family,
            )
        return cls(orders[0] if orders else "", "relative" in rest, 1 if "from-1" in rest else 0)

    def box(self, form: BoxForm, row: DataRow, name: str, where: str) -> tuple[float, float, float, float]:
        """A box as (left, top, width, height) in pixels within the asset.

        Raises:
            DecodeError: It is none, its order is not told, or it lies outside the asset.
        """
        left, top, right, bottom = self._corners(form, row, name, where)
        if self.relative:
            width, height = size_of(row, name)
            left, top, right, bottom = left * width, top * height, right * width, bottom * height
        return clip(left, top, right, bottom, row, name, where)

    def _corners(self, form: BoxForm, row: DataRow, name: str, where: str) -> tuple[float, float, float, float]:
        if isinstance(form, dict):
            named = {key.lower().replace("_", ""): value for key, value in form.items()}
            for keys in _CORNERS:
                if all(key in named for key in keys):
                    left, top, right, bottom = (named[key] for key in keys)
                    return left, top, right, bottom
            for keys in _SIZES:
                if all(key in named for key in keys):
                    left, top, wide, high = (named[key] for key in keys)
                    return left, top, left + wide, top + high
            refuse(name, row, f"{where} has the keys {', '.join(sorted(form))!r:.100}, which are no box's")
        if len(form) != 4:
            refuse(name, row, f"{where} has {len(form)} numbers, a box has four")
        if not self.order:
            family = name.partition(":")[0]
            hint = f'Set decoder = "{family}:xyxy" (or xywh, cxcywh, yxyx; plus ":relative" for 0..1) in vmi.toml.'
            refuse(name, row, f"nothing says in which order the four numbers of {where} are", hint)
        a, b, c, d = form
        if self.order == "xyxy":
            return a, b, c, d
        if self.order == "yxyx":
            return b, a, d, c
        if self.order == "xywh":
            return a, b, a + c, b + d
        return a - c / 2, b - d / 2, a + c / 2, b + d / 2


def by_frame(placed: Sequence[tuple[float, FoundFrame]], timeline: Timeline | None) -> tuple[FoundFrame, ...]:
    """Boxes of one object in the order of frames, one a frame: of several the one whose time is nearest to the frame's.

    Args:
        placed: Seconds (or, without a timeline, anything) and the box.
        timeline: Of the video; None: the frames' numbers came from the model, of one number the first box stays.
    """
    best: dict[int, tuple[float, FoundFrame]] = {}
    for seconds, frame in placed:
        off = 0.0 if timeline is None else abs(seconds - timeline.time_of(frame.frame))
        if frame.frame not in best or off < best[frame.frame][0]:
            best[frame.frame] = (off, frame)
    return tuple(best[number][1] for number in sorted(best))
