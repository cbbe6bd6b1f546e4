"""What is kept of a staged video, and what is known of it again when its answers are decoded.

Times of single frames are kept only where the rate varies, each video's in a file of its own (``frames/``): they are
half a megabyte an hour, and a shard may hold a thousand videos.
"""

from __future__ import annotations

import hashlib
import re

import msgspec

from vertex_model_inference.rows import DataRow
from vertex_model_inference.spec import Staged
from vertex_model_inference.steps.context import Context
from vertex_model_inference.steps.video_files import VideoHeader, video_header
from vertex_model_inference.storage.ranged import RangedFile
from vertex_model_inference.storage.store import Store

__all__ = ["look", "staged_video", "with_real_frames"]

_TIMES = msgspec.json.Decoder(tuple[float, ...])


def look(store: Store, path: str, name: str) -> tuple[int, VideoHeader]:
    """Size in bytes and header of a video in storage; blocks while it reads.

    Raises:
        NotFoundError: No such object.
        AssetError, StorageError: See ``video_header``.
    """
    file = RangedFile(store, path)
    return file.size, video_header(file, name)


async def staged_video(context: Context, row: DataRow, header: VideoHeader, uri: str, size: int) -> Staged:
    """The video as the model will read it; writes its ``frames/`` file where its rate varies.

    Raises:
        StorageError: The file cannot be written.
    """
    frames = None
    if header.times:
        safe = row.id if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", row.id) else hashlib.sha256(row.id.encode()).hexdigest()
        frames = f"{context.files.folder}/frames/{safe}.json"
        await context.store.aput(frames, msgspec.json.encode(header.times))
    width, height = header.width, header.height
    if (row.width, row.height) == (height, width):
        # Stored on its side, as phones do, and shown upright: Labelbox measures what is shown, and so do models.
        width, height = row.width, row.height
    return Staged(
        data_row_id=row.id,
        uri=uri,
        mime_type=header.mime_type,
        width=width,
        height=height,
        size=size,
        frame_rate=header.rate,
        frame_count=header.count,
        frame_times=frames,
    )


def with_real_frames(context: Context, row: DataRow, staged: Staged) -> DataRow:
    """The row with the frames that its file really has, where it was read: Labelbox's own figures may be rounded.

    Raises:
        StorageError: The file of times cannot be read.
    """
    if staged.frame_count is None:
        return row
    times = _TIMES.decode(context.store.get(staged.frame_times)) if staged.frame_times else ()
    rate = staged.frame_rate or row.frame_rate
    return msgspec.structs.replace(row, frame_rate=rate, frame_count=staged.frame_count, frame_times=times)
