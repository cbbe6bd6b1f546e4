"""Annotations of data rows in export form: labels on one side, predictions (of projects: pre-labels) on the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from vertex_model_inference.sandbox.labelbox import label_form

if TYPE_CHECKING:
    from vertex_model_inference.sandbox.labelbox.store import Row, Store

__all__ = ["Annotated", "Json", "Owner", "annotations_of"]

Json = dict[str, Any]


class Owner(msgspec.Struct, frozen=True):
    """What has rows: a model run, or a project with its batches (``project``)."""

    id: str
    project: bool = False


class Annotated(msgspec.Struct, frozen=True):
    """All annotations of one source (``label`` or ``prediction``) on a data row, as lists of the export form.

    Attributes:
        frames: Of videos: what an export's ``frames``, ``segments`` and ``key_frame_feature_map`` hold.
        others: How many there are that no page shows (metrics).
    """

    source: str
    objects: list[Json]
    classifications: list[Json]
    others: int = 0
    relationships: list[Json] = []
    frames: Json = {}

    @property
    def nothing(self) -> bool:
        """Whether there is none at all."""
        return not (self.objects or self.classifications or self.relationships or self.frames or self.others)


_FRAMES = ("frames", "segments", "key_frame_feature_map")


def _side(source: str, form: Json) -> Annotated:
    return Annotated(
        source,
        form.get("objects") or [],
        form.get("classifications") or [],
        len(form.get("metrics") or ()),
        form.get("relationships") or [],
        {name: form[name] for name in _FRAMES} if form.get("frames") else {},
    )


def annotations_of(store: Store, owner: Owner, ids: Sequence[str]) -> dict[str, tuple[Annotated | None, Annotated]]:
    """Labels (None: it has none) and predictions of data rows, by id."""
    stored: dict[str, list[tuple[str, str]]] = {row_id: [] for row_id in ids}
    for row in store.runs.predictions_of(owner.id, ids):
        stored[row["data_row_id"]].append((row["place"], row["annotation"]))
    labels: dict[str, Annotated] = {}
    of_labels: list[Row] = (store.projects if owner.project else store.runs).labels_of(owner.id, ids)
    for row in of_labels:
        labels[row["data_row_id"]] = _side("label", orjson.loads(row["annotations"]))
    return {
        row_id: (labels.get(row_id), _side("prediction", orjson.loads(label_form.assemble(items)[1])))
        for row_id, items in stored.items()
    }
