"""Masks that are pictures behind URLs, as exports of labels give them and as predictions may: not fetched yet."""

from __future__ import annotations

import msgspec

from vertex_model_inference.annotations import Question

__all__ = ["LinkedMask", "LinkedVideoMask"]


class LinkedMask(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag="linked_mask"):
    """A mask as exports give it: a picture behind a URL that needs the API key, white (or any colour) on black.

    Attributes:
        name: The tool's name. ``feature_schema_id``: its schema id. ``url``: never logged.
        classifications: Answered questions about the object.
    """

    name: str
    feature_schema_id: str
    url: str
    classifications: tuple[Question, ...] = ()


class LinkedVideoMask(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag="linked_video_mask"):
    """An object's masks through a video: ``frames`` are (number, from 1; URL) pairs, rising; else as ``LinkedMask``."""

    name: str
    feature_schema_id: str
    frames: tuple[tuple[int, str], ...]
