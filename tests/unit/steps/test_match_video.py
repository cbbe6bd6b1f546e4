"""Tracks, masks through videos, and answers frame by frame become annotations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vertex_model_inference.annotations import (
    Annotation,
    Answer,
    Checklist,
    FrameMask,
    KeyFrame,
    Radio,
    VideoBox,
    VideoMask,
)
from vertex_model_inference.errors import MatchError
from vertex_model_inference.findings import (
    Finding,
    FoundFrame,
    FoundFrameMask,
    FoundLabel,
    FoundTrack,
    FoundVideoMask,
)
from vertex_model_inference.geometry.runs import encode
from vertex_model_inference.models import MatchRules
from vertex_model_inference.ontology import Classification, Ontology, Option, Tool
from vertex_model_inference.rows import DataRow, MediaType
from vertex_model_inference.steps.match import Matched, Matcher

ROW = DataRow(id="r", row_data="gs://b/v.mp4", media_type=MediaType.VIDEO, width=40, height=30, frame_count=100)


def question(kind: str, name: str, scope: str) -> Classification:
    options = tuple(Option(name=each, label=each, feature_schema_id=f"{name}-{each}") for each in ("still", "moving"))
    return Classification(kind=kind, name=name, feature_schema_id=name, scope=scope, options=options)


ONTOLOGY = Ontology(
    id="o",
    name="videos",
    tools=(
        Tool(
            kind="rectangle", name="car", feature_schema_id="car", classifications=(question("radio", "is", "global"),)
        ),
        Tool(kind="raster-segmentation", name="dog", feature_schema_id="dog"),
    ),
    classifications=(
        question("radio", "camera", "index"),
        question("checklist", "scene", "index"),
        question("radio", "video", "global"),
    ),
)


def match(*findings: Finding, row: DataRow = ROW, **rules: Any) -> Matched:
    return Matcher(ONTOLOGY, MatchRules(**rules)).match(findings, row)


def boxes(*places: tuple[int, float], width: float = 10) -> tuple[FoundFrame, ...]:
    return tuple(FoundFrame(frame, left, 5, width, 10) for frame, left in places)


def test_a_track_keeps_the_frames_it_needs() -> None:
    moving = boxes((1, 0), (2, 1), (3, 2), (4, 3), (5, 3.5), (6, 3), (7, 2), (8, 1))
    (made,) = match(FoundTrack("car", (moving, boxes((20, 7))), 0.5), simplify_px=0.35).annotations
    assert made == VideoBox(
        "car",
        "car",
        (
            tuple(KeyFrame(frame, left, 5, 10, 10) for frame, left in ((1, 0), (4, 3), (5, 3.5), (8, 1))),
            (KeyFrame(20, 7, 5, 10, 10),),
        ),
        0.5,
    )
    (made,) = match(FoundTrack("car", (moving,)), simplify_px=1).annotations
    assert isinstance(made, VideoBox)
    assert [key.frame for key in made.segments[0]] == [1, 5, 8]


def test_what_sticks_out_is_cut_and_what_is_outside_left_out() -> None:
    (made,) = match(FoundTrack("car", (boxes((1, -5), (2, 35), (3, 50)),))).annotations
    assert isinstance(made, VideoBox)
    assert made.segments == ((KeyFrame(1, 0, 5, 5, 10), KeyFrame(2, 35, 5, 5, 10)),)
    gone = match(FoundTrack("car", (boxes((3, 50)),)))
    assert (gone.annotations, gone.dropped) == ((), {"car": 1})
    assert "track of class 'car' is too small or outside" in gone.notes[0]
    assert match(FoundTrack("car", (boxes((3, 1)),)), min_size_px=12).dropped == {"car": 1}
    assert match(FoundTrack("car", (boxes((3, 1)),)), min_size_px=10).dropped == {}


@pytest.mark.parametrize(
    ("segments", "what"),
    [
        ((boxes((2, 0), (2, 0)),), "from frame 2 to 2"),
        ((boxes((5, 0)), boxes((4, 0))), "from frame 5 to 4"),
        ((boxes((0, 0)),), "the frame 0"),
        ((boxes((101, 0)),), "the video only 100"),
        ((boxes((1, float("nan"))),), "not a finite number"),
    ],
)
def test_malformed_tracks_fail_the_row(segments: Any, what: str) -> None:
    with pytest.raises(MatchError) as caught:
        match(FoundTrack("car", segments))
    assert what in str(caught.value)


def test_answers_about_a_track_keep_the_frames_at_which_they_change() -> None:
    answers = (FoundLabel("still", 0.5, frames=((1, 3),)), FoundLabel("moving", 0.75, frames=((4, 8),)))
    even = boxes(*((n, 0) for n in range(1, 9)))
    (made,) = match(FoundTrack("car", (even,), answers=answers)).annotations
    assert isinstance(made, VideoBox)
    assert [key.frame for key in made.segments[0]] == [1, 4, 8]
    assert made.classifications == (
        Radio("is", "is", Answer("still", "is-still", 0.5, frames=((1, 3),))),
        Radio("is", "is", Answer("moving", "is-moving", 0.75, frames=((4, 8),))),
    )


def test_masks_of_a_video() -> None:
    drawn = np.zeros((30, 40), dtype=np.bool_)
    empty = encode(drawn)
    drawn[3:9, 4:8] = True
    counts = encode(drawn)
    found = FoundVideoMask("dog", tuple(FoundFrameMask(n, c) for n, c in ((2, counts), (3, empty))), 40, 30, 0.5)
    assert match(found).annotations == (VideoMask("dog", "dog", (FrameMask(2, counts),), 40, 30, 0.5),)
    assert match(found, min_size_px=5).dropped == {"dog": 1}
    with pytest.raises(MatchError, match="40 x 30 pixels, the video 80 x 30"):
        match(found, row=DataRow(id="r", row_data="x", width=80, height=30))
    with pytest.raises(MatchError, match="cannot be read in frame 2"):
        match(FoundVideoMask("dog", (FoundFrameMask(2, b"x"),), 40, 30))


def framed(label: str, confidence: float | None, *frames: tuple[int, int]) -> FoundLabel:
    return FoundLabel(label, confidence, frames=frames)


def test_answers_frame_by_frame() -> None:
    made = match(
        framed("camera/still", 0.5, (1, 50)),
        framed("camera/moving", 0.75, (31, 40)),
        framed("scene/still", 0.75, (1, 50)),
        framed("scene/moving", 0.5, (31, 40)),
    ).annotations
    expected: tuple[Annotation, ...] = (
        Radio("camera", "camera", Answer("still", "camera-still", 0.5, frames=((1, 30), (41, 50)))),
        Radio("camera", "camera", Answer("moving", "camera-moving", 0.75, frames=((31, 40),))),
        Checklist(
            "scene",
            "scene",
            (
                Answer("still", "scene-still", 0.75, frames=((1, 50),)),
                Answer("moving", "scene-moving", 0.5, frames=((31, 40),)),
            ),
        ),
    )
    assert made == expected


def test_what_holds_everywhere_holds_in_all_frames_of_a_question_asked_by_frame() -> None:
    (made,) = match(FoundLabel("camera/still", 0.5)).annotations
    assert made == Radio("camera", "camera", Answer("still", "camera-still", 0.5, frames=((1, 100),)))
    bare = DataRow(id="r", row_data="x", media_type=MediaType.VIDEO)
    with pytest.raises(MatchError, match="asked frame by frame"):
        match(FoundLabel("camera/still", 0.5), row=bare)


def test_a_question_about_the_whole_video_has_the_best_answer() -> None:
    matched = match(framed("video/still", 0.5, (1, 50)), framed("video/moving", 0.75, (51, 60)))
    assert matched.annotations == (Radio("video", "video", Answer("moving", "video-moving", 0.75)),)
    assert matched.outscored == 1
    assert "about the whole video" in matched.notes[0]


places = st.lists(
    st.tuples(st.floats(-60, 60), st.floats(-60, 60), st.floats(0, 50), st.floats(0, 50)), min_size=1, max_size=12
)


@settings(deadline=None, max_examples=100)
@given(given_=places, tolerance=st.sampled_from((0.0, 1.0, 5.0)))
def test_a_track_is_used_or_dropped_and_lies_within_the_picture(
    given_: list[tuple[float, float, float, float]], tolerance: float
) -> None:
    frames = tuple(FoundFrame(n + 1, *box) for n, box in enumerate(given_))
    matched = match(FoundTrack("car", (frames,), 0.5), simplify_px=tolerance)
    assert len(matched.annotations) + sum(matched.dropped.values()) == 1
    for made in matched.annotations:
        assert isinstance(made, VideoBox)
        for key in (key for segment in made.segments for key in segment):
            assert 0 <= key.left < key.left + key.width <= 40 + 1e-9
            assert 0 <= key.top < key.top + key.height <= 30 + 1e-9
