"""Pictures made here, since a browser cannot show a PDF's page or a video's frame by its number. Pure functions."""

from __future__ import annotations

import io
from typing import Any

from vertex_model_inference.sandbox.labelbox import assets, layouts

__all__ = ["PictureError", "frames_of", "page_of"]

_QUALITY = 82
_MOST_SIDE = 960
_AHEAD = 24
"""Frames decoded together: who looks at one goes on to the next, and decoding starts at a key frame anyway."""


class PictureError(ValueError):
    """There is no such picture; the message says why."""


def _jpeg(image: Any) -> bytes:
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()


def page_of(pdf: bytes, number: int, width: int) -> bytes:
    """A page of a PDF as JPEG.

    Args:
        pdf: The document.
        number: Of the page, from 1.
        width: Pixels across; pages that are much longer than wide are made smaller.

    Raises:
        PictureError: It is no PDF, or has no such page.
    """
    import pypdfium2

    with layouts.PDFIUM:
        try:
            document = pypdfium2.PdfDocument(pdf)
        except pypdfium2.PdfiumError as error:
            raise PictureError(f"The document cannot be opened: {error}") from None
        try:
            if not 1 <= number <= len(document):
                raise PictureError(f"The document has pages 1 to {len(document)}, not {number}.")
            across, down = document.get_page_size(number - 1)
            scale = min(width / max(across, 1.0), 3 * width / max(down, 1.0))
            image = document[number - 1].render(scale=scale).to_pil()
        except pypdfium2.PdfiumError as error:
            raise PictureError(f"Page {number} cannot be drawn: {error}") from None
        finally:
            document.close()
    return _jpeg(image)


def frames_of(content: bytes, number: int) -> dict[int, bytes]:
    """A frame of a video, and some that follow it, as JPEG, at most 960 pixels on the longer side.

    Args:
        content: The video's file.
        number: Of the frame, from 1, in the order in which they are shown.

    Raises:
        PictureError: It is no video of a known kind, or has no such frame.
    """
    import av

    made: dict[int, bytes] = {}
    try:
        with assets.opened_film(content) as container:
            if container is None or not container.streams.video:
                raise PictureError("The file is no video that can be opened.")
            stream = container.streams.video[0]
            times = sorted(p.pts for p in container.demux(stream) if p.size and p.pts is not None)
            if not 1 <= number <= len(times):
                raise PictureError(f"The video has frames 1 to {len(times)}, not {number}.")
            numbers = {time: n for n, time in enumerate(times, 1)}
            container.seek(times[number - 1], stream=stream, backward=True)
            for frame in container.decode(stream):
                this = numbers.get(frame.pts, 0)
                if this < number:
                    continue
                scale = min(1.0, _MOST_SIDE / max(frame.width, frame.height))
                size = (max(1, round(frame.width * scale)), max(1, round(frame.height * scale)))
                made[this] = _jpeg(frame.to_image(width=size[0], height=size[1]))
                if this >= number + _AHEAD:
                    break
    except (av.error.FFmpegError, ValueError) as error:
        if isinstance(error, PictureError):
            raise
        raise PictureError(f"The video cannot be decoded: {error}") from None
    if number not in made:
        raise PictureError(f"Frame {number} cannot be decoded.")
    return made
