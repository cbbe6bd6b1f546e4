"""Pure geometry in pixels: run lengths, masks, polygons, boxes. Origin top left, x to the right, y down."""

from __future__ import annotations
