"""Findings of a model that turns pictures as their EXIF orientation says, brought back to the picture as it is stored.

Labelbox leaves the orientation aside, on purpose: it shows and measures a picture as its pixels are stored
(community.labelbox.com/t/how-to-rotate-image-assets-exif-metadata/611). So do torchvision's and TensorFlow's readers,
whose answers fit as they are. Others turn the picture first (Hugging Face pipelines, OpenCV's ``imread``, browsers);
theirs fit after ``exif = "applied"`` in the model's section of ``vmi.toml``. The bytes that a model is sent are never
changed.
"""

from __future__ import annotations

import msgspec

from vertex_model_inference.decoders.base import Decoder
from vertex_model_inference.errors import DecodeError
from vertex_model_inference.findings import (
    Finding,
    FoundBox,
    FoundLine,
    FoundMask,
    FoundMaskLink,
    FoundPoint,
    FoundPolygon,
)
from vertex_model_inference.geometry.runs import MalformedRunsError, decode, encode
from vertex_model_inference.geometry.turning import shown_size, stored_box, stored_mask, stored_point
from vertex_model_inference.rows import DataRow

__all__ = ["turned_back"]


def turned_back(decoder: Decoder, prediction: bytes, row: DataRow, orientation: int) -> tuple[Finding, ...]:
    """What a model found in the picture as it is shown, in pixels of the picture as it is stored.

    Args:
        decoder: Of the model's family.
        prediction: Its answer, raw JSON.
        row: The data row, its size that of the stored picture.
        orientation: 2 to 8, as EXIF counts.

    Raises:
        DecodeError: As the decoder; or a mask cannot be read.
    """
    if not row.width or not row.height:
        return decoder.decode(prediction, row)
    width, height = shown_size(row.width, row.height, orientation)
    shown = msgspec.structs.replace(row, width=width, height=height)
    return tuple(_stored(found, row, orientation) for found in decoder.decode(prediction, shown))


def _stored(found: Finding, row: DataRow, orientation: int) -> Finding:
    width, height = row.width or 0, row.height or 0
    if isinstance(found, FoundBox):
        box = stored_box((found.left, found.top, found.width, found.height), width, height, orientation)
        return msgspec.structs.replace(found, left=box[0], top=box[1], width=box[2], height=box[3])
    if isinstance(found, FoundPolygon | FoundLine):
        points = tuple(stored_point(x, y, width, height, orientation) for x, y in found.points)
        return msgspec.structs.replace(found, points=points)
    if isinstance(found, FoundPoint):
        x, y = stored_point(found.x, found.y, width, height, orientation)
        return msgspec.structs.replace(found, x=x, y=y)
    if isinstance(found, FoundMask):
        try:
            mask = stored_mask(decode(found.counts, found.width, found.height), orientation)
        except MalformedRunsError as error:
            raise DecodeError(
                f"A mask of class {found.label!r:.80} on data row {row.id} cannot be read: {error}.", data_row_id=row.id
            ) from None
        return msgspec.structs.replace(found, counts=encode(mask), width=mask.shape[1], height=mask.shape[0])
    if isinstance(found, FoundMaskLink):
        raise DecodeError(
            f"The mask of class {found.label!r:.80} on data row {row.id} is given by its address, and cannot be turned "
            "back to how the picture is stored.",
            hint='Let the model leave the EXIF orientation alone (exif = "ignored"), or answer the pixels themselves.',
            data_row_id=row.id,
        )
    return found
