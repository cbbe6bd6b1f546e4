"""A data row of a model run, as the export gives it and as the steps need it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = ["DataRow", "MediaType", "Split"]


class MediaType(StrEnum):
    """What kind of asset a data row holds (Labelbox's own words, lower case)."""

    IMAGE = "image"
    TEXT = "text"
    VIDEO = "video"
    DOCUMENT = "document"
    AUDIO = "audio"
    HTML = "html"
    CONVERSATION = "conversation"
    TILED_IMAGE = "tiled_image"
    UNKNOWN = "unknown"


class Split(StrEnum):
    """The data row's split in the model run (Labelbox's own words, lower case)."""

    TRAINING = "training"
    VALIDATION = "validation"
    TEST = "test"
    UNASSIGNED = "unassigned"


class DataRow(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One data row of the run.

    Attributes:
        id: Labelbox's data row id (25 characters).
        row_data: URL (http, https, gs) of the asset, or the text itself for inline text rows.
        global_key: The customer's own unique key, if set.
        external_id: The customer's own name for the row, if set.
        media_type: Kind of the asset.
        mime_type: As Labelbox says (``media_attributes.mime_type``), if known.
        width: Of the asset in pixels, as Labelbox says; None when unknown or not a picture.
        height: Likewise.
        split: The row's data split in the model run.
        frame_rate: Of a video in frames per second, as Labelbox says; None when unknown or not a video.
        frame_count: Frames of a video, as Labelbox says.
        text_layer: URL (http, https, gs) of a document's text layer, where the data row has one.
        text_length: Characters (Unicode code points) of a text, as the assets step read it; None when unknown.
        page_sizes: Width and height in points of a document's pages, first page first, as the assets step read them;
            empty when unknown or not a document.
        frame_times: Seconds of each frame of a video, rising, as its file says; only where the rate varies.
    """

    id: str
    row_data: str
    global_key: str | None = None
    external_id: str | None = None
    media_type: MediaType = MediaType.UNKNOWN
    mime_type: str | None = None
    width: int | None = None
    height: int | None = None
    split: Split = Split.UNASSIGNED
    frame_rate: float | None = None
    frame_count: int | None = None
    text_layer: str | None = None
    text_length: int | None = None
    page_sizes: tuple[tuple[float, float], ...] = ()
    frame_times: tuple[float, ...] = ()
