"""Reads ``{"lights": {"red": [[left, top, width, height, percent], ...], "green": [...]}}``, 0 to 1."""

from __future__ import annotations

import json
from collections.abc import Sequence

from vertex_model_inference.findings import FoundBox
from vertex_model_inference.rows import DataRow


class TrafficLights:
    """One box for each light."""

    name = "traffic-lights"

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = class_names

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundBox, ...]:
        """The lights in the order of the answer."""
        lights = json.loads(prediction)["lights"]
        wide, high = row.width or 0, row.height or 0
        return tuple(
            FoundBox(colour, x * wide, y * high, w * wide, h * high, percent / 100)
            for colour, found in lights.items()
            for x, y, w, h, percent in found
        )
