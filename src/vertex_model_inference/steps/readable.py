"""Which media a model can be sent, and what a file of theirs is, by its own first bytes."""

from __future__ import annotations

from vertex_model_inference.errors import AssetError
from vertex_model_inference.models import Task
from vertex_model_inference.rows import DataRow, MediaType
from vertex_model_inference.steps.texts import TEXTUAL

__all__ = ["FILES", "audio_type", "unreadable"]

FILES = frozenset((MediaType.DOCUMENT, MediaType.AUDIO))
"""Media whose rows are sent as files, besides pictures."""

_MAGIC = ((b"fLaC", 0, "flac"), (b"OggS", 0, "ogg"), (b"ftyp", 4, "mp4"), (b"\x1aE\xdf\xa3", 0, "webm"))

_READABLE = TEXTUAL | FILES | {MediaType.IMAGE, MediaType.TILED_IMAGE}


def unreadable(media_type: MediaType, task: Task | None) -> str | None:
    """Why a model cannot be sent rows of a medium, in one sentence; None: it can.

    Args:
        media_type: Of the row.
        task: What the model does, where that is known; a model of unknown task is sent whatever its template names.
    """
    name = media_type.value.replace("_", " ")
    if media_type not in _READABLE:
        return f"{name} rows cannot be sent to this model."
    if task is not None and not task.takes_text and media_type is not MediaType.IMAGE:
        return f"The model takes images; the row is {name}."
    if task is not None and task.takes_text and media_type not in TEXTUAL:
        return f"The model takes texts; the row is {name}."
    return None


def audio_type(start: bytes, row: DataRow) -> str:
    """The type of a sound file by its first bytes, else what Labelbox says of it.

    Args:
        start: At least 16 bytes of the file, if it has so many.
        row: The data row.

    Raises:
        AssetError: ``asset_empty`` or ``asset_corrupt``: neither tells that it is sound.
    """
    if not start:
        raise AssetError(f"The asset of data row {row.id} is empty.", code="asset_empty", data_row_id=row.id)
    if start[:4] == b"RIFF" and start[8:12] == b"WAVE":
        return "audio/wav"
    if start[:3] == b"ID3" or (len(start) > 1 and start[0] == 0xFF and start[1] & 0xE6 == 0xE2):
        return "audio/mpeg"
    for magic, at, kind in _MAGIC:
        if start[at : at + len(magic)] == magic:
            return f"audio/{kind}"
    if start[0] == 0xFF and len(start) > 1 and start[1] & 0xF6 == 0xF0:
        return "audio/aac"
    if row.mime_type and row.mime_type.startswith("audio/"):
        return row.mime_type
    raise AssetError(
        f"The asset of data row {row.id} is not a sound file that is known.",
        code="asset_corrupt",
        hint="Known are WAV, MP3, FLAC, Ogg, MP4, WebM and AAC.",
        data_row_id=row.id,
    )
