"""Families of video models: what a sound answer gives, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vertex_model_inference.decoders.registry import by_name, recognise
from vertex_model_inference.errors import DecodeError, UnknownOutputError
from vertex_model_inference.findings import (
    Finding,
    FoundFrame,
    FoundFrameMask,
    FoundLabel,
    FoundTrack,
    FoundVideoMask,
)
from vertex_model_inference.geometry import rle
from vertex_model_inference.models import ModelOption, Predictor, VertexModel
from vertex_model_inference.rows import DataRow

ROW = DataRow(id="row-1", row_data="gs://b/v.mp4", width=200, height=100, frame_rate=25, frame_count=250)
NTSC = DataRow(id="row-2", row_data="gs://b/v.mp4", width=176, height=144, frame_rate=29.97, frame_count=120)
UNEVEN = DataRow(id="row-3", row_data="gs://b/v.mp4", width=200, height=100, frame_times=(0, 0.04, 1.0, 1.2, 5.0))
BARE = DataRow(id="row-4", row_data="gs://b/v.mp4", width=200, height=100)
BOX = {"xmin": 20, "ymin": 10, "xmax": 60, "ymax": 30}


def decode(name: str, answer: Any, row: DataRow = ROW, names: tuple[str, ...] = ()) -> tuple[Finding, ...]:
    return by_name(name, names).decode(json.dumps(answer).encode(), row)


def stretch(kind: str, start: Any, end: Any, label: str = "cat") -> dict[str, Any]:
    return {
        "id": "1",
        "displayName": label,
        "type": f"{kind}-classification",
        "timeSegmentStart": start,
        "timeSegmentEnd": end,
        "confidence": 0.5,
    }


CLASSIFIED = "automl-video-classification"


@pytest.mark.parametrize(
    ("item", "row", "frames"),
    [
        (stretch("segment", "0s", "Infinity"), ROW, ()),
        (stretch("segment", "0.0s", "Infinity"), BARE, ()),  # about the whole video: no frame rate is needed
        (stretch("segment", "0s", "10.000s"), ROW, ()),
        (stretch("segment", "1s", "Infinity"), ROW, ((26, 250),)),
        (stretch("segment", "0s", "2.366667s"), ROW, ((1, 60),)),
        (stretch("shot", "0s", "10s"), ROW, ((1, 250),)),
        (stretch("one-sec-interval", "1s", "2s"), ROW, ((26, 50),)),
        (stretch("one-sec-interval", "1s", "2s"), NTSC, ((31, 60),)),
        (stretch("one-sec-interval", {"seconds": "1"}, {"seconds": 2, "nanos": 0}), ROW, ((26, 50),)),
        (stretch("one-sec-interval", "1s", "2s"), UNEVEN, ((3, 4),)),
        (stretch("shot", "1.2s", "1.2s"), ROW, ((31, 31),)),
    ],
)
def test_automl_classification(item: Any, row: DataRow, frames: tuple[tuple[int, int], ...]) -> None:
    assert decode(CLASSIFIED, [item], row) == (FoundLabel("cat", 0.5, frames=frames),)


def test_automl_tracking_of_googles_own_example() -> None:
    frame = {"timeOffset": "1.2s", "xMin": 0.1, "xMax": 0.2, "yMin": 0.3, "yMax": 0.4}
    later = {"timeOffset": "3.4s", "xMin": 0.2, "xMax": 0.3, "yMax": 0.5}  # a zero is left out
    answer = [
        {"id": "1", "displayName": "cat", "timeSegmentStart": "1.2s", "timeSegmentEnd": "3.4s", "confidence": 0.7}
        | {"frames": [later, frame]},
        {"id": "1", "displayName": "cat", "frames": [{**frame, "timeOffset": "4.8s"}], "confidence": 0.6},
        {"id": "2", "displayName": "dog", "frames": []},
    ]
    first, second = decode("automl-object-tracking", answer)
    assert isinstance(first, FoundTrack)
    ((one, two),) = first.segments
    assert (one.frame, one.left, one.top, one.width, one.height) == pytest.approx((31, 20, 30, 20, 10))
    assert (two.frame, two.top, two.height) == pytest.approx((86, 0, 50))
    assert (first.label, first.confidence) == ("cat", 0.7)
    assert isinstance(second, FoundTrack)
    assert [box.frame for segment in second.segments for box in segment] == [121]


def test_of_two_boxes_in_one_frame_the_nearer_stays() -> None:
    frames = [
        {"timeOffset": f"{seconds}s", "xMax": width, "yMax": 0.5}
        for seconds, width in ((0.99, 0.1), (1.001, 0.2), (1.015, 0.3))
    ]
    (track,) = decode("automl-object-tracking", [{"displayName": "cat", "frames": frames}])
    assert isinstance(track, FoundTrack)
    assert track.segments == ((FoundFrame(26, 0, 0, 40, 50),),)


def test_automl_action_recognition() -> None:
    answer = [stretch("x", "1.2s", "1.2s", "swing"), stretch("x", "2s", "4s", "run")]
    for item in answer:
        del item["type"]
    assert decode("automl-action-recognition", answer) == (
        FoundLabel("swing", 0.5, frames=((31, 31),)),
        FoundLabel("run", 0.5, frames=((51, 100),)),
    )


def test_segments_of_custom_models() -> None:
    answer = [
        {"label": "goal", "score": 0.9, "start": 0.4, "end": 1},
        {"class": 1, "confidence": 0.25, "start_time": "2s", "end_time": "inf"},
        {"label": "foul", "start_frame": 0, "end_frame": 9},
        {"name": "match"},
    ]
    expected = (
        FoundLabel("goal", 0.9, frames=((11, 25),)),
        FoundLabel("dog", 0.25, frames=((51, 250),)),
        FoundLabel("foul", None, frames=((1, 10),)),
        FoundLabel("match"),
    )
    assert decode("video-segments", answer, names=("cat", "dog")) == expected
    assert decode("video-segments", {"segments": answer}, names=("cat", "dog")) == expected
    assert decode("video-segments:from-1", [{"label": "a", "start_frame": 1, "end_frame": 1}]) == (
        FoundLabel("a", frames=((1, 1),)),
    )


@pytest.mark.parametrize(
    ("name", "box"),
    [
        ("video-tracks", BOX),
        ("video-tracks", {"xMin": 20, "yMin": 10, "xMax": 60, "yMax": 30}),
        ("video-tracks", {"left": 20, "top": 10, "width": 40, "height": 20}),
        ("video-tracks", {"x": 20, "y": 10, "w": 40, "h": 20}),
        ("video-tracks:xyxy", [20, 10, 60, 30]),
        ("video-tracks:xywh", [20, 10, 40, 20]),
        ("video-tracks:yxyx", [10, 20, 30, 60]),
        ("video-tracks:cxcywh:relative", [0.2, 0.2, 0.2, 0.2]),
        ("video-tracks:relative", {"x1": 0.1, "y1": 0.1, "x2": 0.3, "y2": 0.3}),
    ],
)
def test_tracks_of_custom_models(name: str, box: Any) -> None:
    answer = {"tracks": [{"id": 7, "label": "car", "frames": [{"time": 1, "box": box}, {"time": 0, "box": box}]}]}
    (track,) = decode(name, answer)
    assert isinstance(track, FoundTrack)
    ((first, second),) = track.segments
    assert (first.frame, second.frame, track.id) == (1, 26, "7")
    assert (first.left, first.top, first.width, first.height) == pytest.approx((20, 10, 40, 20))


def test_tracks_by_frame_number_and_mean_score() -> None:
    frames = [{"frame": n, "box": BOX, "score": score} for n, score in ((0, 0.5), (5, 0.7))]
    (track,) = decode("video-tracks", [{"track_id": "a", "label": 1, "frames": frames}], BARE, ("cat", "dog"))
    assert isinstance(track, FoundTrack)
    assert ([box.frame for box in track.segments[0]], track.label) == ([1, 6], "dog")
    assert track.confidence == pytest.approx(0.6)
    (track,) = decode("video-tracks:from-1", [{"label": "a", "frames": [{"frame": 1, "box": BOX}]}])
    assert isinstance(track, FoundTrack)
    assert track.segments[0][0].frame == 1


def seen(label: str, score: float, **more: Any) -> dict[str, Any]:
    return {"label": label, "score": score, "box": BOX, **more}


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("listed", [False, True])
def test_detections_frame_by_frame(wrapped: bool, listed: bool) -> None:
    frames = {
        0: [seen("car", 0.5, track_id=7), seen("dog", 0.9)],
        5: [seen("car", 0.75, track_id=7), seen("dog", 0.9)],
        10: [seen("bus", 0.7, track_id=8)],
        15: [seen("car", 0.25, track_id=7), seen("car", 0.5, track_id=8), seen("bus", 0.5, track_id=9)],
    }
    answer: Any = {str(frame): found for frame, found in frames.items()}
    if listed:
        answer = [{"frame": frame, "detections": found} for frame, found in frames.items()]
    tracks = decode("frame-detections", {"frames": answer} if wrapped else answer)
    box = (20, 10, 40, 20)
    assert tracks == (
        # Frame 11 was looked at and had no car 7: its track breaks there.
        FoundTrack("car", ((FoundFrame(1, *box), FoundFrame(6, *box)), (FoundFrame(16, *box),)), 0.5, id="7"),
        FoundTrack("dog", ((FoundFrame(1, *box),),), 0.9),  # without an id nothing is joined
        FoundTrack("dog", ((FoundFrame(6, *box),),), 0.9),
        FoundTrack("bus", ((FoundFrame(11, *box), FoundFrame(16, *box)),), 0.7, id="8"),  # the class with most weight
        FoundTrack("bus", ((FoundFrame(16, *box),),), 0.5, id="9"),
    )


def test_detections_by_time() -> None:
    (track,) = decode("frame-detections", {"0.04": [seen("a", 1, id=1)], "1.2s": [seen("a", 1, id=1)]}, UNEVEN)
    assert isinstance(track, FoundTrack)
    assert [box.frame for box in track.segments[0]] == [2, 4]


def test_masks_through_a_video() -> None:
    size = [2, 4]
    first, second = [2, 3, 3], [5, 1, 2]
    row = DataRow(id="row-1", row_data="gs://b/v.mp4", width=4, height=2, frame_rate=10, frame_count=30)
    packed = {"size": size, "counts": rle.pack(second).decode()}
    by_frames = [{"frame": 3, "segmentation": packed}, {"time": 0, "mask": {"size": size, "counts": first}}]
    expected = (FoundFrameMask(1, rle.pack(first)), FoundFrameMask(4, rle.pack(second)))
    answer = [{"id": 3, "label": "dog", "score": 0.5, "frames": by_frames}]
    assert decode("video-masks", answer, row) == (FoundVideoMask("dog", expected, 4, 2, 0.5, "3"),)
    several = [{"size": size, "counts": first}, None, None, packed]
    found = decode("video-masks", [{"category_id": 1, "segmentations": several}], row, ("cat", "dog"))
    assert found == (FoundVideoMask("dog", expected, 4, 2),)


@pytest.mark.parametrize(
    ("name", "answer", "row", "what"),
    [
        (CLASSIFIED, [stretch("scene", "0s", "1s")], ROW, "scene-classification"),
        (CLASSIFIED, [stretch("shot", "0s", "1s")], BARE, "frame rate of the video is not known"),
        (CLASSIFIED, [stretch("shot", "2s", "1s")], ROW, "from 2 s to 1 s"),
        (CLASSIFIED, [stretch("shot", "-1s", "1s")], ROW, "seconds from 0"),
        (CLASSIFIED, [stretch("shot", "soon", "1s")], ROW, "seconds from 0"),
        (CLASSIFIED, [stretch("shot", "0s", "8000s")], ROW, "far behind the end of the video of 10.000 s"),
        (CLASSIFIED, [stretch("shot", "1s", "Infinity")], BARE, "frame rate"),
        ("automl-object-tracking", [{"displayName": "a", "frames": [{"timeOffset": "inf"}]}], ROW, "infinite"),
        ("video-tracks", [{"label": "a", "frames": [{"frame": 0, "box": [0, 0, 1, 1]}]}], ROW, "in which order"),
        ("video-tracks", [{"label": "a", "frames": [{"frame": 250, "box": BOX}]}], ROW, "counted from 0"),
        ("video-tracks", [{"label": "a", "frames": [{"frame": 1.5, "box": BOX}]}], ROW, "whole numbers"),
        ("video-tracks:from-1", [{"label": "a", "frames": [{"frame": 0, "box": BOX}]}], ROW, "counted from 1"),
        ("video-tracks", [{"label": "a", "frames": [{"box": BOX}]}], ROW, "neither frame nor time"),
        ("frame-detections", {"one": []}, ROW, "neither a frame's number nor seconds"),
        ("frame-detections", {"0": [seen("a", 1, id=1), seen("a", 1, id=1)]}, ROW, "twice"),
        ("frame-detections", {"0": [], "0.0": []}, ROW, "which another item is too"),
        ("video-segments", [{"label": "a", "start": 1}], ROW, "start without an end"),
        ("video-masks", [{"label": "a", "segmentations": [{"size": [1, 4], "counts": [4]}]}], ROW, "pixels"),
    ],
)
def test_refused_by_name(name: str, answer: Any, row: DataRow, what: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(name, answer, row)
    assert what in str(caught.value)
    assert row.id in str(caught.value)


@pytest.mark.parametrize("name", ["video-tracks:xxyy", "video-tracks:xyxy:xywh", "video-masks:percent"])
def test_layouts_that_do_not_exist(name: str) -> None:
    with pytest.raises(UnknownOutputError, match="layout"):
        by_name(name)


def option(**more: Any) -> ModelOption:
    return ModelOption(name="m", predictor=Predictor.BATCH, **more)


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ([stretch("shot", "0s", "1s")], CLASSIFIED),
        (
            [{"id": "1", "displayName": "a", "timeSegmentStart": "1s", "timeSegmentEnd": "2s"}],
            "automl-action-recognition",
        ),
        ([{"id": "1", "displayName": "a", "frames": [{"timeOffset": "1s", "xMax": 1}]}], "automl-object-tracking"),
        ([{"label": "a", "score": 1, "start": 0.5, "end": 2.0}], "video-segments"),
        ([{"label": "a", "start_frame": 0, "end_frame": 2}], "video-segments"),
        ([{"label": "a", "frames": [{"frame": 0, "box": BOX}]}], "video-tracks"),
        ({"tracks": []}, "video-tracks"),
        ({"0": [seen("a", 1)], "1": []}, "frame-detections"),
        ({"frames": [{"time": 0.5, "detections": []}]}, "frame-detections"),
        ([{"label": "a", "segmentations": [None]}], "video-masks"),
        ([{"label": "a", "score": 1}], "hf-classification"),
    ],
)
def test_recognised(answer: Any, name: str) -> None:
    assert recognise([json.dumps(answer).encode()], option()).name == name


def test_whole_numbers_could_be_places_in_a_text() -> None:
    with pytest.raises(UnknownOutputError):
        recognise([b'[{"label": "PER", "score": 0.9, "start": 0, "end": 3}]'], option())


def test_bare_numbers_are_not_guessed_at() -> None:
    sample = json.dumps([{"label": "a", "frames": [{"frame": 0, "box": [1, 2, 3, 4]}]}]).encode()
    with pytest.raises(UnknownOutputError, match="which order") as caught:
        recognise([sample], option())
    assert "video-tracks:xyxy" in str(caught.value)


def test_by_label_and_schema() -> None:
    schema = "gs://google-cloud-aiplatform/schema/model/metadata/automl_video_object_tracking_1.0.0.yaml"
    model = VertexModel(name="projects/p/locations/l/models/1", automl=True, metadata_schema_uri=schema)
    assert recognise([b"[]"], option(model=model)).name == "automl-object-tracking"
    model = VertexModel(name="projects/p/locations/l/models/1", labels={"vmi-decoder": "video-tracks_xywh_from-1"})
    assert recognise([b"[]"], option(model=model)).name == "video-tracks:xywh:from-1"
