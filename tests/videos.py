"""Real video files, made by PyAV where a test needs one."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt

__all__ = ["Picture", "noise", "video"]

Picture = Callable[[int], npt.NDArray[np.uint8]]
"""Number of a frame, from 0 -> its pixels, (height, width, 3)."""


def noise(size: tuple[int, int]) -> Picture:
    """Frames of noise, of (width, height), each another."""

    def picture(number: int) -> npt.NDArray[np.uint8]:
        return np.random.default_rng(number).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)

    return picture


def video(
    times_ms: Sequence[int],
    codec: str = "mpeg4",
    form: str = "mp4",
    size: tuple[int, int] = (64, 48),
    picture: Picture | None = None,
) -> bytes:
    """A video with a frame at each of these milliseconds.

    Args:
        times_ms: Rising.
        codec: Of FFmpeg; ``form``: likewise the format of the file.
        size: Width and height in pixels.
        picture: Makes the frames; noise where it is not given.
    """
    buffer = io.BytesIO()
    draw = picture or noise(size)
    with av.open(buffer, "w", format=form) as container:
        stream: Any = container.add_stream(codec, rate=30)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(draw(number), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()
