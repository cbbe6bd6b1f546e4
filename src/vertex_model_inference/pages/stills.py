"""Pictures for a page out of assets that others made: a picture, a page of a PDF or a frame of a video, no larger than
a screen, without metadata, in one of two formats. Whatever cannot be read as what it should be is refused in words.

A picture is shown as its pixels are stored, like in Labelbox: its EXIF orientation is left aside.
"""

from __future__ import annotations

import io
import threading
from typing import IO, Any, NamedTuple

from PIL import Image

from vertex_model_inference.errors import AssetError

__all__ = ["Still", "frame_of_video", "page_of_pdf", "picture"]

_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "ICO", "JPEG2000", "AVIF", "PPM")
_PLAIN = {"PNG": "image/png", "WEBP": "image/webp"}
"""Of pictures that are small enough as they are."""
_SMALL_BYTES = 40_000
_MOST_PIXELS = 170_000_000
_DECODERS = threading.BoundedSemaphore(3)
"""Large pictures are tens of megabytes each once they are unpacked."""
_PDFIUM = threading.Lock()
_MOST_STEPS = 3000
"""Frames that are decoded on the way to the one that is wanted."""


class Still(NamedTuple):
    """A picture for a page.

    Attributes:
        data: The file. ``mime_type``: ``image/png``, ``image/webp`` or ``image/jpeg``.
        width, height: Of the original in pixels (of a PDF's page: points).
    """

    data: bytes
    mime_type: str
    width: float
    height: float


def picture(file: IO[bytes], side: int) -> Still:
    """A picture with sides of at most ``side`` pixels.

    Raises:
        AssetError: ``asset_corrupt``, ``asset_too_large``.
    """
    data = file.read()
    with _DECODERS:
        try:
            opened = Image.open(io.BytesIO(data), formats=_FORMATS)
            width, height = opened.size
            if width * height > _MOST_PIXELS:
                raise AssetError(f"{width} x {height} pixels are too many to show.", code="asset_too_large")
            small = max(width, height) <= side and len(data) <= _SMALL_BYTES
            if small and opened.format in _PLAIN and not opened.info.keys() & {"exif", "icc_profile"}:
                opened.load()  # what does not decode is refused here and not by the browser
                return Still(data, _PLAIN[opened.format], width, height)
            if opened.format == "JPEG":
                opened.draft("RGB", (side, side))
            opened.load()
            return _packed(opened, side, width, height)
        except AssetError:
            raise
        except Exception as error:  # noqa: BLE001  # Pillow raises whatever a broken file leads it to
            raise AssetError(
                f"The asset is not a picture that can be shown ({type(error).__name__}).", code="asset_corrupt"
            ) from None


def page_of_pdf(file: IO[bytes], page: int, side: int) -> Still:
    """A page of a PDF, from 1, drawn with sides of at most ``side`` pixels; its size in points.

    Raises:
        AssetError: ``asset_corrupt``, ``asset_page`` or ``documents_extra``.
    """
    try:
        import pypdfium2
    except ImportError:
        raise AssetError(
            "Pages of PDFs are drawn by PDFium, which is not installed here.",
            code="documents_extra",
            hint='Install "vertex-model-inference[documents]".',
        ) from None
    with _PDFIUM:
        try:
            document = pypdfium2.PdfDocument(file)
        except pypdfium2.PdfiumError as error:
            raise AssetError(f"The PDF cannot be opened ({error}).", code="asset_corrupt") from None
        try:
            if not 1 <= page <= len(document):
                raise AssetError(f"The PDF has no page {page}: it has {len(document)}.", code="asset_page")
            width, height = document.get_page_size(page - 1)
            if not 0 < width < 1e5 or not 0 < height < 1e5:
                raise AssetError(f"Page {page} has no size that can be drawn.", code="asset_corrupt")
            scale = side / max(width, height)
            drawn = document[page - 1].render(scale=scale).to_pil()
        except pypdfium2.PdfiumError as error:
            raise AssetError(f"Page {page} cannot be drawn ({error}).", code="asset_corrupt") from None
        finally:
            document.close()
    return _packed(drawn, side, float(width), float(height))


def frame_of_video(file: IO[bytes], frame: int, side: int, *, rate: float | None = None) -> Still:
    """A frame of a video, from 1, with sides of at most ``side`` pixels.

    Args:
        file: At its start.
        frame: Counted in the order in which frames are shown.
        side: In pixels.
        rate: Frames per second, to go there at once; None: all frames before it are decoded.

    Raises:
        AssetError: ``asset_corrupt``, ``asset_frame``, ``asset_too_large`` (too far into a video whose rate is not
            known) or ``video_extra``.
    """
    from vertex_model_inference.steps.video_files import video_type

    try:
        import av
    except ImportError:
        raise AssetError(
            "Frames of videos are read by PyAV, which is not installed here.",
            code="video_extra",
            hint='Install "vertex-model-inference[video]".',
        ) from None
    video_type(file.read(16), "this row")
    file.seek(0)
    with _DECODERS:
        try:
            # FFmpeg may open nothing but the file that it is given.
            with av.open(file, options={"protocol_whitelist": ""}, metadata_errors="ignore") as container:
                if not container.streams.video:
                    raise AssetError("The video has no pictures in it.", code="asset_corrupt")
                found = _seek(container, container.streams.video[0], frame, rate)
                drawn = found.to_image()
        except (av.error.FFmpegError, ValueError, OverflowError, OSError) as error:
            raise AssetError(f"The video cannot be read ({type(error).__name__}).", code="asset_corrupt") from None
    return _packed(drawn, side, drawn.width, drawn.height)


def _seek(container: Any, stream: Any, frame: int, rate: float | None) -> Any:
    stream.thread_type = "AUTO"
    wanted = None
    if rate and frame > 30:
        begin = stream.start_time or 0
        wanted = begin + round((frame - 1) / rate / float(stream.time_base))
        container.seek(wanted, stream=stream, backward=True)
    half = 0.5 / rate / float(stream.time_base) if rate else 0.0
    for number, decoded in enumerate(container.decode(stream), 1):
        if wanted is None:
            if number == frame:
                return decoded
        elif decoded.pts is not None and decoded.pts >= wanted - half:
            return decoded
        if number >= _MOST_STEPS:
            raise AssetError(f"Frame {frame} is too far into the video to be shown.", code="asset_too_large")
    raise AssetError(f"The video has no frame {frame}.", code="asset_frame")


def _packed(drawn: Any, side: int, width: float, height: float) -> Still:
    mode = "RGBA" if drawn.mode in ("RGBA", "LA", "PA") or "transparency" in drawn.info else "RGB"
    if drawn.mode.startswith(("I", "F")):
        drawn = _of_depth(drawn)
    plain = drawn.convert(mode)
    if max(plain.size) > side:
        plain.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    out = io.BytesIO()
    # Small pictures (digits, icons) are looked at pixel by pixel.
    plain.save(out, "WEBP", quality=82, method=2, lossless=max(plain.size) <= 128)
    return Still(out.getvalue(), "image/webp", width, height)


def _of_depth(drawn: Any) -> Any:
    """A picture of more than 8 bits a pixel, stretched to what a screen shows."""
    low, high = drawn.getextrema()
    scale = 255 / (high - low) if high > low else 1.0
    return drawn.point(lambda value: value * scale - low * scale).convert("L")
