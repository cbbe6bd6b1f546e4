"""What a video file is: type, size, and when its frames are shown, from its header (the extra ``video``: PyAV).

Nothing is decoded. MP4, QuickTime and AVI files have a table of their frames, so that of these the header is read and
nothing else, however long they are. Only where it says that the rate varies, and frames are stored in another order
than they are shown, the file is read through once for their time stamps; so are Matroska and WebM files, which have no
table.

The format is told by the file's first bytes and FFmpeg is held to it: left to guess, it would take some texts for
playlists and open what they name.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Protocol

import msgspec

from vertex_model_inference.errors import AssetError

__all__ = ["AUTOML_VIDEOS", "GEMINI_VIDEOS", "MAX_FRAMES", "ReadableFile", "VideoHeader", "video_header", "video_type"]

AUTOML_VIDEOS = frozenset(("video/mp4", "video/avi", "video/quicktime"))
"""Of Vertex's instance schemas for video models (video_classification_1.0.0.yaml and its like)."""

GEMINI_VIDEOS = AUTOML_VIDEOS | {"video/webm", "video/mpeg", "video/x-flv", "video/wmv", "video/3gpp"}
"""Of Gemini's documentation of what it watches."""

MAX_FRAMES = 2_000_000
"""18 hours at 30 frames a second; a table with more is a mistake or an attack."""

_STEADY = 0.25
"""Frames by which a time stamp may be off the constant rate: then each time still means the same frame."""

_DEMUXERS = {
    "video/mp4": "mov",
    "video/quicktime": "mov",
    "video/avi": "avi",
    "video/webm": "matroska",
    "video/x-matroska": "matroska",
}
_QUICKTIME = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
"""Boxes that a QuickTime file without ``ftyp`` may begin with (QuickTime File Format Specification)."""


class ReadableFile(Protocol):
    """A file that can be read anywhere."""

    def read(self, count: int = -1, /) -> bytes:
        """At most so many bytes."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go somewhere."""

    def tell(self) -> int:
        """Where it is."""


class VideoHeader(msgspec.Struct, frozen=True):
    """What a video's header says.

    Attributes:
        mime_type: ``video/mp4``, ``video/quicktime``, ``video/avi``, ``video/webm`` or ``video/x-matroska``.
        width: Pixels as stored, before any rotation; likewise ``height``. None: PyAV is not installed.
        rate: Frames per second; the mean where it varies.
        count: Frames that are shown.
        times: Seconds of each frame, from 0, rising; only where the rate varies.
    """

    mime_type: str
    width: int | None = None
    height: int | None = None
    rate: float | None = None
    count: int | None = None
    times: tuple[float, ...] = ()


def video_type(start: bytes, name: str) -> str:
    """The type of a video by its first 16 bytes.

    Args:
        start: Of the file.
        name: Of the row or asset, for messages.

    Raises:
        AssetError: ``asset_empty``, or ``asset_corrupt``: no video format that is known.
    """
    if not start:
        raise AssetError(f"The asset of {name} is empty.", code="asset_empty")
    if start[4:8] == b"ftyp":
        return "video/quicktime" if start[8:12] == b"qt  " else "video/mp4"
    if start[4:8] in _QUICKTIME:
        return "video/quicktime"
    if start[:4] == b"RIFF" and start[8:12] == b"AVI ":
        return "video/avi"
    if start[:4] == b"\x1aE\xdf\xa3":
        return "video/x-matroska"
    raise AssetError(
        f"The asset of {name} is not a video that is known.",
        code="asset_corrupt",
        hint="Known are MP4, QuickTime, AVI, Matroska and WebM.",
    )


def video_header(source: bytes | ReadableFile, name: str) -> VideoHeader:
    """Read a video's header; blocks while it reads.

    Args:
        source: The whole file, or the file itself, which is read by pieces.
        name: Of the row or asset, for messages.

    Returns:
        The type alone where PyAV is not installed.

    Raises:
        AssetError: ``asset_empty``, ``asset_corrupt`` (no known video, damaged, or no picture in it) or
            ``asset_too_large`` (more than ``MAX_FRAMES`` frames).
        StorageError: The file cannot be read any more.
    """
    file: ReadableFile = io.BytesIO(source) if isinstance(source, bytes) else source
    mime = video_type(file.read(16), name)
    file.seek(0)
    try:
        import av
    except ImportError:
        return VideoHeader(mime)
    failure: list[BaseException] = []
    try:
        # FFmpeg may open nothing but the file that it is given.
        with av.open(
            _Guarded(file, failure),
            format=_DEMUXERS[mime],
            options={"protocol_whitelist": ""},
            metadata_errors="ignore",
        ) as container:
            if not container.streams.video:
                raise AssetError(f"The asset of {name} has no pictures in it.", code="asset_corrupt")
            found = _read(container, container.streams.video[0], mime, name)
    except (av.error.FFmpegError, ValueError, OverflowError, OSError) as error:
        if failure:
            raise failure[0] from None
        raise AssetError(
            f"The asset of {name} is a damaged video: {str(error)[:200]}",
            code="asset_corrupt",
            hint="Open the data row in Labelbox: if it does not play there either, replace the file.",
        ) from None
    return found


def _read(container: Any, stream: Any, mime: str, name: str) -> VideoHeader:
    width, height = int(stream.width), int(stream.height)
    index = stream.index_entries
    if len(index) > MAX_FRAMES:
        raise AssetError(f"The video of {name} has more than {MAX_FRAMES:,} frames.", code="asset_too_large")
    ticks: Sequence[int] = []
    if _DEMUXERS[mime] == "matroska":
        mime = "video/webm" if stream.codec_context.name in ("vp8", "vp9", "av1", "libdav1d") else mime
        ticks = _through(container, stream, name)
    else:
        ticks = sorted(entry.timestamp for entry in index if not entry.is_discard)
        if not _steady(ticks) and stream.codec_context.has_b_frames:
            ticks = _through(container, stream, name)  # the table has the order of decoding
    if not ticks:
        raise AssetError(f"The video of {name} has no frames.", code="asset_corrupt")
    base = Fraction(stream.time_base)
    length = (ticks[-1] - ticks[0]) * base
    rate = float((len(ticks) - 1) / length) if length > 0 else float(stream.average_rate or 0) or None
    times = () if _steady(ticks) else tuple(round(float((tick - ticks[0]) * base), 6) for tick in dict.fromkeys(ticks))
    return VideoHeader(mime, width, height, rate, len(times) or len(ticks), times)


def _steady(ticks: Sequence[int]) -> bool:
    """Whether rising time stamps are those of a constant rate, but for rounding."""
    if len(ticks) < 3:
        return True
    step = (ticks[-1] - ticks[0]) / (len(ticks) - 1)
    return all(abs(tick - ticks[0] - n * step) <= _STEADY * step for n, tick in enumerate(ticks))


def _through(container: Any, stream: Any, name: str) -> list[int]:
    """The time stamps of all frames that are shown, rising."""
    found = []
    for packet in container.demux(stream):
        if packet.pts is not None and not packet.is_discard:
            found.append(int(packet.pts))
            if len(found) > MAX_FRAMES:
                raise AssetError(f"The video of {name} has more than {MAX_FRAMES:,} frames.", code="asset_too_large")
    return sorted(found)


class _Guarded:
    """The file as PyAV reads it; keeps what went wrong, which FFmpeg would tell as an input/output error."""

    def __init__(self, file: ReadableFile, failure: list[BaseException]) -> None:
        self._file = file
        self._failure = failure

    def read(self, count: int = -1) -> bytes:
        try:
            return self._file.read(count)
        except Exception as error:
            self._failure.append(error)
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()
