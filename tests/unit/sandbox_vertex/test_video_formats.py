"""AutoML's video models in the sandbox: what they take, and that what they answer is of Google's form."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from google.cloud.aiplatform.v1.schema.predict.prediction_v1 import types as google
from google.protobuf import json_format
from tests.videos import video

from vertex_model_inference.sandbox.containers.motion import FORMS, Asked, Asking
from vertex_model_inference.sandbox.containers.movement import Movement, watch
from vertex_model_inference.sandbox.containers.serve import InstanceError
from vertex_model_inference.sandbox.datasets.clips import read_clips
from vertex_model_inference.sandbox.vertex.automl import checked_parameters, instance_error
from vertex_model_inference.sandbox.vertex.models import _outputs
from vertex_model_inference.sandbox.vertex.wire import ApiError

KINDS = ("video_classification", "video_object_tracking", "video_action_recognition")
GOOD = {
    "content": "gs://b/v.mp4",
    "mimeType": "video/mp4",
    "timeSegmentStart": "0.0s",
    "timeSegmentEnd": "Infinity",
}


@pytest.mark.parametrize("kind", KINDS)
def test_instances(kind: str) -> None:
    for good in ({}, {"timeSegmentEnd": "2.366667s"}, {"timeSegmentEnd": "inf"}, {"mimeType": "video/quicktime"}):
        assert instance_error({**GOOD, **good}, kind) is None
    for bad in (
        {"mimeType": "video/webm"},
        {"content": "https://h/v.mp4"},
        {"timeSegmentStart": "0"},
        {"timeSegmentStart": None},
        {"timeSegmentEnd": 5},
        {"timeSegmentStart": "3s", "timeSegmentEnd": "2s"},
        {"frames": 3},
    ):
        assert instance_error({**GOOD, **bad}, kind) is not None, bad
    assert instance_error({key: value for key, value in GOOD.items() if key != "timeSegmentEnd"}, kind) is not None
    assert instance_error(GOOD, "image_classification") is not None


def test_parameters() -> None:
    assert checked_parameters(None, "video_object_tracking") == {
        "confidenceThreshold": 0.0,
        "maxPredictions": 50,
        "minBoundingBoxSize": 0.0,
    }
    flags = {"shotClassification": True, "maxPredictions": 9000.0}
    assert checked_parameters(flags, "video_classification")["shotClassification"] is True
    for bad, kind in (
        ({"shotClassification": 1}, "video_classification"),
        ({"shotClassification": True}, "video_object_tracking"),
        ({"minBoundingBoxSize": 2}, "video_object_tracking"),
        ({"minBoundingBoxSize": 0.5}, "video_action_recognition"),
        ({"maxPredictions": 0}, "video_action_recognition"),
    ):
        with pytest.raises(ApiError):
            checked_parameters(bad, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_they_cannot_be_deployed(kind: str) -> None:
    uri = f"gs://google-cloud-aiplatform/schema/model/metadata/automl_{kind}_1.0.0.yaml"
    assert _outputs({"metadataSchemaUri": uri})["supportedDeploymentResourcesTypes"] == []


@pytest.fixture(scope="module")
def movements() -> dict[str, Movement]:
    return {name: watch(data) for name, data in read_clips().items()}


@pytest.mark.parametrize(
    ("form", "message", "asked"),
    [
        ("automl-video-classification", google.VideoClassificationPredictionResult, Asked(shot=True, second=True)),
        ("automl-object-tracking", google.VideoObjectTrackingPredictionResult, Asked()),
        ("automl-action-recognition", google.VideoActionRecognitionPredictionResult, Asked()),
    ],
)
def test_answers_are_of_googles_own_form(movements: dict[str, Movement], form: str, message: Any, asked: Asked) -> None:
    total = 0
    for movement in movements.values():
        for item in FORMS[form](movement, Asking("0.0s", "Infinity", 0, float("inf")), asked):
            total += 1
            # A segment without end is written as it was sent, which protobuf's own type has no form for.
            plain = {**item, "timeSegmentEnd": item["timeSegmentEnd"].replace("Infinity", "10s")}
            if "type" in plain:
                plain["type_"] = plain.pop("type")
            json_format.ParseDict(_snake(plain), message.pb(message()))  # refuses unknown names and wrong kinds
            assert 0 <= item["confidence"] <= 1
    assert total > 3


def _snake(value: Any) -> Any:
    return json.loads(json.dumps(value).replace('"type_"', '"type"'))


def test_what_moves_is_found_where_it_moves() -> None:
    """A white square that goes right over a pattern that stands still: its two edges differ, and nothing else."""
    pattern = np.random.default_rng(0).integers(0, 90, (12, 20, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)

    def picture(number: int) -> Any:
        pixels = pattern.copy()
        pixels[30:60, 10 + number : 40 + number] = 255
        return pixels

    movement = watch(video([40 * n for n in range(100)], size=(160, 96), picture=picture))
    assert movement.cuts == []
    # An edge may be lost and found again, but most of the time something is seen, and only there.
    assert len({seen.frame for track in movement.tracks for seen in track.seen}) > 0.6 * len(movement.looked)
    for seen in (seen for track in movement.tracks for seen in track.seen):
        left, top, right, bottom = seen.box[0] * 160, seen.box[1] * 96, seen.box[2] * 160, seen.box[3] * 96
        assert 10 + seen.frame - 12 <= left
        assert right <= 40 + seen.frame + 10  # the edges of regions are smoothed
        assert 22 <= top < bottom <= 68


def test_shots_begin_where_the_picture_changes(movements: dict[str, Movement]) -> None:
    # First frames of its shots, seen by eye: 31, 77, 138, 188 and 243 of 25 a second; the model looks at ten of them.
    assert movements["bikes"].cuts == pytest.approx([1.2, 3.04, 5.48, 7.48, 9.68], abs=0.11)
    assert movements["carphone"].cuts == []


@pytest.mark.parametrize("data", [b"film", b"#EXTM3U\nfile:///etc/passwd\n", b"\x00\x00\x00\x18ftypisom" + bytes(99)])
def test_what_is_no_video_is_an_error_of_its_instance(data: bytes) -> None:
    with pytest.raises(InstanceError):
        watch(data)
